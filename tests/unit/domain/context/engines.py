"""Engines that behave in one way each: answer after a while, raise, hang, refuse to be cancelled, lie."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cozy_domain.context.assembly import DEADLINES, ContextAssembly, Deadlines, Wanted
from cozy_domain.ids import Owner, SessionId
from cozy_domain.knowledge import Found, KnowledgeBase, KnowledgeQuery, Passage
from cozy_domain.memory import ChatMemory, Fact, Recalled, RecallQuery
from cozy_domain.persona.persona import KnowledgePolicy, Persona
from cozy_domain.profile import Profile, ProfileStore, Slot
from cozy_domain.sessions.ports import TurnHistory
from cozy_domain.sessions.session import PastTurn, PersonaPin, Session
from cozy_domain.sessions.turn import WaitingRound
from tests.unit.domain.context.givens import COUNTER, anna, spoken

OWNER = Owner("acme", "bob")
START = datetime(2026, 11, 22, tzinfo=UTC)
FACTS = (Recalled(fact=Fact(id=UUID(int=1), text="Likes tea.", at=START), score=0.5),)
PASSAGES = (
    Found(passage=Passage(id="p", text="Tea at five.", source="rules", collection="house"), score=0.5),
)
PROFILE = Profile(slots=(Slot("name", "Bob"),), version=1)
SESSION = Session(
    id=SessionId(UUID(int=9)),
    owner=OWNER.id,
    pin=PersonaPin(persona=anna().id, revision=1),
    created_at=START,
    last_turn_at=START,
    history_from=2,
)
READER: Persona = anna(knowledge=KnowledgePolicy(collections=("house",)))

Behaviour = Callable[[Any], Awaitable[Any]]


async def honestly(honest: Any) -> Any:
    return honest


def after(ms: int) -> Behaviour:
    """Gives the honest answer after so many milliseconds."""

    async def answer(honest: Any) -> Any:
        await asyncio.sleep(ms / 1_000)
        return honest

    return answer


def failing(error: BaseException) -> Behaviour:
    async def fail(honest: Any) -> Any:
        raise error

    return fail


def saying(lie: Any) -> Behaviour:
    async def say(honest: Any) -> Any:
        return lie

    return say


async def hanging(honest: Any) -> Any:
    await asyncio.get_running_loop().create_future()


async def deaf(honest: Any) -> Any:
    """Hears of its cancellation and goes on for 2 s all the same."""
    end = asyncio.get_running_loop().time() + 2
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return honest


class Engine:
    """All ports at once; each call is written down and answered by the behaviour of the moment."""

    def __init__(self, honest: Any, behave: Behaviour = honestly) -> None:
        self.honest = honest
        self.behave = behave
        self.asked: list[Any] = []

    async def recall(self, owner: Owner, query: RecallQuery) -> Any:
        self.asked.append((owner, query))
        return await self.behave(self.honest)

    async def search(self, owner: Owner, query: KnowledgeQuery) -> Any:
        self.asked.append((owner, query))
        return await self.behave(self.honest)

    async def read(self, owner: Owner) -> Any:
        self.asked.append(owner)
        return await self.behave(self.honest)

    async def turns(self, owner: Owner, session: SessionId, since: int, before: int) -> tuple[PastTurn, ...]:
        self.asked.append((owner, session, since, before))
        found: tuple[PastTurn, ...] = await self.behave(self.honest)
        return found

    async def session(self, owner: Owner, session: SessionId) -> Session | None:
        raise NotImplementedError

    async def waiting_round(
        self, owner: Owner, calls: tuple[str, ...], since: datetime
    ) -> WaitingRound | None:
        raise NotImplementedError

    async def remember(self, owner: Owner, fact: Fact) -> None:
        raise NotImplementedError

    async def forget(self, owner: Owner, fact: UUID) -> None:
        raise NotImplementedError

    async def add(self, passage: Passage, owner: Owner | None = None) -> None:
        raise NotImplementedError

    async def remove(self, collection: str, source: str, owner: Owner | None = None) -> None:
        raise NotImplementedError

    async def put(self, owner: Owner, slot: Slot) -> None:
        raise NotImplementedError


class LoopClock:
    """The running loop's own time, which may be virtual."""

    def now(self) -> datetime:
        return START + timedelta(microseconds=self.monotonic_ns() // 1_000)

    def monotonic_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000_000_000)


class Bench:
    """An assembly over four engines, each of which can be made to behave in its own way."""

    def __init__(self, deadlines: Deadlines = DEADLINES) -> None:
        self.history = Engine((spoken(2), spoken(3)))
        self.memory = Engine(FACTS)
        self.knowledge = Engine(PASSAGES)
        self.profile = Engine(PROFILE)
        history: TurnHistory = self.history
        memory: ChatMemory = self.memory
        knowledge: KnowledgeBase = self.knowledge
        profile: ProfileStore = self.profile
        self.assembly = ContextAssembly(
            history, memory, knowledge, profile, COUNTER, LoopClock(), deadlines=deadlines
        )

    def engine(self, name: str) -> Engine:
        return {"memory": self.memory, "knowledge": self.knowledge, "profile": self.profile}[name]


def wanted(text: str = "When is tea?", **changes: Any) -> Wanted:
    plain = {"owner": OWNER, "persona": READER, "personalise": True, "session": SESSION, "before": 4}
    return Wanted(text=text, **{**plain, **changes})
