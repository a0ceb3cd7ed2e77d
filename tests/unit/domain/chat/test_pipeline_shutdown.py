"""The process ends while turns are under way."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import saying
from cozy_domain.audit.events import TurnAudited
from cozy_domain.chat.events import ChatEvent, TurnEnded
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.errors import LimitError, LocalProtocolError
from cozy_domain.messages import AssistantMessage
from cozy_domain.models.deltas import TextDelta
from cozy_domain.sessions.turn import IdempotencyKey
from tests.fixtures.chat import ChatUnderTest, asking, events_of, text_in, until
from tests.fixtures.clocks import LoopClock
from tests.fixtures.turns import at

pytestmark = pytest.mark.virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


async def undecided(pipeline: ChatPipeline) -> list[ChatEvent]:
    async with pipeline.turn(asking("hi"), speculative=True) as turn:
        return [event async for event in turn]


async def test_a_turn_under_way_may_finish() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate = asyncio.Event()
    chat.model.add((TextDelta("half"), gate, *saying(" whole")))
    pipeline = ChatPipeline(chat.parts())
    async with pipeline.running(drain_s=10.0):
        reader = asyncio.create_task(events_of(pipeline, asking("hi")))
        await until(lambda: chat.model.streaming == 1)
        asyncio.get_running_loop().call_later(9, gate.set)
    assert now() == pytest.approx(9.0, abs=0.1)
    events = await reader
    assert isinstance(events[-1], TurnEnded)
    assert text_in(events) == "half whole"


async def test_a_turn_that_takes_longer_is_interrupted_and_stored() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.model.add((TextDelta("half"), asyncio.Event()))
    pipeline = ChatPipeline(chat.parts())
    async with pipeline.running(drain_s=10.0):
        reader = asyncio.create_task(events_of(pipeline, asking("hi")))
        await until(lambda: chat.model.streaming == 1)
    stored = await chat.stored()
    assert now() == pytest.approx(10.0, abs=0.1)
    assert (stored[-1].message, stored[-1].state) == (AssistantMessage("half"), "interrupted")
    assert (chat.model.streaming, pipeline.turns_running) == (0, 0)
    with pytest.raises(LimitError) as told:
        await reader
    assert told.value.code == "server_shutdown"
    (record,) = chat.records
    assert isinstance(record.event, TurnAudited)
    assert record.event.error == "server_shutdown"


async def test_during_the_drain_no_turn_begins() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate = asyncio.Event()
    chat.model.add((TextDelta("half"), gate, *saying(" whole")))
    pipeline = ChatPipeline(chat.parts())

    async def too_late() -> list[ChatEvent]:
        await asyncio.sleep(1)
        try:
            return await events_of(pipeline, asking("hi"))
        finally:
            gate.set()

    async with pipeline.running():
        reader = asyncio.create_task(events_of(pipeline, asking("hi")))
        await until(lambda: chat.model.streaming == 1)
        late = asyncio.create_task(too_late())
    with pytest.raises(LimitError) as refused:
        await late
    assert (refused.value.code, refused.value.retry_after_s) == ("server_shutdown", 1.0)
    assert isinstance((await reader)[-1], TurnEnded)


async def test_without_turns_there_is_nothing_to_wait_for() -> None:
    pipeline = ChatPipeline(ChatUnderTest(clock=LoopClock()).parts())
    async with pipeline.running():
        pass
    assert now() == 0.0


async def test_turns_are_only_possible_while_the_pipeline_runs() -> None:
    pipeline = ChatPipeline(ChatUnderTest(clock=LoopClock()).parts())
    with pytest.raises(LocalProtocolError):
        await events_of(pipeline, asking("hi"))
    async with pipeline.running():
        pass
    with pytest.raises(LimitError):
        await events_of(pipeline, asking("hi"))


async def test_a_pipeline_may_run_again() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.model.add(saying("once"), saying("twice"))
    pipeline = ChatPipeline(chat.parts())
    said = []
    for _ in range(2):
        async with pipeline.running():
            said.append(text_in(await events_of(pipeline, asking("hi"))))
    assert said == ["once", "twice"]


async def test_leases_are_renewed_during_the_drain() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.model.add((TextDelta("half"), asyncio.Event()))
    pipeline = ChatPipeline(chat.parts())
    async with pipeline.running(drain_s=15.0):
        reader = asyncio.create_task(events_of(pipeline, asking("hi")))
        await until(lambda: chat.model.streaming == 1)
    (cell,) = chat.conversations.turns.values()
    assert cell.lease_until > at(now())
    assert cell.closed is not None
    with pytest.raises(LimitError):
        await reader


async def test_an_undecided_turn_is_dropped_when_the_process_ends() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.model.add(saying("early"))
    pipeline = ChatPipeline(chat.parts())
    async with pipeline.running(drain_s=3.0):
        reader = asyncio.create_task(undecided(pipeline))
        await until(lambda: len(chat.model.requests) == 1 and chat.model.streaming == 0)
    assert await reader == []
    assert now() == pytest.approx(3.0, abs=0.1)
    assert chat.conversations.turns == {}


async def test_a_turn_that_waits_for_a_key_ends_with_the_process() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    key = IdempotencyKey("chat", "k1", "digest")
    chat.model.add((TextDelta("half"), asyncio.Event()))
    pipeline = ChatPipeline(chat.parts())
    async with pipeline.running(drain_s=3.0):
        readers = [asyncio.create_task(events_of(pipeline, asking("hi", idempotency=key))) for _ in range(2)]
        await until(lambda: chat.model.streaming == 1)
    assert now() == pytest.approx(3.1, abs=0.2)
    for reader in readers:
        with pytest.raises(LimitError):
            await reader
