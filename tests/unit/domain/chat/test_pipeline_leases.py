"""A running turn shows that it lives, and keeps what it has said."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.conversations import TurnCell
from cozy_adapters.inmemory.language_model import Script, saying
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_domain.chat.events import TurnEnded
from cozy_domain.chat.parts import ChatParts
from cozy_domain.messages import AssistantMessage
from cozy_domain.models.deltas import TextDelta
from cozy_domain.sessions.turn import IdempotencyKey
from tests.fixtures.chat import ChatUnderTest, asking, events_of, until
from tests.fixtures.clocks import LoopClock
from tests.fixtures.fakes import HeldTurnStore

pytestmark = pytest.mark.virtual_time


class Leased(ChatUnderTest):
    """With a store whose calls can be watched and held."""

    def __init__(self) -> None:
        super().__init__(clock=LoopClock())
        self.store = HeldTurnStore(InMemoryTurnStore(self.conversations))

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.store)

    @property
    def cell(self) -> TurnCell:
        (cell,) = self.conversations.turns.values()
        return cell


def dripping(seconds: int) -> Script:
    """A letter every second."""
    gates = [asyncio.Event() for _ in range(seconds)]
    for number, gate in enumerate(gates, start=1):
        asyncio.get_running_loop().call_later(number, gate.set)
    return (TextDelta("."), *(step for gate in gates for step in (gate, TextDelta("."))))


async def test_a_lease_is_renewed_every_two_seconds_with_the_text_so_far() -> None:
    chat = Leased()
    async with chat.running(dripping(60)) as pipeline, pipeline.turn(asking("hi")):
        await until(lambda: bool(chat.conversations.turns))
        for _ in range(60):
            await asyncio.sleep(0.999)
            assert chat.cell.state == "started"
            assert chat.cell.lease_until - chat.clock.now() >= timedelta(seconds=7.9)
            said = int(asyncio.get_running_loop().time()) + 1
            assert said - 3 <= len(chat.cell.checkpoint) <= said
    pauses = [b - a for a, b in zip(chat.store.renewed_at, chat.store.renewed_at[1:], strict=False)]
    assert max(pauses) <= 2.001


async def test_all_running_turns_are_renewed_in_one_call() -> None:
    chat = Leased()
    async with chat.running(*[(TextDelta("."), asyncio.Event())] * 3) as pipeline:
        tasks = [asyncio.create_task(events_of(pipeline, asking("hi"))) for _ in range(3)]
        await asyncio.sleep(10.5)
        assert len(chat.store.renewed_at) == 5
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await until(lambda: pipeline.turns_running == 0)
        await asyncio.sleep(10)
    assert len(chat.store.renewed_at) == 5


async def test_a_store_that_is_away_for_a_while_loses_no_running_turn() -> None:
    chat = Leased()
    gate = asyncio.Event()
    async with chat.running((TextDelta("half"), gate, *saying(" whole"))) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await asyncio.sleep(3)
            chat.conversations.available = False
            await asyncio.sleep(12)
            chat.conversations.available = True
            gate.set()
            *_, last = [event async for event in turn]
        stored = await chat.stored()
    assert isinstance(last, TurnEnded)
    assert (stored[-1].message, stored[-1].state) == (AssistantMessage("half whole"), "completed")


async def test_a_store_that_does_not_answer_is_asked_again() -> None:
    chat = Leased()
    async with chat.running((TextDelta("half"), asyncio.Event())) as pipeline, pipeline.turn(asking("hi")):
        await asyncio.sleep(1)
        chat.store.held = {"checkpoint"}
        await asyncio.sleep(8)
        assert chat.cell.checkpoint == ""
        chat.store.release()
        await asyncio.sleep(4)
        assert chat.cell.checkpoint == "half"


async def test_a_turn_that_has_ended_is_not_renewed() -> None:
    chat = Leased()
    async with chat.running(saying("hi")) as pipeline:
        await events_of(pipeline, asking("hi"))
        await asyncio.sleep(10)
    assert chat.store.renewed_at == []
    assert chat.cell.checkpoint == ""


async def test_a_turn_reaped_by_mistake_still_ends_as_it_did() -> None:
    chat = Leased()
    gate = asyncio.Event()
    async with chat.running((TextDelta("half"), gate, *saying(" whole"))) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await asyncio.sleep(2.5)
            await chat.store.reap(chat.clock.now() + timedelta(hours=1))
            assert chat.cell.state == "interrupted"
            gate.set()
            *_, last = [event async for event in turn]
        stored = await chat.stored()
    assert isinstance(last, TurnEnded)
    assert [it.message for it in stored[1:]] == [AssistantMessage("half whole")]
    assert stored[-1].state == "completed"


async def test_dead_turns_are_looked_for_every_five_seconds() -> None:
    chat = Leased()
    async with chat.running((TextDelta("half"), asyncio.Event())) as pipeline, pipeline.turn(asking("hi")):
        await asyncio.sleep(2.5)
        chat.cell.lease_until = chat.clock.now()
        chat.store.held = {"checkpoint"}
        await asyncio.sleep(2.6)
        assert chat.cell.state == "interrupted"
        chat.store.release()


@pytest.mark.parametrize("method", ["reap", "checkpoint"])
async def test_a_bug_of_the_store_in_upkeep_ends_no_turn(method: str) -> None:
    chat = Leased()
    gate = asyncio.Event()
    async with (
        chat.running((TextDelta("half"), gate, *saying(" whole"))) as pipeline,
        pipeline.turn(asking("hi")) as turn,
    ):
        await anext(turn)
        chat.store.broken = {method}
        await asyncio.sleep(6)
        chat.store.broken = set()
        await asyncio.sleep(3)
        assert chat.cell.checkpoint == "half"
        gate.set()
        *_, last = [event async for event in turn]
    assert isinstance(last, TurnEnded)


async def test_the_lease_of_a_turn_that_waited_for_its_key_begins_when_it_opens() -> None:
    chat = Leased()
    key = IdempotencyKey("chat", "k1", "digest")
    asked = asking("hi", idempotency=key)
    async with chat.running(
        (TextDelta("half"), asyncio.Event()), (TextDelta("half"), asyncio.Event())
    ) as pipeline:
        async with pipeline.turn(asked):
            await until(lambda: chat.model.streaming == 1)
            second = asyncio.create_task(events_of(pipeline, asked))
            await asyncio.sleep(15)
        await until(lambda: len(chat.conversations.turns) == 2)
        _, cell = chat.conversations.turns.values()
        assert cell.lease_until - chat.clock.now() == timedelta(seconds=10)
        second.cancel()
        await asyncio.wait((second,))
