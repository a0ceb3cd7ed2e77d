"""A chat path that plays what a test wrote, and an application around the surfaces that need it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from litestar import Litestar
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_adapters.inmemory.embedder import InMemoryEmbedder
from cozy_adapters.inmemory.sessions import InMemorySessionStore, InMemoryTurnHistory
from cozy_domain.access.caller import Caller
from cozy_domain.audit.events import Degradation
from cozy_domain.chat.events import ChatEvent, TurnEnded, TurnStarted
from cozy_domain.chat.request import ChatRequest
from cozy_domain.embedding import Embedding
from cozy_domain.ids import PersonaId, SessionId, TurnId
from cozy_domain.messages import FinishReason, Usage
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import Persona, PublishedPersona
from cozy_domain.routing.choice import Route, RouteTable, Snapshot
from cozy_domain.routing.embedding import LEXICAL, EmbeddingRoutes
from cozy_domain.sessions.session import PersonaPin
from cozy_domain.sessions.turn import Timings, TurnOutcome
from cozy_server.cozy import sessions
from cozy_server.openai import chat, embeddings, line, models
from cozy_server.problems import EXCEPTION_HANDLERS, Stamp

TURN = TurnId(UUID("01890000-0000-7000-8000-000000000001"))
SESSION = SessionId(UUID("01890000-0000-7000-8000-000000000002"))
AT = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)

Step = ChatEvent | tuple[ChatEvent, ...] | Exception | asyncio.Event | float
"""An event to give or several that come together, an error to raise, something to wait for, or seconds of silence."""


def started(session: SessionId | None = None) -> TurnStarted:
    return TurnStarted(TURN, session, PersonaPin(PersonaId("anna"), 3), AT)


def ended(*finish: FinishReason, usage: Usage | None = None) -> TurnEnded:
    outcome = TurnOutcome(
        finish=finish or ("stop",),
        usage=usage or Usage(7, 5, cached_tokens=2, reasoning_tokens=1, known=True),
        model="offline/echo",
        degraded=(Degradation("memory", "timeout", 400),),
        timings=Timings(1.5, 20.0, 30.0),
    )
    return TurnEnded("completed", outcome)


class Played:
    """Events as they come."""

    def __init__(self, events: AsyncIterator[tuple[ChatEvent, ...]]) -> None:
        self._events = events
        self._ready: tuple[ChatEvent, ...] = ()

    def __aiter__(self) -> "Played":
        return self

    async def __anext__(self) -> ChatEvent:
        first, *rest = self._ready or await anext(self._events)
        self._ready = tuple(rest)
        return first

    def ready(self) -> Sequence[ChatEvent]:
        found, self._ready = self._ready, ()
        return found


class ScriptedChat:
    """``requests`` are the turns asked for; ``entered`` and ``left`` are set when a turn's context is. ``at_exit`` is raised
    on leaving."""

    def __init__(self, *steps: Step, at_exit: Exception | None = None) -> None:
        self._steps = steps
        self._at_exit = at_exit
        self.requests: list[ChatRequest] = []
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    @asynccontextmanager
    async def turn(self, request: ChatRequest) -> AsyncIterator["Played"]:
        self.requests.append(request)
        self.entered.set()
        events = self._play()
        try:
            yield Played(events)
        finally:
            await events.aclose()
            self.left.set()
            if self._at_exit:
                raise self._at_exit

    async def _play(self) -> Any:
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step if isinstance(step, tuple) else (step,)


class FixedClock:
    def now(self) -> datetime:
        return AT

    def monotonic_ns(self) -> int:
        return 0


class CountedIds:
    def __init__(self) -> None:
        self.count = 0

    def new(self) -> UUID:
        self.count += 1
        return UUID(int=self.count)


def published(name: str, at_us: int = 1_700_000_000_000_000) -> PublishedPersona:
    return PublishedPersona(Persona(id=PersonaId(name), name=name), 1, "0" * 64, at_us)


SNAPSHOT = Snapshot(
    Catalog([published("default"), published("anna")]),
    RouteTable(
        default=(ModelRef("offline", "echo"),),
        routes=(Route("fast", (ModelRef("openai", "small"),)),),
        allowed=(ModelRef("openai", "org/big"),),
    ),
)


def app_with(
    chat_path: ScriptedChat | None = None,
    *,
    caller: Caller | None = None,
    conversations: InMemoryConversations | None = None,
    heartbeat_s: float = line.HEARTBEAT_S,
    embedder: InMemoryEmbedder | None = None,
) -> Stamp:
    store = conversations or InMemoryConversations()
    embedding = embedder or InMemoryEmbedder()
    who = caller or Caller("acme")
    things: Mapping[str, object] = {
        "embedding": Embedding(lambda _: embedding, FixedClock()),
        "embedding_routes": EmbeddingRoutes(aliases=(("text-embedding-3-small", LEXICAL),)),
        "pipeline": chat_path or ScriptedChat(started(), ended()),
        "caller": who,
        "snapshot": SNAPSHOT,
        "sessions": InMemorySessionStore(store),
        "history": InMemoryTurnHistory(store),
        "clock": FixedClock(),
        "heartbeat_s": heartbeat_s,
    }
    app = Litestar(
        [*chat.routes, *embeddings.routes, *models.routes, *sessions.routes],
        dependencies={name: Provide(_giving(thing), sync_to_thread=False) for name, thing in things.items()},
        middleware=[DefineMiddleware(Admitted, caller=who)],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        logging_config=None,
        openapi_config=None,
    )
    return Stamp(app, CountedIds(), FixedClock())


class Admitted:
    """Everybody is the same caller."""

    def __init__(self, app: ASGIApp, caller: Caller) -> None:
        self._app = app
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["caller"] = self._caller
        await self._app(scope, receive, send)


def _giving(thing: object) -> Callable[[], Any]:
    def give() -> Any:
        return thing

    return give


class Client:
    """An ASGI client that sees every message and may leave at any moment; at a body with ``slow_at`` it takes its time."""

    slow_at: bytes | None = None
    slow_s = 0.0

    def __init__(self, app: Any) -> None:
        self._app = app
        self.messages: list[dict[str, Any]] = []
        self._gone = asyncio.Event()
        self._heard = asyncio.Condition()

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Runs the call to its end."""
        chunks = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if chunks:
                return chunks.pop(0)
            await self._gone.wait()
            return {"type": "http.disconnect"}

        await self._app(http_scope("POST", path, headers), receive, self._send)

    def leave(self) -> None:
        self._gone.set()

    async def heard(self, text: bytes) -> None:
        """Waits until ``text`` was received."""
        async with self._heard:
            await self._heard.wait_for(lambda: text in self.body)

    @property
    def status(self) -> int | None:
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def pieces(self) -> Sequence[bytes]:
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]

    async def _send(self, message: Any) -> None:
        if self.slow_at and self.slow_at in message.get("body", b""):
            await asyncio.sleep(self.slow_s)
        async with self._heard:
            self.messages.append(message)
            self._heard.notify_all()


def http_scope(method: str, path: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    given = {"content-type": "application/json", **(headers or {})}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
