"""Many callers at once, and callers who read slowly or not at all."""

import asyncio

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import Script, saying
from cozy_domain.chat.events import TurnEnded
from cozy_domain.chat.generate import Generation
from cozy_domain.chat.parts import ChatLimits, ChatParts
from cozy_domain.errors import ProviderTimeoutError, ProviderUnavailableError
from cozy_domain.messages import AssistantMessage
from cozy_domain.models.deltas import TextDelta
from tests.fixtures.chat import ChatUnderTest, asking, events_of, text_in, until
from tests.fixtures.clocks import LoopClock
from tests.fixtures.fakes import CountingLanguageModel, HeldHistory

pytestmark = pytest.mark.virtual_time

WORDS = 200
UNREAD = 16


class Reading(ChatUnderTest):
    """With a model that writes as fast as it is read."""

    def __init__(self) -> None:
        super().__init__(clock=LoopClock(), limits=ChatLimits(unread_events=UNREAD, turn_s=60.0))
        self.fast = CountingLanguageModel(WORDS)

    def parts(self) -> ChatParts:
        return replace(super().parts(), generation=Generation({"scripted": self.fast}, self.clock))


async def test_a_reader_who_pauses_holds_the_model_back() -> None:
    chat = Reading()
    async with chat.running() as pipeline, pipeline.turn(asking("go")) as turn:
        events = [await anext(turn)]
        while not isinstance(events[-1], TurnEnded):
            await asyncio.sleep(0.1)
            read = sum(isinstance(event, TextDelta) for event in events)
            assert chat.fast.given <= read + UNREAD + 1
            events.append(await anext(turn))
    assert text_in(events) == "".join(f"{number} " for number in range(WORDS))
    assert chat.fast.given == WORDS


async def test_a_caller_who_never_reads_holds_nothing_for_longer_than_a_turn() -> None:
    chat = Reading()
    async with chat.running() as pipeline, pipeline.turn(asking("go")) as turn:
        await asyncio.sleep(59)
        assert (chat.fast.streaming, pipeline.turns_running) == (1, 1)
        assert chat.fast.given <= UNREAD + 1
        await asyncio.sleep(2)
        assert (chat.fast.streaming, pipeline.turns_running) == (0, 0)
        with pytest.raises(ProviderTimeoutError):
            [event async for event in turn]
        stored = await chat.stored()
    assert stored[-1].state == "interrupted"


async def test_leaving_unread_events_ends_the_turn_at_once() -> None:
    chat = Reading()
    async with chat.running() as pipeline:
        async with pipeline.turn(asking("go")):
            await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await until(lambda: pipeline.turns_running == 0)
        assert asyncio.get_running_loop().time() - began < 0.2
    assert chat.fast.streaming == 0


async def test_after_leaving_there_is_nothing_to_read() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("hello")) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await anext(turn)
        async with asyncio.timeout(1):
            assert [event async for event in turn] == []


async def test_whoever_waits_for_an_event_when_its_turn_is_left_waits_no_longer() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running((TextDelta("half"), asyncio.Event())) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            assert [await anext(turn), await anext(turn)][1] == TextDelta("half")
            waiting = asyncio.ensure_future(anext(turn))
            await asyncio.sleep(1)
        async with asyncio.timeout(1):
            with pytest.raises(StopAsyncIteration):
                await waiting


async def test_after_its_end_a_turn_has_no_more_events() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("hello")) as pipeline, pipeline.turn(asking("hi")) as turn:
        assert isinstance([event async for event in turn][-1], TurnEnded)
        assert [event async for event in turn] == []


async def test_twenty_turns_of_one_session_keep_apart() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate = asyncio.Event()
    scripts: list[Script] = [(TextDelta("unfinished"), gate, *saying(f" {number}")) for number in range(20)]
    async with chat.running(*scripts, saying("all of them")) as pipeline:
        asyncio.get_running_loop().call_later(5, gate.set)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(events_of(pipeline, asking(f"question {n}"))) for n in range(20)]
        await events_of(pipeline, asking("and now?"))
        stored = await chat.stored()
    assert sorted(text_in(task.result()) for task in tasks) == sorted(f"unfinished {n}" for n in range(20))
    seqs = [cell.seq for cell in chat.conversations.turns.values()]
    assert sorted(seqs) == list(range(1, 22))
    assert all("unfinished" not in repr(request) for request in chat.model.requests[:20])
    last = [it.content for it in chat.model.requests[20].messages if isinstance(it, AssistantMessage)]
    assert sorted(map(str, last)) == sorted(f"unfinished {n}" for n in range(20))
    assert len(stored) == 42


async def test_a_turn_does_not_see_one_that_began_after_it() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    held = HeldHistory(chat.history)
    chat.history = held  # type: ignore[assignment]  # any history will do
    async with chat.running(saying("zero"), saying("later"), saying("earlier")) as pipeline:
        await events_of(pipeline, asking("none"))
        held.hold_next = True
        first = asyncio.create_task(events_of(pipeline, asking("one")))
        await until(lambda: held.holding)
        await events_of(pipeline, asking("two"))
        held.release()
        assert text_in(await first) == "earlier"
    assert "zero" in repr(chat.model.requests[2])
    assert "later" not in repr(chat.model.requests[2])


async def test_what_is_there_already_is_read_at_once_and_in_order() -> None:
    chat = Reading()
    async with chat.running() as pipeline, pipeline.turn(asking("go")) as turn:
        events = [await anext(turn)]
        await asyncio.sleep(0.1)
        together = turn.ready()
        assert (len(together), turn.ready()) == (UNREAD, [])
        events += together
        async for event in turn:
            events += [event, *turn.ready()]
    assert text_in(events) == "".join(f"{number} " for number in range(WORDS))
    assert isinstance(events[-1], TurnEnded)


async def test_a_failure_is_left_to_the_reader_who_waits() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    script: Script = (TextDelta("half"), ProviderUnavailableError("gone", provider="scripted", billed=True))
    async with chat.running(script) as pipeline, pipeline.turn(asking("hi")) as turn:
        await anext(turn)
        await asyncio.sleep(0.1)
        assert turn.ready() == [TextDelta("half")]
        assert turn.ready() == []
        with pytest.raises(ProviderUnavailableError):
            await anext(turn)
        assert turn.ready() == []
