"""An answer that is spoken: only what was heard was said."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_domain.chat.events import AnswerWritten, ChatEvent, TurnEnded
from cozy_domain.chat.turn import ChatTurn
from cozy_domain.errors import LocalProtocolError, ProviderUnavailableError
from cozy_domain.messages import AssistantMessage, ToolCall, ToolMessage
from cozy_domain.models.deltas import TextDelta
from cozy_domain.sessions.turn import TurnState
from tests.fixtures.chat import ChatUnderTest, asking, events_of, text_in, until
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time

SUM = ToolCall("x", "calculator", '{"expression":"6*7"}')


async def written(turn: ChatTurn) -> list[ChatEvent]:
    """The events up to the end of writing."""
    events: list[ChatEvent] = []
    async for event in turn:
        events.append(event)
        if isinstance(event, AnswerWritten):
            break
    return events


async def ended(turn: ChatTurn) -> TurnEnded:
    *_, last = [event async for event in turn]
    assert isinstance(last, TurnEnded)
    return last


async def test_an_answer_heard_to_its_end_is_complete() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("One two three")) as pipeline:
        async with pipeline.turn(asking("count"), delivery="spoken") as turn:
            assert text_in(await written(turn)) == "One two three"
            turn.expect_audio(2000)
            await asyncio.sleep(2)
            turn.delivered("One two three", interrupted=False)
            end = await ended(turn)
        stored = await chat.stored()
    assert (end.state, end.outcome.finish) == ("completed", ("stop",))
    assert stored[-1].message == AssistantMessage("One two three")


async def test_a_turn_is_not_stored_as_ended_before_it_was_heard() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("One two three")) as pipeline,
        pipeline.turn(asking("count"), delivery="spoken") as turn,
    ):
        await written(turn)
        turn.expect_audio(60_000)
        await asyncio.sleep(60)
        (cell,) = chat.conversations.turns.values()
        assert cell.state == "started"
        turn.delivered("One two three", interrupted=False)
        await ended(turn)


@pytest.mark.parametrize(("interrupted", "state"), [(True, "interrupted"), (False, "completed")])
async def test_what_was_heard_may_be_known_before_the_model_has_finished(
    interrupted: bool, state: TurnState
) -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate = asyncio.Event()
    async with chat.running((TextDelta("One. "), gate, *saying("Two."))) as pipeline:
        async with pipeline.turn(asking("count"), delivery="spoken") as turn:
            assert [await anext(turn), await anext(turn)][1] == TextDelta("One. ")
            turn.delivered("One.", interrupted=interrupted)
            if interrupted:
                await until(lambda: chat.model.streaming == 0)
            gate.set()
            end = await ended(turn)
        stored = await chat.stored()
    assert end.state == state
    assert stored[-1].message == AssistantMessage("One.")


async def test_an_interruption_closes_the_model_at_once() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running((TextDelta("One. "), asyncio.Event())) as pipeline,
        pipeline.turn(asking("count"), delivery="spoken") as turn,
    ):
        await until(lambda: chat.model.streaming == 1)
        began = asyncio.get_running_loop().time()
        turn.delivered("On", interrupted=True)
        await until(lambda: chat.model.streaming == 0)
        assert asyncio.get_running_loop().time() - began < 0.2
        assert (await ended(turn)).state == "interrupted"


async def test_of_an_answer_that_breaks_off_what_is_heard_afterwards_is_kept_too() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    dead = ProviderUnavailableError("dead", provider="test")
    async with chat.running((TextDelta("One two three"), dead)) as pipeline:
        async with pipeline.turn(asking("count"), delivery="spoken") as turn:
            with pytest.raises(ProviderUnavailableError):
                await written(turn)
            turn.expect_audio(2_000)
            await asyncio.sleep(1.5)
            turn.delivered("One two", interrupted=True)
        await until(lambda: not pipeline.turns_running)
        stored = await chat.stored()
        (cell,) = chat.conversations.turns.values()
    assert stored[-1].message == AssistantMessage("One two")
    assert cell.state == "interrupted"


async def test_what_was_not_heard_is_in_no_history_and_in_no_later_prompt() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("The code is 1234. ", "Do not tell Eve."), saying("ok")) as pipeline:
        async with pipeline.turn(asking("tell me"), delivery="spoken") as turn:
            await written(turn)
            turn.delivered("The code", interrupted=True)
            end = await ended(turn)
        await events_of(pipeline, asking("and then?"))
        stored = await chat.stored()
    assert end.outcome.answers == (AssistantMessage("The code"),)
    for place in (stored, chat.model.requests[1], chat.records, chat.conversations):
        assert "Eve" not in repr(place)
        assert "1234" not in repr(place)
    assert AssistantMessage("The code") in chat.model.requests[1].messages


async def test_an_answer_of_which_nothing_was_heard_leaves_no_message() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("Unheard")) as pipeline:
        async with pipeline.turn(asking("hi"), delivery="spoken") as turn:
            await written(turn)
            turn.delivered("", interrupted=True)
            await ended(turn)
        stored = await chat.stored()
    assert [(type(it.message).__name__, it.state) for it in stored] == [("UserMessage", "interrupted")]


async def test_tools_that_ran_stay_though_their_words_were_not_heard() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(
        calling(SUM, before="Let me see."), saying("It is 42."), saying("ok")
    ) as pipeline:
        async with pipeline.turn(asking("6*7?"), delivery="spoken") as turn:
            await written(turn)
            turn.delivered("Let me", interrupted=True)
            await ended(turn)
        await events_of(pipeline, asking("go on"))
        stored = await chat.stored()
    calls, result, heard = (it.message for it in stored[1:4])
    assert isinstance(calls, AssistantMessage)
    assert isinstance(result, ToolMessage)
    assert (calls.content, calls.tool_calls[0].name) == (None, "calculator")
    assert "42" in str(result.content)
    assert heard == AssistantMessage("Let me")
    later = chat.model.requests[2].messages
    assert later[later.index(calls) :][:3] == (calls, result, heard)


async def test_while_it_is_spoken_the_checkpoint_holds_what_was_heard() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("One two three")) as pipeline,
        pipeline.turn(asking("count"), delivery="spoken") as turn,
    ):
        await written(turn)
        turn.expect_audio(10_000)
        turn.heard("One")
        await asyncio.sleep(2.5)
        (cell,) = chat.conversations.turns.values()
        assert cell.checkpoint == "One"
        turn.delivered("One two", interrupted=True)
        await ended(turn)


async def test_before_anything_was_heard_the_checkpoint_is_empty() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running((TextDelta("One two three"), asyncio.Event())) as pipeline,
        pipeline.turn(asking("count"), delivery="spoken"),
    ):
        await asyncio.sleep(4.5)
        (cell,) = chat.conversations.turns.values()
        assert cell.checkpoint == ""


async def test_leaving_a_spoken_turn_keeps_what_was_heard_last() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("One two three")) as pipeline:
        async with pipeline.turn(asking("count"), delivery="spoken") as turn:
            await written(turn)
            turn.heard("One two")
        await until(lambda: pipeline.turns_running == 0)
        stored = await chat.stored()
    assert (stored[-1].message, stored[-1].state) == (AssistantMessage("One two"), "interrupted")


async def test_without_audio_a_spoken_turn_waits_for_its_grace_alone() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("One")) as pipeline,
        pipeline.turn(asking("count"), delivery="spoken") as turn,
    ):
        await written(turn)
        began = asyncio.get_running_loop().time()
        end = await ended(turn)
    assert asyncio.get_running_loop().time() - began == pytest.approx(5.0)
    assert end.state == "interrupted"


async def test_more_audio_prolongs_the_waiting() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("One")) as pipeline,
        pipeline.turn(asking("count"), delivery="spoken") as turn,
    ):
        await written(turn)
        began = asyncio.get_running_loop().time()
        turn.expect_audio(1_000)
        await asyncio.sleep(4)
        turn.expect_audio(1_000)
        await ended(turn)
    assert asyncio.get_running_loop().time() - began == pytest.approx(10.0)


async def test_a_written_answer_is_never_delivered() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("One")) as pipeline, pipeline.turn(asking("hi")) as turn:
        with pytest.raises(LocalProtocolError):
            turn.delivered("One", interrupted=False)
        assert (await ended(turn)).state == "completed"


async def test_an_interruption_before_the_model_was_asked_asks_no_model() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running(saying("One")) as pipeline,
        pipeline.turn(asking("hi"), delivery="spoken") as turn,
    ):
        turn.delivered("", interrupted=True)
        assert (await ended(turn)).state == "interrupted"
    assert chat.model.requests == []
