"""Asks history, memory, knowledge and profile at once, each under its own deadline.

History must answer: its error is the turn's. The other three may be late, broken or lying: then they are skipped and
named in ``degraded``. An engine that fails five times in a row is left alone for 30 s (``routing.circuit``).

Each engine runs in one task of its own that is waited for, not awaited: one that ignores its cancellation delays nobody.
Such a task is kept until it ends, and ``aclose`` gives it a last moment.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Generic, Literal, TypeVar

import msgspec

from cozy_domain.audit.events import Degradation
from cozy_domain.clock import Clock
from cozy_domain.context import answers
from cozy_domain.context.bundle import Candidate, Engine, Gathered
from cozy_domain.context.intent import engines, query_of
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.ids import Owner
from cozy_domain.knowledge import KnowledgeBase, KnowledgeQuery
from cozy_domain.memory import ChatMemory, RecallQuery
from cozy_domain.models.ports import TokenCounter
from cozy_domain.persona.persona import Persona
from cozy_domain.profile import Profile, ProfileStore
from cozy_domain.routing.circuit import Circuit, after_failure, after_success, allows, probing
from cozy_domain.sessions.ports import TurnHistory
from cozy_domain.sessions.session import PastTurn, Session

LAST_MOMENT_S = 1.0
T = TypeVar("T")
Answer = tuple[Candidate, ...] | Profile


class Deadlines(msgspec.Struct, frozen=True):
    """Milliseconds (settled question 17). History's is the store's own: past it the turn fails."""

    memory_ms: int = 400
    knowledge_ms: int = 500
    profile_ms: int = 300
    history_ms: int = 5_000

    def of(self, engine: Engine) -> int:
        return {"memory": self.memory_ms, "knowledge": self.knowledge_ms, "profile": self.profile_ms}[engine]


DEADLINES = Deadlines()


class Wanted(msgspec.Struct, frozen=True):
    """What a turn asks for. ``before`` is the turn's own ``seq``; ``text`` is what the user said, and what is searched for:
    when tool results go on with a waiting turn, it is the text of that turn."""

    owner: Owner
    persona: Persona
    text: str
    personalise: bool
    session: Session | None = None
    before: int = 0


class _Failed(msgspec.Struct, frozen=True):
    reason: Literal["timeout", "error", "malformed"]


class _LateError(Exception):
    """The deadline has passed."""


class ContextAssembly:
    """Gathers what a turn's prompt may hold. One instance serves all turns: it remembers which engines are broken."""

    def __init__(
        self,
        history: TurnHistory,
        memory: ChatMemory,
        knowledge: KnowledgeBase,
        profile: ProfileStore,
        tokens: TokenCounter,
        clock: Clock,
        deadlines: Deadlines = DEADLINES,
    ) -> None:
        self._history = history
        self._memory = memory
        self._knowledge = knowledge
        self._profile = profile
        self._tokens = tokens
        self._clock = clock
        self._deadlines = deadlines
        self._circuits: dict[Engine, Circuit] = {}
        self._abandoned: set[asyncio.Task[object]] = set()

    async def gather(self, want: Wanted) -> Gathered:
        """Everything that answered in time, in a fixed order, whichever came first.

        Raises:
            StorageUnavailableError: the history did not come; what else its store raises passes through.
        """
        asked = engines(want.persona, want.personalise, want.text)
        past = self._past(want)
        inquiries = [(engine, self._ask(engine, want)) for engine in asked]
        try:
            history = await self._remembered(past) if past else ()
            given = [await self._heard(engine, inquiry) for engine, inquiry in inquiries]
        finally:
            if past:
                self._leave(past)
            for _, inquiry in inquiries:
                if inquiry:
                    self._leave(inquiry)
        return Gathered(
            history=history,
            profile=next((answer for answer in given if isinstance(answer, Profile)), Profile()),
            candidates=tuple(item for answer in given if isinstance(answer, tuple) for item in answer),
            degraded=tuple(answer for answer in given if isinstance(answer, Degradation)),
            asked=asked,
        )

    def circuits(self) -> Mapping[Engine, Circuit]:
        """The state of every engine that was asked so far."""
        return dict(self._circuits)

    async def aclose(self) -> None:
        """Waits, for a second at most, until engines that ignored their deadline have ended."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=LAST_MOMENT_S)

    def _past(self, want: Wanted) -> "_Inquiry[tuple[PastTurn, ...]] | None":
        if want.session is None:
            return None
        session = want.session
        turns = self._history.turns(want.owner, session.id, session.history_from, want.before)
        return _Inquiry(turns, self._deadlines.history_ms, self._clock)

    async def _remembered(self, past: "_Inquiry[tuple[PastTurn, ...]]") -> tuple[PastTurn, ...]:
        try:
            return await past.answer()
        except _LateError:
            raise StorageUnavailableError("the history did not come in time") from None

    def _ask(self, engine: Engine, want: Wanted) -> "_Inquiry[Answer] | None":
        """None when the engine is left alone."""
        start = self._clock.monotonic_ns()
        circuit = self._circuits.get(engine, Circuit())
        if not allows(circuit, start):
            return None
        self._circuits[engine] = probing(circuit, start)
        return _Inquiry(self._checked(engine, want), self._deadlines.of(engine), self._clock)

    async def _heard(self, engine: Engine, inquiry: "_Inquiry[Answer] | None") -> Answer | Degradation:
        if inquiry is None:
            return Degradation(engine=engine, reason="open_circuit", after_ms=0)
        answer = await _answer_of(inquiry)
        circuit = self._circuits[engine]
        if isinstance(answer, _Failed):
            self._circuits[engine] = after_failure(circuit, inquiry.ended_ns)
            return Degradation(engine=engine, reason=answer.reason, after_ms=inquiry.took_ms)
        self._circuits[engine] = after_success(circuit)
        return answer

    async def _checked(self, engine: Engine, want: Wanted) -> Answer:
        if engine == "memory":
            return await self._recalled(want)
        if engine == "knowledge":
            return await self._found(want)
        return answers.profile(await self._profile.read(want.owner))

    async def _recalled(self, want: Wanted) -> Answer:
        read = want.persona.memory.read
        query = RecallQuery(
            text=query_of(want.text),
            limit=read.top_k,
            persona=None if "owner" in read.scopes else want.persona.id,
            min_score=read.min_score,
        )
        recalled = await self._memory.recall(want.owner, query)
        return answers.memory(recalled, query, want.persona.budgets.memory.priority, self._tokens)

    async def _found(self, want: Wanted) -> Answer:
        policy = want.persona.knowledge
        query = KnowledgeQuery(text=query_of(want.text), collections=policy.collections, limit=policy.top_k)
        found = await self._knowledge.search(want.owner, query)
        return answers.knowledge(found, query, want.persona.budgets.knowledge.priority, self._tokens)

    def _leave(self, inquiry: "_Inquiry[T]") -> None:
        """Nobody waits for it any more."""
        task = inquiry.stop()
        if not task.done():
            self._abandoned.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[T]) -> None:
        """Looks at the error, which asyncio would report as never retrieved."""
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()


class _Inquiry(Generic[T]):
    """Work under way. It has its result, or is late, at the deadline at the latest, even when it does not let itself be
    cancelled. A timer and a future, because every turn makes several of these: a task to wait for a task costs twice as
    much."""

    def __init__(self, work: Coroutine[object, object, T], deadline_ms: int, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._clock = clock
        self._began_ns = self.ended_ns = clock.monotonic_ns()
        self._late = False
        self._over: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(work)
        self._task.add_done_callback(self._end)
        self._timer = loop.call_later(deadline_ms / 1_000, self._expire)

    @property
    def took_ms(self) -> int:
        return (self.ended_ns - self._began_ns) // 1_000_000

    async def answer(self) -> T:
        """What the work gives.

        Raises:
            _LateError: the deadline has passed.
            Exception: whatever the work raises.
        """
        if not self._over.done():
            await self._over
        if self._late:
            raise _LateError
        if self._task.cancelled():
            raise StorageUnavailableError("the call was cancelled by the engine itself")
        return self._task.result()

    def stop(self) -> asyncio.Task[T]:
        """Cancels what is not done. The task, which may take no notice."""
        self._timer.cancel()
        self._task.remove_done_callback(self._end)
        self._task.cancel()
        return self._task

    def _expire(self) -> None:
        self._late = True
        self._task.cancel()
        self._end(self._task)

    def _end(self, _: asyncio.Task[T]) -> None:
        if not self._over.done():
            self._timer.cancel()
            self.ended_ns = self._clock.monotonic_ns()
            self._over.set_result(None)


async def _answer_of(inquiry: _Inquiry[Answer]) -> Answer | _Failed:
    try:
        return await inquiry.answer()
    except _LateError:
        return _Failed("timeout")
    except answers.LieError:
        return _Failed("malformed")
    except Exception:  # noqa: BLE001 - whatever an engine raises, the chat goes on without it
        return _Failed("error")
