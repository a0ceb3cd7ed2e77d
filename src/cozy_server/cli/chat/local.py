"""Turns in this process, on the store and the providers of this machine's configuration.

Whoever sits at this terminal can read the data folder anyway, so they are the account ``dev``, as at `cozy dev`: its
sessions are theirs.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

from cozy_domain.chat.events import ChatEvent, ToolRan, TurnEnded, TurnStarted
from cozy_domain.chat.request import ChatRequest
from cozy_domain.chat.turn import ChatTurn
from cozy_domain.errors import MissingError, StorageUnavailableError
from cozy_domain.ids import PersonaId, SessionId
from cozy_domain.messages import AssistantMessage, Message, ToolMessage, UserMessage, text_of
from cozy_domain.models.deltas import ReasoningDelta, RefusalDelta, TextDelta
from cozy_domain.routing.choice import DEFAULT_PERSONA
from cozy_domain.sessions.session import Session, StoredMessage
from cozy_server.app import opened
from cozy_server.auth import DEVELOPER
from cozy_server.cli.chat.said import (
    Asked,
    Began,
    Ended,
    HistoryLine,
    Partner,
    Refused,
    Said,
    SessionLine,
    Skipped,
    Talk,
    Thought,
    ToolUsed,
    Turn,
    Words,
)
from cozy_server.cli.composition import IN_USE, container_of
from cozy_server.container.container import Container
from cozy_server.data_folder import postgres_url
from cozy_server.settings.load import Loaded
from cozy_server.telemetry import configure_logs

MOST_MESSAGES = 1_000


@asynccontextmanager
async def local_talk(
    loaded: Loaded, partner: Partner, on_passed_over: Callable[[str], None]
) -> AsyncIterator[Talk]:
    """Everything that a server has but the socket, until the end of the context. ``on_passed_over`` hears which model
    answers and why, where a provider was found and is not used.

    Raises:
        ConfigError: the settings, the personas or the audit key are not as they must be.
        StorageUnavailableError: the store cannot be used; ``storage_in_use`` when a server has it.
    """
    configure_logs("error")  # what goes wrong in a turn is told in the conversation
    # The key of a shared store signs others' records too: one made up here would spoil its audit log.
    container = container_of(loaded, development=postgres_url(loaded.settings) is None)
    try:
        async with opened(container):
            choice = container.configuration()
            if choice.passed_over:
                on_passed_over(f"{choice.default.model} ({choice.default.reason})")
            yield LocalTalk(container, partner)
    except StorageUnavailableError as error:
        if error.code != IN_USE:
            raise
        server = loaded.settings.server
        raise StorageUnavailableError(
            error.message,
            code=IN_USE,
            hint=f"Talk to that server: `cozy chat --url http://{server.host}:{server.port}`, or wherever it listens.",
        ) from None


class LocalTalk:
    """As `Talk`."""

    def __init__(self, container: Container, partner: Partner) -> None:
        self._container = container
        self._owner = DEVELOPER.owner(partner.user)
        self._language = partner.language

    def turn(self, asked: Asked) -> AbstractAsyncContextManager[Turn]:
        return self._turn(asked)

    async def names(self) -> tuple[tuple[str, ...], str]:
        default = self._container.configuration().default
        return tuple(self._container.catalog().current.ids()), f"{default.model} ({default.reason})"

    async def sessions(self, limit: int) -> tuple[SessionLine, ...]:
        found = await self._container.sessions().list(self._owner, limit)
        return tuple(map(_session_line, found))

    async def session(self, session: UUID) -> SessionLine | None:
        try:
            found = await self._container.history().session(self._owner, SessionId(session))
        except MissingError:
            return None
        return _session_line(found) if found else None

    async def history(self, session: UUID) -> tuple[HistoryLine, ...]:
        try:
            found = await self._container.sessions().messages(self._owner, SessionId(session), MOST_MESSAGES)
        except MissingError:
            return ()
        return tuple(line for stored in found for line in _history_lines(stored))

    @asynccontextmanager
    async def _turn(self, asked: Asked) -> AsyncIterator[Turn]:
        async with self._container.pipeline().turn(self._request(asked)) as turn:
            yield _LocalTurn(turn, asked)

    def _request(self, asked: Asked) -> ChatRequest:
        return ChatRequest(
            caller=DEVELOPER,
            owner=self._owner,
            model=asked.model or asked.persona or DEFAULT_PERSONA,
            persona=PersonaId(asked.persona) if asked.persona else None,
            messages=(UserMessage(asked.text),),
            request=f"chat_{self._container.ids().new().hex}",
            session=SessionId(asked.session),
            locale=self._language,
        )


class _LocalTurn:
    """As `Turn`."""

    def __init__(self, turn: ChatTurn, asked: Asked) -> None:
        self._events = turn
        self._session = str(asked.session)

    def __aiter__(self) -> "_LocalTurn":
        return self

    async def __anext__(self) -> Said:
        while True:
            if said := _said(await anext(self._events), self._session):
                return said

    def stop(self) -> None:
        self._events.stop()


def _said(event: ChatEvent, session: str) -> Said | None:
    match event:
        case TurnStarted():
            return Began(session, str(event.turn))
        case TextDelta():
            return Words(event.text)
        case RefusalDelta():
            return Refused(event.text)
        case ReasoningDelta():
            return Thought(event.text)
        case ToolRan():
            return ToolUsed(event.name, event.arguments, event.outcome, event.duration_ms)
        case TurnEnded():
            return _ended(event)
        case _:  # calls of a client's own tools, and what belongs to spoken answers: there are none here
            return None


def _ended(event: TurnEnded) -> Ended:
    outcome = event.outcome
    return Ended(
        state=event.state,
        finish=next(iter(outcome.finish), None),
        model=outcome.model,
        degraded=tuple(Skipped(it.engine, it.reason, it.after_ms) for it in outcome.degraded),
        first_token_ms=outcome.timings.first_token_ms,
        total_ms=outcome.timings.total_ms,
    )


def _session_line(session: Session) -> SessionLine:
    return SessionLine(
        session.id, session.title, session.pin.persona, session.message_count, session.last_turn_at
    )


def _history_lines(stored: StoredMessage) -> tuple[HistoryLine, ...]:
    message = stored.message
    words = text_of(None if isinstance(message, ToolMessage) else message.content)
    calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
    said = (HistoryLine(_role(message), words, stored.state == "interrupted"),) if words else ()
    return (*said, *(HistoryLine("tool", f"{call.name} {call.arguments}") for call in calls))


def _role(message: Message) -> str:
    return "user" if isinstance(message, UserMessage) else "assistant"
