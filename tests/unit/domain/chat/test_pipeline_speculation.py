"""A turn that is begun before it is sure that it will be one."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_adapters.inmemory.toolbox import builtin_tools
from cozy_domain.audit.events import TurnAudited
from cozy_domain.chat.events import ChatEvent, ToolRan, TurnEnded, TurnStarted
from cozy_domain.chat.parts import ChatLimits, ChatParts
from cozy_domain.chat.turn import ChatTurn
from cozy_domain.errors import (
    CozyError,
    InputError,
    LocalProtocolError,
    MissingError,
    ProviderRefusedError,
    StorageUnavailableError,
)
from cozy_domain.ids import Owner
from cozy_domain.messages import AssistantMessage, ToolCall, UserMessage
from cozy_domain.models.deltas import TextDelta
from tests.fixtures.chat import ChatUnderTest, asking, events_of, text_in, until
from tests.fixtures.clocks import LoopClock
from tests.fixtures.fakes import NOTE, HeldTurnStore, Notes

pytestmark = pytest.mark.virtual_time

SUM = ToolCall("x", "calculator", '{"expression":"6*7"}')
KEEP = ToolCall("y", "note", '{"text":"buy milk"}')


class HeldChat(ChatUnderTest):
    """With a store that can be held up, or broken."""

    def __init__(self) -> None:
        super().__init__(clock=LoopClock())
        self.store = HeldTurnStore(InMemoryTurnStore(self.conversations))

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.store)


def chat_with(notes: Notes) -> ChatUnderTest:
    return ChatUnderTest(clock=LoopClock(), toolbox=builtin_tools([(NOTE, notes)]))


async def rest_of(turn: ChatTurn) -> list[ChatEvent]:
    return [event async for event in turn]


async def written(chat: ChatUnderTest, calls: int = 1) -> None:
    """Until the model has had so many calls and is quiet."""
    await until(lambda: len(chat.model.requests) == calls and chat.model.streaming == 0)


async def test_a_tool_that_only_reads_runs_before_the_turn_is_confirmed() -> None:
    chat = chat_with(Notes())
    async with (
        chat.running(calling(SUM), saying("42")) as pipeline,
        pipeline.turn(asking("6*7?"), speculative=True) as turn,
    ):
        await written(chat, calls=2)
        assert chat.conversations.turns == {}
        await turn.confirm()
        events = await rest_of(turn)
    assert text_in(events) == "42"
    assert [event.name for event in events if isinstance(event, ToolRan)] == ["calculator"]


async def test_a_tool_that_writes_waits_until_the_turn_is_confirmed() -> None:
    notes = Notes()
    chat = chat_with(notes)
    async with (
        chat.running(calling(KEEP), saying("kept")) as pipeline,
        pipeline.turn(asking("keep it"), speculative=True) as turn,
    ):
        await written(chat)
        await asyncio.sleep(60)
        assert (notes.kept, len(chat.model.requests)) == ([], 1)
        await turn.confirm()
        events = await rest_of(turn)
    assert notes.kept == [b'{"text":"buy milk"}']
    assert text_in(events) == "kept"


async def test_beside_a_tool_that_writes_one_that_reads_waits_too() -> None:
    notes = Notes()
    chat = chat_with(notes)
    async with (
        chat.running(calling(SUM, KEEP), saying("kept")) as pipeline,
        pipeline.turn(asking("keep it"), speculative=True) as turn,
    ):
        await written(chat)
        await turn.confirm()
        events = await rest_of(turn)
    ran = [event.name for event in events if isinstance(event, ToolRan)]
    assert (ran, len(notes.kept)) == (["calculator", "note"], 1)


async def test_a_dropped_turn_has_written_nothing() -> None:
    notes = Notes()
    chat = chat_with(notes)
    async with chat.running(calling(KEEP), saying("kept")) as pipeline:
        async with pipeline.turn(asking("keep it"), speculative=True) as turn:
            await written(chat)
            turn.drop()
        await until(lambda: pipeline.turns_running == 0)
    assert notes.kept == []
    assert chat.conversations.turns == {}
    assert [type(record.event) for record in chat.records] == [TurnAudited]


async def test_confirmed_events_come_in_the_order_they_were_written() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate = asyncio.Event()
    script = (TextDelta("one "), TextDelta("two "), gate, *saying("three"))
    async with chat.running(script) as pipeline:
        async with pipeline.turn(asking("count"), speculative=True) as turn:
            await until(lambda: chat.model.streaming == 1)
            await turn.confirm()
            early = [await anext(turn) for _ in range(3)]
            gate.set()
            events = [*early, *await rest_of(turn)]
        stored = await chat.stored()
    assert [type(event) for event in events] == [TurnStarted, *[TextDelta] * 3, TurnEnded]
    assert text_in(events) == "one two three"
    assert [it.message for it in stored] == [UserMessage("count"), AssistantMessage("one two three")]


async def test_a_turn_confirmed_before_its_first_word_is_like_any_other() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("early")) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        await turn.confirm()
        events = await rest_of(turn)
    assert text_in(events) == "early"
    (cell,) = chat.conversations.turns.values()
    assert (cell.seq, cell.state) == (1, "completed")


async def test_what_was_said_while_the_turn_was_uncertain_comes_before_it() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("early"), saying("typed")) as pipeline:
        async with pipeline.turn(asking("spoken"), speculative=True) as turn:
            await written(chat)
            await events_of(pipeline, asking("typed"))
            await turn.confirm()
            await rest_of(turn)
        stored = await chat.stored()
    said = [it.message.content for it in stored if isinstance(it.message, UserMessage)]
    assert said == ["typed", "spoken"]


async def test_a_turn_that_cannot_be_stored_is_dropped_at_confirm() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("early")) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await written(chat)
            chat.conversations.available = False
            with pytest.raises(StorageUnavailableError):
                await turn.confirm()
            chat.conversations.available = True
            with pytest.raises(LocalProtocolError):
                turn.drop()
        await until(lambda: pipeline.turns_running == 0)
    assert chat.conversations.turns == {}


async def test_a_store_that_fails_at_confirm_stops_the_model() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running((TextDelta("a"), asyncio.Event())) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        await until(lambda: chat.model.streaming == 1)
        chat.conversations.available = False
        with pytest.raises(StorageUnavailableError):
            await turn.confirm()
        await until(lambda: chat.model.streaming == 0)
        chat.conversations.available = True


async def test_another_owners_session_cannot_be_spoken_into() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    eve = Owner("acme", "eve")
    async with chat.running(saying("hi")) as pipeline:
        await events_of(pipeline, asking("hi"))
        async with pipeline.turn(asking("hi", owner=eve), speculative=True) as turn:
            with pytest.raises(MissingError):
                await turn.confirm()
    assert len(chat.model.requests) == 1


async def test_a_session_that_became_another_owners_meanwhile_is_missing_at_confirm() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    eve = Owner("acme", "eve")
    async with chat.running(saying("for eve"), saying("for mei")) as pipeline:
        async with pipeline.turn(asking("hi", owner=eve), speculative=True) as turn:
            await written(chat)
            await events_of(pipeline, asking("hi"))
            with pytest.raises(MissingError):
                await turn.confirm()
        await until(lambda: pipeline.turns_running == 0)
    assert {cell.opened.owner.subject for cell in chat.conversations.turns.values()} == {"mei"}


async def test_what_is_wrong_with_the_request_is_said_at_confirm() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running() as pipeline,
        pipeline.turn(asking("hi", timezone="Nowhere/Land"), speculative=True) as turn,
    ):
        with pytest.raises(InputError) as refused:
            await turn.confirm()
    assert refused.value.param == "cozy.timezone"


async def test_a_model_that_failed_while_uncertain_is_told_after_confirm() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running((ProviderRefusedError("no", provider="scripted"),)) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await written(chat)
            await turn.confirm()
            with pytest.raises(ProviderRefusedError):
                await anext(turn)
        stored = await chat.stored()
    assert [it.state for it in stored] == ["failed"]


async def test_dropping_in_mid_stream_closes_the_model_at_once() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running((TextDelta("half"), asyncio.Event())) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        await until(lambda: chat.model.streaming == 1)
        began = asyncio.get_running_loop().time()
        turn.drop()
        await until(lambda: chat.model.streaming == 0)
        assert asyncio.get_running_loop().time() - began < 0.2
    assert chat.conversations.turns == {}


async def test_leaving_an_undecided_turn_drops_it() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("early")) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True):
            await written(chat)
        await until(lambda: pipeline.turns_running == 0)
    assert chat.conversations.turns == {}


async def test_leaving_a_confirmed_turn_keeps_what_was_said() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running((TextDelta("half"), asyncio.Event())) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await until(lambda: chat.model.streaming == 1)
            await turn.confirm()
        await until(lambda: pipeline.turns_running == 0)
        stored = await chat.stored()
    assert (stored[-1].message, stored[-1].state) == (AssistantMessage("half"), "interrupted")


async def test_a_turn_that_nobody_decides_is_dropped_after_its_deadline() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=ChatLimits(turn_s=30.0))
    async with (
        chat.running(saying("early")) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        await written(chat)
        await asyncio.sleep(29.9)
        assert pipeline.turns_running == 1
        await asyncio.sleep(0.2)
        assert pipeline.turns_running == 0
        with pytest.raises(LocalProtocolError):
            await turn.confirm()
    assert chat.conversations.turns == {}
    (record,) = chat.records
    assert isinstance(record.event, TurnAudited)
    assert record.event.state == "dropped"


async def test_a_model_that_writes_on_without_a_decision_is_held_back() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=ChatLimits(unread_events=8))
    script = saying(*"abcdefghijklmnopqrstuvwxyz")
    async with (
        chat.running(script) as pipeline,
        pipeline.turn(asking("abc"), speculative=True) as turn,
    ):
        await until(lambda: chat.model.streaming == 1)
        await asyncio.sleep(1)
        assert chat.model.streaming == 1
        await turn.confirm()
        events = await rest_of(turn)
    assert text_in(events) == "abcdefghijklmnopqrstuvwxyz"


async def test_an_unconfirmed_turn_is_in_nobodys_prompt() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("unsaid"), saying("typed")) as pipeline,
        pipeline.turn(asking("uncertain"), speculative=True) as turn,
    ):
        await written(chat)
        await events_of(pipeline, replace(asking("typed"), request="req_2"))
        turn.drop()
    assert "unsaid" not in repr(chat.model.requests[1])
    assert "uncertain" not in repr(chat.model.requests[1])


async def test_a_turn_confirmed_late_has_a_lease_that_begins_then() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate = asyncio.Event()
    async with (
        chat.running((TextDelta("half"), gate, *saying(" whole"))) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        await asyncio.sleep(12.5)
        await turn.confirm()
        (cell,) = chat.conversations.turns.values()
        assert cell.lease_until - chat.clock.now() == timedelta(seconds=10)
        await asyncio.sleep(3)
        assert cell.state == "started"
        gate.set()
        assert text_in(await rest_of(turn)) == "half whole"


async def test_a_confirmation_that_is_cancelled_leaves_no_turn_hanging() -> None:
    chat = HeldChat()
    chat.store.held.add("open")
    async with chat.running(saying("early")) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await written(chat)
            confirming = asyncio.create_task(turn.confirm())
            await asyncio.sleep(1)
            confirming.cancel()
            await asyncio.wait((confirming,))
            chat.store.release()
        await until(lambda: pipeline.turns_running == 0)
    (cell,) = chat.conversations.turns.values()
    assert cell.state in {"completed", "interrupted"}
    assert AssistantMessage("early") in cell.messages


async def test_a_bug_of_the_store_at_confirm_ends_this_turn_alone() -> None:
    chat = HeldChat()
    gate = asyncio.Event()
    async with chat.running((TextDelta("a"), gate, *saying("b")), saying("c")) as pipeline:
        other = asyncio.create_task(events_of(pipeline, asking("hi")))
        await until(lambda: chat.model.streaming == 1)
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await until(lambda: len(chat.model.requests) == 2)
            chat.store.broken.add("open")
            with pytest.raises(CozyError) as failed:
                await turn.confirm()
        gate.set()
        assert text_in(await other) == "ab"
    assert failed.value.code == "server_error"


async def test_of_a_dropped_turn_nothing_is_shown() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("early")) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        reader = asyncio.create_task(rest_of(turn))
        await written(chat)
        turn.drop()
        async with asyncio.timeout(1):
            assert await reader == []


async def test_whoever_waits_for_a_turn_that_nobody_decides_waits_no_longer_than_its_deadline() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=ChatLimits(turn_s=30.0))
    async with (
        chat.running(saying("early")) as pipeline,
        pipeline.turn(asking("hi"), speculative=True) as turn,
    ):
        async with asyncio.timeout(31):
            assert await rest_of(turn) == []


async def test_who_prepares_the_sound_may_read_before_it_is_decided() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("One two three")) as pipeline:
        async with pipeline.turn(asking("count"), speculative=True) as turn:
            turn.overhear()
            assert isinstance(await anext(turn), TurnStarted)
            assert await anext(turn) == TextDelta("One two three")
            assert not chat.conversations.turns
            turn.drop()
            assert [event async for event in turn] == []
        await until(lambda: pipeline.turns_running == 0)
    assert not chat.conversations.turns
