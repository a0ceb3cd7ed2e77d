"""What is shown of a session's turns."""

from cozy_domain.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from cozy_domain.sessions.session import last_round, message_id
from tests.fixtures.turns import turn_id

ASK = AssistantMessage(tool_calls=(ToolCall("c1", "clock", "{}"),))
AGAIN = AssistantMessage("hm", tool_calls=(ToolCall("c2", "clock", "{}"),))
RESULT = ToolMessage("c1", "12:00")
HELLO = UserMessage("hello")


def test_the_last_round_starts_at_the_last_message_that_calls_tools() -> None:
    said: tuple[Message, ...] = (HELLO, ASK, RESULT, AGAIN, RESULT, RESULT)
    assert last_round(said) == (AGAIN, RESULT, RESULT)


def test_the_last_round_may_be_one_message_or_the_whole() -> None:
    assert last_round((HELLO, ASK)) == (ASK,)
    assert last_round((ASK, RESULT)) == (ASK, RESULT)


def test_without_calls_there_is_no_round() -> None:
    assert last_round((HELLO, AssistantMessage("hi"))) == ()
    assert last_round(()) == ()


def test_every_place_in_every_turn_has_its_own_message_id() -> None:
    ids = {message_id(turn_id(turn), position) for turn in range(10) for position in range(10)}
    assert len(ids) == 100
    assert message_id(turn_id(1), 0) == message_id(turn_id(1), 0)
