"""Taking calls: who may call, as whom the agent speaks, and that every call ends and leaves nothing behind.

A surface asks for a call first, so that it can refuse in its own words, and attaches the line when it has one:

    call = await calling.open(CallOrder(...), tell=..., told=...)
    call.attach(peer)
    reason = await call.ended()
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import msgspec

from cozy_domain.access.caller import Caller
from cozy_domain.access.seats import Sitter
from cozy_domain.chat.deadline import stored
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.chat.plan import no_such_session
from cozy_domain.chat.request import ChatRequest
from cozy_domain.chat.turn import Spawn
from cozy_domain.clock import Clock
from cozy_domain.errors import (
    InputError,
    LimitError,
    LocalProtocolError,
    MissingError,
    ProviderUnavailableError,
)
from cozy_domain.ids import Ids, Owner, PersonaId, SessionId
from cozy_domain.messages import AssistantMessage, Message, SystemMessage, UserMessage
from cozy_domain.persona.persona import Persona
from cozy_domain.routing.choice import Snapshot, choose
from cozy_domain.sessions.ports import TurnHistory
from cozy_domain.speech.listen import Listening
from cozy_domain.speech.ports import Hearing, Voicing
from cozy_domain.speech.speak import Speaking
from cozy_domain.voice.driver import CallParts, Tell, VoiceCall
from cozy_domain.voice.events import Event
from cozy_domain.voice.phrases import profile_of
from cozy_domain.voice.policy import DEFAULT, VoiceProfile
from cozy_domain.voice.prediction import EndOfTurn, Listener, Verdicts
from cozy_domain.voice.replies import Replies
from cozy_domain.voice.seats import CallSeats, SeatLimits

_log = logging.getLogger("cozy.voice")

STORAGE_S = 5.0
"""As the chat pipeline waits for the store."""
SPOKEN = (
    "The user hears your answer in a call. Answer as people speak: briefly, in short sentences, without lists, markup, "
    "links or emoji, and in the user's language."
)
RESULTS = (
    "A tool that you called earlier has ended in the meantime; its result stands in the conversation. Tell the user in a "
    "sentence or two what came of it."
)
GO_ON = "Go on with the conversation: it is your turn to speak."
MESSAGES = 100
"""Of a call that has no session, as many are remembered while it lasts."""
LOAD_S = 1.0
LOAD_STEP = 5
"""Percent: smaller changes of the machine's load are nobody's concern."""


class CallOrder(msgspec.Struct, frozen=True):
    """Who calls, and whom. Without a ``session`` a new one begins; ``personal`` is False when it is unknown for whom the
    caller calls: nothing is remembered then. ``persona`` None: the session's, else the one that ``model`` names.
    ``request`` is the id that the call's turns are logged and audited under."""

    caller: Caller
    owner: Owner
    request: str
    persona: PersonaId | None = None
    session: SessionId | None = None
    personal: bool = True
    model: str = "default"
    timezone: str | None = None
    locale: str = "en"


class CallingParts(msgspec.Struct, frozen=True):
    """``phrases`` are all that callers can say, none for anything; ``load`` tells how busy the machine is, in percent;
    ``record`` gets the lines of the recording of each call that had a line, by its id, from the event loop."""

    pipeline: ChatPipeline
    history: TurnHistory
    listening: Listening
    speaking: Speaking
    snapshot: Callable[[], Snapshot]
    clock: Clock
    ids: Ids
    load: Callable[[], int] = lambda: 0
    profile: VoiceProfile = DEFAULT
    phrases: tuple[str, ...] = ()
    seats: SeatLimits = SeatLimits()
    record: Callable[[UUID, bytes], None] | None = None


class OpenedCall(msgspec.Struct, frozen=True):
    """``session`` is None when nothing is remembered."""

    call: VoiceCall
    owner: Owner
    persona: Persona
    session: SessionId | None


