"""Memory and profile help a turn, and never harm it."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import saying
from cozy_domain.audit.events import Degradation, EngineDegraded, TurnAudited
from cozy_domain.chat.events import ChatEvent, TurnEnded
from cozy_domain.chat.request import ChatRequest
from cozy_domain.memory import ChatMemory, Fact
from cozy_domain.messages import AssistantMessage
from tests.fixtures.chat import OWNER, ChatUnderTest, asking, events_of, text_in
from tests.fixtures.clocks import LoopClock
from tests.fixtures.fakes import BrokenMemory, LyingMemory, SlowMemory, SlowProfile
from tests.fixtures.turns import T0, number

pytestmark = pytest.mark.virtual_time

FACT = Fact(number(1), "Mei likes lighthouses", T0)


def degraded(events: list[ChatEvent]) -> tuple[Degradation, ...]:
    last = events[-1]
    assert isinstance(last, TurnEnded)
    return last.outcome.degraded


@pytest.mark.parametrize(
    ("memory", "reason", "after_ms"),
    [(SlowMemory(60), "timeout", 400), (BrokenMemory(), "error", 0), (LyingMemory(FACT), "malformed", 0)],
)
async def test_a_memory_that_fails_is_named_and_skipped(
    memory: ChatMemory, reason: str, after_ms: int
) -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.memory = memory  # type: ignore[assignment]  # any memory will do
    async with chat.running(saying("hello")) as pipeline:
        events = await events_of(pipeline, asking("lighthouses?"))
        stored = await chat.stored()
    expected = Degradation("memory", reason, after_ms)
    assert text_in(events) == "hello"
    assert degraded(events) == (expected,)
    assert stored[-1].message == AssistantMessage("hello")
    skipped = [record for record in chat.records if isinstance(record.event, EngineDegraded)]
    assert [(record.event, record.level) for record in skipped] == [(EngineDegraded(expected), "warning")]
    assert "lighthouses" not in repr(chat.model.requests[0].messages[0])


async def test_slow_engines_delay_the_model_by_the_slowest_deadline_alone() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.memory, chat.profile = SlowMemory(60), SlowProfile(60)  # type: ignore[assignment]  # as above
    async with chat.running(saying("hello")) as pipeline:
        events = await events_of(pipeline, asking("lighthouses?"))
    assert asyncio.get_running_loop().time() == pytest.approx(0.4)
    assert degraded(events) == (Degradation("memory", "timeout", 400), Degradation("profile", "timeout", 300))
    last = events[-1]
    assert isinstance(last, TurnEnded)
    assert last.outcome.timings.context_ms == pytest.approx(400)
    assert last.outcome.timings.first_token_ms == pytest.approx(400)


async def test_engines_that_answer_are_named_in_the_audit_and_nowhere_else() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    await chat.memory.remember(OWNER, FACT)
    async with chat.running(saying("hello")) as pipeline:
        events = await events_of(pipeline, asking("lighthouses?"))
    assert degraded(events) == ()
    (record,) = chat.records
    assert isinstance(record.event, TurnAudited)
    assert record.event.engines == ("memory", "profile")
    assert FACT.text in repr(chat.model.requests[0])


@pytest.mark.parametrize(
    "request_",
    [
        asking("lighthouses?", personalise=False),
        asking("lighthouses?", personal=False, session=None),
    ],
)
async def test_whoever_is_not_known_or_does_not_want_it_is_not_remembered(request_: ChatRequest) -> None:
    chat = ChatUnderTest(clock=LoopClock())
    await chat.memory.remember(OWNER, FACT)
    async with chat.running(saying("hello")) as pipeline:
        await events_of(pipeline, request_)
        assert await chat.jobs.list() == ()
    assert FACT.text not in repr(chat.model.requests[0])
