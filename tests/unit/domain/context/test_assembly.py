"""History, memory, knowledge and profile at once."""

import asyncio
from typing import Any

import msgspec
import pytest

from cozy_domain.audit.events import Degradation
from cozy_domain.context.assembly import DEADLINES, Deadlines
from cozy_domain.context.bundle import Engine as EngineName
from cozy_domain.context.bundle import Gathered
from cozy_domain.errors import StorageConflictError, StorageUnavailableError
from cozy_domain.ids import PersonaId
from cozy_domain.knowledge import KnowledgeQuery
from cozy_domain.memory import RecallQuery
from cozy_domain.persona.persona import MemoryPolicy, MemoryRead
from cozy_domain.profile import Profile
from tests.unit.domain.context.engines import (
    FACTS,
    OWNER,
    PROFILE,
    READER,
    SESSION,
    Behaviour,
    Bench,
    after,
    deaf,
    failing,
    hanging,
    saying,
    wanted,
)
from tests.unit.domain.context.givens import spoken

pytestmark = pytest.mark.virtual_time
ENGINES: tuple[EngineName, ...] = ("memory", "knowledge", "profile")
EPSILON_S = 0.001
"""On virtual time only whole waits take any time at all."""


@pytest.fixture
def bench() -> Bench:
    return Bench()


def sources(gathered: Gathered) -> set[str]:
    """Which engines gave something."""
    given: set[str] = {item.source for item in gathered.candidates}
    return given | ({"profile"} if gathered.profile.slots else set())


async def timed(bench: Bench, **changes: Any) -> tuple[Gathered, float]:
    start = asyncio.get_running_loop().time()
    gathered = await bench.assembly.gather(wanted(**changes))
    return gathered, asyncio.get_running_loop().time() - start


async def test_everything_that_answers_is_gathered(bench: Bench) -> None:
    gathered = await bench.assembly.gather(wanted())
    assert gathered.history == (spoken(2), spoken(3))
    assert [item.text for item in gathered.candidates] == ["Likes tea.", "Tea at five."]
    assert gathered.profile == PROFILE
    assert gathered.degraded == ()
    assert gathered.asked == ENGINES


async def test_each_engine_is_asked_for_this_owner_and_this_text(bench: Bench) -> None:
    await bench.assembly.gather(wanted())
    assert bench.memory.asked == [(OWNER, RecallQuery(text="When is tea?", limit=10))]
    assert bench.knowledge.asked == [
        (OWNER, KnowledgeQuery(text="When is tea?", collections=("house",), limit=5))
    ]
    assert bench.profile.asked == [OWNER]
    assert bench.history.asked == [(OWNER, SESSION.id, 2, 4)]


async def test_a_persona_may_read_only_what_it_learned_itself(bench: Bench) -> None:
    own = MemoryPolicy(read=MemoryRead(scopes=("persona",), top_k=3, min_score=0.2))
    await bench.assembly.gather(wanted(persona=msgspec.structs.replace(READER, memory=own)))
    assert bench.memory.asked == [
        (OWNER, RecallQuery(text="When is tea?", limit=3, persona=PersonaId("anna"), min_score=0.2))
    ]


async def test_without_personalisation_only_history_is_asked(bench: Bench) -> None:
    gathered = await bench.assembly.gather(wanted(personalise=False))
    assert gathered == Gathered(history=(spoken(2), spoken(3)))
    assert bench.memory.asked == bench.knowledge.asked == bench.profile.asked == []


async def test_without_a_session_no_history_is_asked(bench: Bench) -> None:
    bench.history.behave = failing(StorageUnavailableError("down"))
    gathered = await bench.assembly.gather(wanted(session=None))
    assert gathered.history == ()
    assert bench.history.asked == []


# At once


async def test_three_engines_of_300_400_and_500_ms_take_500_ms_together() -> None:
    patient = Bench(Deadlines(memory_ms=1_000, knowledge_ms=1_000, profile_ms=1_000))
    patient.profile.behave, patient.memory.behave, patient.knowledge.behave = (
        after(300),
        after(400),
        after(500),
    )
    gathered, took = await timed(patient)
    assert sources(gathered) == set(ENGINES)
    assert took == pytest.approx(0.5, abs=EPSILON_S)


