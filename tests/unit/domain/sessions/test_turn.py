"""What remains of a turn of whose answer less was heard than was thought."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.messages import AssistantMessage, Message, RefusalPart, ToolCall, ToolMessage, UserMessage
from cozy_domain.sessions.turn import corrected, shortened

ASK = AssistantMessage("Let me see.", (ToolCall("c1", "clock", "{}"),))
RESULT = ToolMessage("c1", "12:00")
HELLO = UserMessage("hello")
WORDS = st.text(alphabet="ab ", max_size=8)


@given(WORDS, WORDS)
def test_only_the_beginning_of_the_last_answer_remains(answer: str, heard: str) -> None:
    said: tuple[Message, ...] = (HELLO, ASK, RESULT, AssistantMessage(answer))
    remaining = shortened(said, heard)
    if not answer:
        assert remaining == shortened((HELLO, ASK, RESULT), heard) or remaining is None
    elif heard != answer and answer.startswith(heard):
        assert remaining == (HELLO, ASK, RESULT, *([AssistantMessage(heard)] if heard else []))
    else:
        assert remaining is None


@given(WORDS, WORDS)
def test_only_the_users_last_words_are_corrected(before: str, said: str) -> None:
    opening: tuple[Message, ...] = (HELLO, UserMessage(before, "mei"), RESULT)
    expected = None if before == said else (HELLO, UserMessage(said, "mei"), RESULT)
    assert corrected(opening, said) == expected
    assert corrected((RESULT,), said) is None


def test_calls_stay_with_their_results_when_nothing_of_the_words_was_heard() -> None:
    assert shortened((HELLO, ASK, RESULT), "") == (HELLO, AssistantMessage(None, ASK.tool_calls), RESULT)


def test_a_turn_in_which_nothing_was_said_stays_as_it_is() -> None:
    refusal = AssistantMessage((RefusalPart("No."),))
    for said in ((HELLO,), (HELLO, refusal), (HELLO, AssistantMessage(None, ASK.tool_calls), RESULT)):
        assert shortened(said, "") is None
