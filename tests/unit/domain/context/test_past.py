"""History in whole exchanges."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.context.past import NO_ANSWER, Past, answered, exchanges, last_said, results_of, resumed
from cozy_domain.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, UserMessage
from cozy_domain.sessions.session import PastTurn
from tests.unit.domain.context import givens
from tests.unit.domain.context.givens import histories, spoken, turn

ASKED = UserMessage(content="Hi")
CALL_A = ToolCall(id="a", name="ask", arguments="{}")
CALL_B = ToolCall(id="b", name="ask", arguments="{}")
CALLS = AssistantMessage(tool_calls=(CALL_A, CALL_B))
DONE = AssistantMessage(content="Done")


def result(id: str, text: str = "yes") -> ToolMessage:
    return ToolMessage(tool_call_id=id, content=text)


def test_a_turn_that_begins_with_results_belongs_to_the_one_before() -> None:
    found = exchanges([turn(1, ASKED, CALLS), turn(3, result("a"), result("b"), DONE), spoken(4)])
    assert [it.last for it in found] == [3, 4]
    assert found[0].messages == (ASKED, CALLS, result("a"), result("b"), DONE)


def test_turns_are_put_in_order() -> None:
    assert [it.last for it in exchanges([spoken(2), spoken(1)])] == [1, 2]


def test_results_at_the_very_beginning_answer_nothing_and_go() -> None:
    assert exchanges([turn(1, result("a"), DONE)])[0].messages == (DONE,)


def test_a_second_result_of_one_call_goes() -> None:
    found = exchanges([turn(1, ASKED, CALLS, result("a"), result("a", "again"), result("b"))])
    assert found[0].messages == (ASKED, CALLS, result("a"), result("b"))


def test_a_turn_of_which_nothing_is_left_is_an_empty_exchange() -> None:
    assert exchanges([turn(1, SystemMessage(content="Rules"))])[0].messages == ()


def test_missing_results_stand_before_the_next_message_and_at_the_end() -> None:
    none = [ToolMessage(tool_call_id=id, content=NO_ANSWER) for id in "ab"]
    assert answered((CALLS, result("a"), ASKED, CALLS)) == (CALLS, result("a"), none[1], ASKED, CALLS, *none)


def test_new_messages_answer_the_calls_that_they_begin_with() -> None:
    assert results_of((result("a"), result("b"), ASKED, result("c"))) == ("a", "b")
    assert results_of((ASKED, result("a"))) == results_of(()) == ()


def test_an_exchange_that_is_answered_late_stands_last() -> None:
    before = exchanges([turn(1, ASKED, CALLS), spoken(2)])
    past, present = resumed(before, (result("a"), result("b")))
    assert [it.last for it in past] == [2]
    assert present == (ASKED, CALLS, result("a"), result("b"))


def test_a_turn_that_answered_late_joins_the_exchange_that_asked() -> None:
    found = exchanges([turn(1, ASKED, CALLS), spoken(2), turn(3, result("a"), result("b"), DONE)])
    assert [it.last for it in found] == [2, 3]
    assert found[1].messages == (ASKED, CALLS, result("a"), result("b"), DONE)


def test_results_that_come_again_ask_for_another_answer() -> None:
    before = exchanges([turn(1, ASKED, CALLS, result("b")), turn(2, result("a"), DONE)])
    assert resumed(before, (result("a", "new"),))[1] == (ASKED, CALLS, result("b"), result("a", "new"))


def test_results_that_come_again_with_more_words_change_nothing_that_was_said() -> None:
    before = exchanges([turn(1, ASKED, CALLS), turn(2, result("a"), result("b"), DONE)])
    new = (result("a"), result("b"), ASKED)
    assert resumed(before, new)[1] == (ASKED, CALLS, result("a"), result("b"), DONE, ASKED)


def test_results_of_nobodys_calls_are_left_out() -> None:
    before = exchanges([spoken(1)])
    assert resumed(before, (result("x"), ASKED)) == (before, (ASKED,))


def test_the_last_run_of_the_user_begins_behind_everything_else() -> None:
    assert last_said((ASKED, DONE, ASKED, ASKED)) == 2
    assert last_said((DONE, ASKED, CALLS, result("a"))) == 1
    assert last_said((SystemMessage(content="Rules"), DONE)) == 0
    assert last_said(()) == 0


def test_the_oldest_exchanges_are_left_out_with_their_sizes() -> None:
    past = Past(exchanges([spoken(1), spoken(2)]), (3, 4)).without_oldest(1)
    assert past.tokens == 4
    assert past.messages == spoken(2).messages


@given(histories())
def test_every_call_of_a_history_is_answered_right_behind_it(history: tuple[PastTurn, ...]) -> None:
    for exchange in exchanges(history):
        assert givens.open_calls(answered(exchange.messages)) == []


@given(histories())
def test_nothing_that_was_said_is_lost(history: tuple[PastTurn, ...]) -> None:
    def said(messages: tuple[Message, ...]) -> list[Message]:
        return [m for m in messages if isinstance(m, UserMessage | AssistantMessage)]

    assert [m for it in exchanges(history) for m in said(it.messages)] == [
        m for it in history for m in said(it.messages)
    ]


@given(st.lists(st.sampled_from((ASKED, DONE, CALLS, result("a"), result("b"))), max_size=8))
def test_data_before_the_last_words_of_the_user_parts_no_call_from_its_result(said: list[Message]) -> None:
    whole = answered([it for it in said if not isinstance(it, ToolMessage)])
    at = last_said(whole)
    assert givens.open_calls(whole[:at]) == []
    assert givens.open_calls(whole[at:]) == []