async def test_history_is_asked_at_the_same_time(bench: Bench) -> None:
    bench.history.behave, bench.knowledge.behave = after(450), after(450)
    gathered, took = await timed(bench)
    assert len(gathered.history) == 2
    assert took == pytest.approx(0.45, abs=EPSILON_S)


@pytest.mark.parametrize("order", [(30, 20, 10), (10, 20, 30), (20, 10, 30)])
async def test_the_order_of_answers_makes_no_difference(bench: Bench, order: tuple[int, int, int]) -> None:
    whole = await Bench().assembly.gather(wanted())
    for engine, ms in zip(ENGINES, order, strict=True):
        bench.engine(engine).behave = after(ms)
    assert await bench.assembly.gather(wanted()) == whole


# Degraded

WRONG: list[tuple[str, Behaviour, str]] = [
    ("raises its port's error", failing(StorageUnavailableError("down")), "error"),
    ("raises anything", failing(ZeroDivisionError()), "error"),
    ("raises a timeout of its own", failing(TimeoutError()), "error"),
    ("raises a group", failing(ExceptionGroup("all", [ValueError()])), "error"),
    ("cancels itself", failing(asyncio.CancelledError()), "error"),
    ("hangs", hanging, "timeout"),
    ("hangs and cannot be cancelled", deaf, "timeout"),
    ("answers just too late", after(501), "timeout"),
    ("gives nothing", saying(None), "malformed"),
    ("gives 10 MB of text", saying("x" * 10_000_000), "malformed"),
    ("gives too much", saying(FACTS * 1_000), "malformed"),
    ("gives another port's values", saying((object(),)), "malformed"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("behave", "reason"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
async def test_a_wrong_engine_is_skipped_and_named_within_its_deadline(
    bench: Bench, engine: EngineName, behave: Behaviour, reason: str
) -> None:
    bench.engine(engine).behave = behave
    gathered, took = await timed(bench)
    deadline_ms = DEADLINES.of(engine) if reason == "timeout" else 0
    assert gathered.degraded == (Degradation(engine=engine, reason=reason, after_ms=deadline_ms),)
    assert sources(gathered) == set(ENGINES) - {engine}
    assert gathered.history == (spoken(2), spoken(3))
    assert gathered.asked == ENGINES
    assert took <= deadline_ms / 1_000 + EPSILON_S
    await bench.assembly.aclose()
    await asyncio.sleep(2)  # the deaf one ends by itself


async def test_all_engines_at_once_may_be_dead(bench: Bench) -> None:
    for engine in ENGINES:
        bench.engine(engine).behave = hanging
    gathered, took = await timed(bench)
    assert [it.engine for it in gathered.degraded] == list(ENGINES)
    assert [it.after_ms for it in gathered.degraded] == [400, 500, 300]
    assert gathered.profile == Profile()
    assert gathered.candidates == ()
    assert took == pytest.approx(0.5, abs=EPSILON_S)


async def test_closing_waits_for_a_deaf_engine_but_not_for_ever(bench: Bench) -> None:
    bench.profile.behave = deaf
    await bench.assembly.gather(wanted())
    start = asyncio.get_running_loop().time()
    await bench.assembly.aclose()
    assert asyncio.get_running_loop().time() - start == pytest.approx(1.0, abs=EPSILON_S)
    await asyncio.sleep(1)
    await bench.assembly.aclose()
    assert asyncio.get_running_loop().time() - start == pytest.approx(2.0, abs=EPSILON_S)


async def test_an_engine_that_fails_after_it_was_given_up_is_heard_of_no_more(bench: Bench) -> None:
    async def late_failure(honest: Any) -> Any:
        try:
            await hanging(honest)
        except asyncio.CancelledError:
            raise RuntimeError("too late") from None

    bench.memory.behave = late_failure
    gathered = await bench.assembly.gather(wanted())
    assert [it.reason for it in gathered.degraded] == ["timeout"]
    await bench.assembly.aclose()


# Breakers


@pytest.mark.parametrize(
    "behave", [failing(ValueError()), saying(None), hanging], ids=["raises", "lies", "hangs"]
)
@pytest.mark.parametrize("engine", ENGINES)
async def test_the_sixth_time_a_broken_engine_is_not_asked(
    bench: Bench, engine: EngineName, behave: Behaviour
) -> None:
    bench.engine(engine).behave = behave
    for _ in range(5):
        await bench.assembly.gather(wanted())
    gathered, took = await timed(bench)
    assert gathered.degraded == (Degradation(engine=engine, reason="open_circuit", after_ms=0),)
    assert len(bench.engine(engine).asked) == 5
    assert took < EPSILON_S
    assert sources(gathered) == set(ENGINES) - {engine}


async def test_the_state_of_every_engine_that_was_asked_can_be_seen(bench: Bench) -> None:
    bench.memory.behave = failing(ValueError())
    await bench.assembly.gather(wanted())
    circuits = bench.assembly.circuits()
    assert {name: circuits[name].failures for name in circuits} == {"memory": 1, "knowledge": 0, "profile": 0}


async def test_after_30_s_one_good_answer_brings_an_engine_back(bench: Bench) -> None:
    bench.memory.behave = failing(ValueError())
    for _ in range(5):
        await bench.assembly.gather(wanted())
    bench.memory.behave = after(0)
    await asyncio.sleep(30)
    for _ in range(2):
        assert (await bench.assembly.gather(wanted())).degraded == ()


async def test_after_30_s_one_bad_answer_closes_the_door_again(bench: Bench) -> None:
    bench.memory.behave = failing(ValueError())
    for _ in range(5):
        await bench.assembly.gather(wanted())
    await asyncio.sleep(30)
    reasons = [(await bench.assembly.gather(wanted())).degraded[0].reason for _ in range(2)]
    assert reasons == ["error", "open_circuit"]


async def test_a_good_answer_in_between_starts_the_count_again(bench: Bench) -> None:
    for behave in [failing(ValueError())] * 4 + [after(0)] + [failing(ValueError())] * 4:
        bench.memory.behave = behave
        await bench.assembly.gather(wanted())
    bench.memory.behave = after(0)
    assert (await bench.assembly.gather(wanted())).degraded == ()


async def test_a_caller_who_leaves_says_nothing_about_the_engines(bench: Bench) -> None:
    bench.memory.behave = hanging
    for _ in range(6):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await bench.assembly.gather(wanted())
    bench.memory.behave = after(0)
    assert (await bench.assembly.gather(wanted())).degraded == ()


# History


@pytest.mark.parametrize(
    "error", [StorageUnavailableError("down"), StorageConflictError("twice"), ZeroDivisionError()]
)
async def test_an_error_of_the_history_passes_through_at_once(bench: Bench, error: Exception) -> None:
    bench.history.behave = failing(error)
    bench.memory.behave = hanging
    start = asyncio.get_running_loop().time()
    with pytest.raises(type(error)) as raised:
        await bench.assembly.gather(wanted())
    assert raised.value is error
    assert asyncio.get_running_loop().time() - start < EPSILON_S


@pytest.mark.parametrize("behave", [hanging, deaf], ids=["hangs", "cannot be cancelled"])
async def test_a_history_that_does_not_come_is_an_unavailable_store(behave: Behaviour) -> None:
    impatient = Bench(Deadlines(history_ms=1_000))
    impatient.history.behave = behave
    start = asyncio.get_running_loop().time()
    with pytest.raises(StorageUnavailableError):
        await impatient.assembly.gather(wanted())
    assert asyncio.get_running_loop().time() - start == pytest.approx(1.0, abs=EPSILON_S)
    await impatient.assembly.aclose()


async def test_history_has_five_seconds_by_default(bench: Bench) -> None:
    bench.history.behave = after(4_999)
    assert len((await bench.assembly.gather(wanted())).history) == 2


async def test_leaving_cancels_everything_that_was_asked(bench: Bench) -> None:
    ended: list[str] = []

    def watched(name: str) -> Behaviour:
        async def wait(honest: Any) -> Any:
            try:
                await hanging(honest)
            finally:
                ended.append(name)

        return wait

    bench.history.behave = watched("history")
    for engine in ENGINES:
        bench.engine(engine).behave = watched(engine)
    gathering = asyncio.create_task(bench.assembly.gather(wanted()))
    await asyncio.sleep(0.01)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    await bench.assembly.aclose()
    assert sorted(ended) == ["history", "knowledge", "memory", "profile"]
