"""Asks history, memory, knowledge and profile at once, each under its own deadline.

History must answer: its error is the turn's. The other three may be late, broken or lying: then they are skipped and
named in ``degraded``. An engine that fails five times in a row is left alone for 30 s (``routing.circuit``).

Each engine runs in a task of its own that is waited for, not awaited: one that ignores its cancellation delays nobody.
Such a task is kept until it ends, and ``aclose`` gives it a last moment.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Literal, TypeVar

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
        try:
            async with asyncio.TaskGroup() as group:
                past = group.create_task(self._past(want))
                asking = [group.create_task(self._ask(engine, want)) for engine in asked]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        given = [task.result() for task in asking]
        return Gathered(
            history=past.result(),
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

    async def _past(self, want: Wanted) -> tuple[PastTurn, ...]:
        if want.session is None:
            return ()
        session = want.session
        turns = self._history.turns(want.owner, session.id, session.history_from, want.before)
        try:
            return await self._within(self._deadlines.history_ms, turns)
        except _LateError:
            raise StorageUnavailableError("the history did not come in time") from None

    async def _ask(self, engine: Engine, want: Wanted) -> Answer | Degradation:
        start = self._clock.monotonic_ns()
        circuit = self._circuits.get(engine, Circuit())
        if not allows(circuit, start):
            return Degradation(engine=engine, reason="open_circuit", after_ms=0)
        self._circuits[engine] = probing(circuit, start)
        answer = await self._answer(engine, want)
        end = self._clock.monotonic_ns()
        circuit = self._circuits[engine]
        if isinstance(answer, _Failed):
            self._circuits[engine] = after_failure(circuit, end)
            return Degradation(engine=engine, reason=answer.reason, after_ms=(end - start) // 1_000_000)
        self._circuits[engine] = after_success(circuit)
        return answer

    async def _answer(self, engine: Engine, want: Wanted) -> Answer | _Failed:
        try:
            return await self._within(self._deadlines.of(engine), self._checked(engine, want))
        except _LateError:
            return _Failed("timeout")
        except answers.LieError:
            return _Failed("malformed")
        except Exception:  # noqa: BLE001 - whatever an engine raises, the chat goes on without it
            return _Failed("error")

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

    async def _within(self, deadline_ms: int, work: Coroutine[object, object, T]) -> T:
        """The result of ``work``, or ``_LateError`` at the deadline, even when ``work`` does not let itself be cancelled."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait((task,), timeout=deadline_ms / 1_000)
            if not task.done():
                raise _LateError
            if task.cancelled():
                raise StorageUnavailableError("the call was cancelled by the engine itself")
            return task.result()
        finally:
            if not task.done():
                self._abandon(task)

    def _abandon(self, task: asyncio.Task[T]) -> None:
        task.cancel()
        self._abandoned.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[T]) -> None:
        """Looks at the error, which asyncio would report as never retrieved."""
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()
