"""What was stored, met again."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.chat.events import ChatEvent, TurnEnded, TurnStarted
from cozy_domain.chat.replay import replayed, waited_for, with_waiting_round
from cozy_domain.chat.reply import fold
from cozy_domain.ids import PersonaId
from cozy_domain.messages import (
    AssistantMessage,
    FinishReason,
    Message,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cozy_domain.sessions.turn import TurnOutcome, TurnRecord, TurnState, WaitingRound
from tests.fixtures.turns import T0, session_id, turn_id

text = st.text(max_size=10)
calls = st.lists(st.builds(ToolCall, text, text, text), max_size=2).map(tuple)
answers = st.builds(AssistantMessage, st.none() | text, calls, st.none() | text)


def record(
    *messages: Message, finish: tuple[FinishReason, ...] = (), state: TurnState = "completed"
) -> TurnRecord:
    finish = finish or tuple("stop" for _ in messages)
    return TurnRecord(
        turn_id(1), session_id(1), PersonaId("default"), 3, state, T0, TurnOutcome(finish, messages)
    )


async def stream(stored: TurnRecord) -> AsyncIterator[ChatEvent]:
    for event in replayed(stored):
        yield event


@given(st.lists(answers, min_size=1, max_size=3))
async def test_a_replayed_turn_folds_to_what_was_answered(messages: list[AssistantMessage]) -> None:
    reply = await fold(stream(record(*messages)))
    assert [choice.text or "" for choice in reply.choices] == [message.content or "" for message in messages]
    assert [choice.refusal or "" for choice in reply.choices] == [it.refusal or "" for it in messages]
    assert [choice.tool_calls for choice in reply.choices] == [message.tool_calls for message in messages]


def test_a_replay_begins_and_ends_as_the_turn_did() -> None:
    stored = record(AssistantMessage("hi"), finish=("length",), state="waiting")
    first, *_, last = replayed(stored)
    assert isinstance(first, TurnStarted)
    assert (first.turn, first.session, first.at) == (stored.turn, stored.session, stored.at)
    assert (first.pin.persona, first.pin.revision) == ("default", 3)
    assert last == TurnEnded("waiting", stored.outcome)


async def test_an_answer_in_parts_is_replayed_as_its_words() -> None:
    reply = await fold(stream(record(AssistantMessage((TextPart("a"), TextPart("b"))))))
    assert reply.choices[0].text == "a\nb"


def test_only_what_the_assistant_said_is_replayed() -> None:
    assert len(list(replayed(record(UserMessage("forged"), finish=("stop",))))) == 2


def test_results_are_waited_for_only_at_the_end() -> None:
    one, two = ToolMessage("a", "1"), ToolMessage("b", "2")
    assert waited_for((UserMessage("hi"), one, two)) == ("a", "b")
    assert waited_for((one, two)) == ("a", "b")
    assert waited_for((one, UserMessage("hi"))) == ()
    assert waited_for(()) == ()


@given(st.integers(1, 4), st.integers(0, 4), st.booleans(), st.booleans())
def test_every_call_of_a_waiting_round_is_answered_exactly_once(
    client: int, server: int, asked: bool, shown: bool
) -> None:
    """``client`` and ``server`` calls were made; the client may leave out its own message, and the question."""
    theirs = tuple(ToolCall(f"c{i}", "lookup", "{}") for i in range(client))
    ours = tuple(ToolCall(f"s{i}", "clock", "{}") for i in range(server))
    found = WaitingRound(
        turn_id(1), (AssistantMessage(None, (*ours, *theirs)), *(ToolMessage(it.id, "x") for it in ours))
    )
    question: tuple[Message, ...] = (UserMessage("look"),) if asked else ()
    half: tuple[Message, ...] = (AssistantMessage(None, theirs),) if shown else ()
    results = tuple(ToolMessage(it.id, "y") for it in reversed(theirs))
    whole = with_waiting_round((*question, *half, *results), found)
    assert whole[: len(question)] == question
    assert [message for message in whole if isinstance(message, AssistantMessage)] == [found.messages[0]]
    answered = sorted(message.tool_call_id for message in whole if isinstance(message, ToolMessage))
    assert answered == sorted(call.id for call in (*ours, *theirs))
    assert whole[-client:] == results


@pytest.mark.parametrize("before", [(), (UserMessage("look"),)])
def test_results_sent_alone_take_nothing_away(before: tuple[Message, ...]) -> None:
    found = WaitingRound(turn_id(1), (AssistantMessage(None, (ToolCall("c", "lookup", "{}"),)),))
    result = ToolMessage("c", "yes")
    assert with_waiting_round((*before, result), found) == (*before, *found.messages, result)