class Calling:
    """Takes calls. One for the whole process."""

    def __init__(self, parts: CallingParts) -> None:
        self._parts = parts
        self._seats = CallSeats(parts.seats)
        self._tasks: asyncio.TaskGroup | None = None
        self._calls: dict[UUID, OpenedCall] = {}
        self._seated: dict[UUID, Sitter] = {}
        self._verdicts = Verdicts()
        self._draining = False
        self._load = 0

    @property
    def limits(self) -> SeatLimits:
        return self._seats.limits

    @property
    def calls_open(self) -> int:
        return self._seats.taken

    @asynccontextmanager
    async def running(self, drain_s: float = 30.0) -> AsyncIterator[None]:
        """Calls are possible inside, within the pipeline's own ``running``. At the end those under way are told goodbye;
        after ``drain_s`` seconds they are cut. All are stored before this returns."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks, self._draining = tasks, False
            watch = tasks.create_task(self._watch_load())
            try:
                yield
            finally:
                self._draining = True
                await self._drain(drain_s)
                watch.cancel()
                self._tasks = None

    async def open(
        self, order: CallOrder, *, tell: Tell, told: Callable[[str], None] = lambda _: None
    ) -> OpenedCall:
        """A call that waits for its line, at most 30 s. ``tell`` gets all that its program is to know, ``told`` the text
        messages of the program; both are called from the event loop and must not wait.

        Raises:
            LimitError: ``too_many_calls``, ``server_overloaded`` or ``server_shutdown``.
            MissingError: the session is another owner's, or there is no such persona.
            InputError: no recogniser hears the persona's language.
            ProviderUnavailableError: ``not_configured``: there is no recogniser or no voice.
            StorageUnavailableError: the session could not be looked for.
        """
        self._taking()
        sitter = self._seats.take(order.caller, order.owner, self._load)
        try:
            self._check_engines()
            persona = await self._persona(order)
            tasks = self._taking()
            opened = self._opened(order, persona, tell, told)
        except BaseException:
            self._seats.free(sitter)
            raise
        self._calls[opened.call.id] = opened
        self._seated[opened.call.id] = sitter
        tasks.create_task(self._run(opened.call))
        return opened

    def find(self, owner: Owner, call: UUID) -> OpenedCall | None:
        """A call of this owner that has not ended, for another line."""
        opened = self._calls.get(call)
        return opened if opened and opened.owner == owner and not opened.call.reason else None

    def _taking(self) -> asyncio.TaskGroup:
        """
        Raises:
            LimitError: ``server_shutdown``.
        """
        if self._draining or self._tasks is None:
            raise _not_now(self._draining)
        return self._tasks

    def _check_engines(self) -> None:
        parts = self._parts
        for kind, engines in (("recogniser", parts.listening.engines), ("voice", parts.speaking.engines)):
            if not engines:
                raise ProviderUnavailableError(
                    f"There is no {kind}, so nobody can be called.", provider="none", code="not_configured"
                )

    def _opened(
        self, order: CallOrder, persona: Persona, tell: Tell, told: Callable[[str], None]
    ) -> OpenedCall:
        """Waits for nothing: a call is driven from the moment in which it is made."""
        parts = self._parts
        session = order.session or (SessionId(parts.ids.new()) if order.personal else None)
        language = None if persona.locale == "mul" else persona.locale
        requests = _Requests(order, persona.id, session)

        def replies(post: Callable[[Event], None], spawn: Spawn) -> Replies:
            return Replies(parts.pipeline, requests, parts.clock, post, spawn)

        number = parts.ids.new()
        call = VoiceCall(
            CallParts(
                id=number,
                clock=parts.clock,
                profile=profile_of(persona, parts.profile),
                microphone=parts.listening.microphone(),
                hearers=parts.listening.hearers(
                    Hearing(language=language, phrases=parts.phrases), persona.voice.stt
                ),
                speaking=parts.speaking,
                voicing=Voicing(
                    voice=persona.voice.voice,
                    language=language,
                    speed=persona.voice.speed,
                    instructions=persona.voice.instructions_override or "",
                ),
                replies=replies,
                tell=tell,
                told=told,
                ends=EndOfTurn(
                    self._verdicts,
                    Listener(
                        persona.voice.stt or "",
                        order.owner.account,
                        order.owner.subject if order.personal else str(number),
                    ),
                ),
                wanted_voice=persona.voice.tts,
                over=partial(self._stand_up, number),
                record=partial(parts.record, number) if parts.record else None,
            )
        )
        return OpenedCall(call, order.owner, persona, session)

    async def _persona(self, order: CallOrder) -> Persona:
        if order.session and not order.personal:
            raise InputError(
                "This key serves many people, so a session needs to know whose it is.",
                code="missing_required_parameter",
                param="user_id",
            )
        session = None
        if order.session:
            try:
                session = await stored(self._parts.history.session(order.owner, order.session), STORAGE_S)
            except MissingError:
                raise no_such_session() from None
        snapshot = self._parts.snapshot()
        choice = choose(order.model, order.persona, session.pin if session else None, snapshot)
        return snapshot.catalog.get(choice.persona).persona

    async def _run(self, call: VoiceCall) -> None:
        try:
            await call.run()
        except Exception:  # noqa: BLE001  a call that fails ends alone
            _log.exception("call %s failed", call.id)
        finally:
            self._calls.pop(call.id, None)
            self._stand_up(call.id)

    def _stand_up(self, call: UUID) -> None:
        """The seat is free, also while the end of the call is still being stored. Twice does nothing."""
        if sitter := self._seated.pop(call, None):
            self._seats.free(sitter)

    async def _drain(self, drain_s: float) -> None:
        calls = [it.call for it in self._calls.values()]
        for call in calls:
            call.drain(drain_s)
        if calls:
            await asyncio.wait([asyncio.ensure_future(it.ended()) for it in calls], timeout=drain_s)
        for call in calls:
            call.close("drained")

    async def _watch_load(self) -> None:
        while True:
            await asyncio.sleep(LOAD_S)  # noqa: TID251  the pace of looking
            try:
                self._tell_load(self._parts.load())
            except Exception:  # noqa: BLE001  the top loop of upkeep: a gauge that fails ends no call
                _log.exception("how busy the machine is could not be seen")

    def _tell_load(self, percent: int) -> None:
        if abs(percent - self._load) >= LOAD_STEP:
            self._load = percent
            for opened in tuple(self._calls.values()):
                opened.call.busy(percent)


class _Requests:
    """What the turns of a call ask the pipeline. Without a session it remembers itself what was said."""

    def __init__(self, order: CallOrder, persona: PersonaId, session: SessionId | None) -> None:
        self._order = order
        self._persona = persona
        self._session = session
        self._said: list[Message] = []

    def __call__(self, text: str, *, after_tools: bool = False) -> ChatRequest:
        order = self._order
        said = tuple(self._said) if self._session is None else ()
        new = UserMessage(content=text) if text else SystemMessage(content=RESULTS if after_tools else GO_ON)
        return ChatRequest(
            caller=order.caller,
            owner=order.owner,
            model=order.model,
            messages=(*said, SystemMessage(content=SPOKEN), new),
            request=order.request,
            personal=order.personal,
            persona=self._persona,
            session=self._session,
            timezone=order.timezone,
            locale=order.locale,
            unasked=not text,
        )

    def heard(self, question: str, answer: str) -> None:
        """What became of a turn."""
        if self._session is None:
            self._said += [UserMessage(content=question)] if question else []
            self._said += [AssistantMessage(content=answer)] if answer else []
            del self._said[:-MESSAGES]

    def corrected(self, question: str, said: str) -> None:
        """What the last ``question`` really was."""
        asked = UserMessage(content=question)
        if asked in self._said:
            at = len(self._said) - 1 - self._said[::-1].index(asked)
            self._said[at] = UserMessage(content=said)

    def shortened(self, answer: str, heard: str) -> None:
        """Of the last ``answer`` only this was heard."""
        said = AssistantMessage(content=answer)
        if said in self._said:
            at = len(self._said) - 1 - self._said[::-1].index(said)
            self._said[at : at + 1] = [AssistantMessage(content=heard)] if heard else []


def _not_now(draining: bool) -> LimitError | LocalProtocolError:
    if draining:
        return LimitError("The server is shutting down.", code="server_shutdown", retry_after_s=1.0)
    return LocalProtocolError("calls are not taken yet")
