"""From what a model wrote to what happens next."""

import re
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from cozy_domain.audit.events import ToolOutcome
from cozy_domain.chat.tool_loop import (
    MAX_CALLS,
    MAX_FAILING,
    MAX_ROUNDS,
    Answer,
    ChoiceOutput,
    GiveUp,
    HandOver,
    LoopState,
    RoundFold,
    RoundOutput,
    RunTools,
    after,
    call_id,
    choice_now,
    next_step,
    tool_messages,
)
from cozy_domain.ids import TurnId
from cozy_domain.messages import AssistantMessage, Thinking, ToolCall, ToolMessage, Usage
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ThinkingKept,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.models.request import ToolChoice
from cozy_domain.tools.tool import ToolResult

TURN = TurnId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
CLIENT = frozenset({"lamp", "door"})
START = LoopState(TURN, CLIENT)
WORDS = TextDelta("Well.")


def call(
    name: str, index: int = 0, arguments: str = "{}", theirs: str | None = "theirs", choice: int = 0
) -> ToolCallDelta:
    return ToolCallDelta(index=index, arguments=arguments, id=theirs, name=name, choice=choice)


def fold(deltas: Sequence[ModelDelta], state: LoopState = START) -> tuple[RoundOutput, list[ToolCallDelta]]:
    folded = RoundFold(state)
    shown = [piece for delta in deltas if (piece := folded.heard(delta))]
    return folded.output(), shown


def written(*deltas: ModelDelta, state: LoopState = START) -> RoundOutput:
    return fold(deltas, state)[0]


def results(calls: Sequence[ToolCall], outcome: ToolOutcome = "ok") -> tuple[ToolResult, ...]:
    return tuple(ToolResult(each, f"result of {each.id}", outcome) for each in calls)


def names(calls: Sequence[ToolCall]) -> list[str]:
    return [each.name for each in calls]


def played(state: LoopState, rounds: int, outcome: ToolOutcome = "ok") -> LoopState:
    for _ in range(rounds):
        step = next_step(state, written(call("clock"), state=state))
        assert isinstance(step, RunTools)
        state = after(state, results(step.calls, outcome))
    return state


# Putting deltas together


def test_text_refusal_and_reason_are_put_together() -> None:
    output = written(TextDelta("Hel"), TextDelta("lo"), RefusalDelta("No."), ChoiceFinished("stop"))
    assert output.choices == (ChoiceOutput("Hello", "No.", (), "stop"),)


def test_reasoning_and_usage_are_no_part_of_the_answer() -> None:
    assert written(ReasoningDelta("hm"), UsageReported(Usage())).choices == ()


def test_thinking_goes_with_all_calls_of_its_message_or_not_at_all() -> None:
    thinking = Thinking("m", "[]", 3)
    both = next_step(START, written(call("clock"), call("lamp", 1), ThinkingKept(thinking)))
    assert isinstance(both, HandOver)
    assert [message.thinking for message in both.stored] == [thinking]
    assert [message.thinking for message in both.sent] == [None]
    alone = next_step(START, written(call("clock"), ThinkingKept(thinking)))
    assert isinstance(alone, RunTools)
    assert alone.message.thinking == thinking


def test_thinking_of_calls_that_nobody_may_make_goes_with_them() -> None:
    closing = replace(START, closing="too_many_rounds")
    output = written(WORDS, call("clock"), ThinkingKept(Thinking("m", "[]")), state=closing)
    assert output.choices[0].message() == AssistantMessage("Well.")


def test_pieces_of_one_call_become_one_call() -> None:
    output = written(call("clock", arguments='{"time'), ToolCallDelta(0, 'zone": "UTC"}'))
    assert output.choices[0].calls == (ToolCall(call_id(TURN, 0), "clock", '{"timezone": "UTC"}'),)


def test_interleaved_pieces_go_to_their_own_calls() -> None:
    output = written(
        call("a", 0, "", "x"), call("b", 1, "", "y"), ToolCallDelta(0, "{0}"), ToolCallDelta(1, "{1}")
    )
    assert [(each.name, each.arguments) for each in output.choices[0].calls] == [("a", "{0}"), ("b", "{1}")]


def test_another_id_under_the_same_index_is_another_call() -> None:
    output = written(call("a", 0, "{}", "x"), call("b", 0, "{}", "y"))
    assert names(output.choices[0].calls) == ["a", "b"]


def test_later_pieces_under_a_shared_index_belong_to_the_last_call() -> None:
    output = written(call("a", 0, "", "x"), call("b", 0, "", "y"), ToolCallDelta(0, '{"b": 1}'))
    assert [each.arguments for each in output.choices[0].calls] == ["{}", '{"b": 1}']


def test_a_repeated_id_and_name_change_nothing() -> None:
    output = written(call("clock", arguments='{"a":'), call("clock", arguments="1}"))
    assert output.choices[0].calls == (ToolCall(call_id(TURN, 0), "clock", '{"a":1}'),)


def test_an_id_that_comes_late_does_not_split_the_call() -> None:
    output = written(call("clock", theirs=None, arguments="{"), ToolCallDelta(0, "}", id="late"))
    assert len(output.choices[0].calls) == 1


def test_equal_and_empty_ids_of_the_provider_become_unique_ones() -> None:
    output = written(
        call("a", 0, theirs="call_0"),
        call("b", 1, theirs="call_0"),
        call("c", 2, theirs=""),
        call("d", 3, theirs=None),
    )
    ids = [each.id for each in output.choices[0].calls]
    assert ids == [call_id(TURN, number) for number in range(4)]


def test_ids_go_on_in_the_next_round() -> None:
    state = played(START, 2)
    assert written(call("clock"), state=state).choices[0].calls[0].id == call_id(TURN, 2)


@given(st.integers(0, (MAX_ROUNDS + 1) * MAX_CALLS - 1))
def test_ids_are_what_every_provider_accepts(number: int) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", call_id(TURN, number))


def test_no_arguments_are_an_empty_object() -> None:
    assert written(call("clock", arguments=" ")).choices[0].calls[0].arguments == "{}"


@pytest.mark.parametrize(
    ("wrote", "kept"), [("functions.clock", "functions_clock"), ("时钟", "__"), ("x" * 70, "x" * 64)]
)
def test_a_name_is_kept_in_a_form_that_providers_accept_back(wrote: str, kept: str) -> None:
    assert written(call(wrote)).choices[0].calls[0].name == kept


def test_a_call_without_a_name_is_kept_as_unnamed() -> None:
    assert written(ToolCallDelta(0, "{}")).choices[0].calls[0].name == "unnamed"


def test_calls_beyond_the_limit_are_left_out() -> None:
    output = written(*(call("clock", index, theirs=str(index)) for index in range(MAX_CALLS + 5)))
    assert len(output.choices[0].calls) == MAX_CALLS


def test_the_limit_still_lets_begun_calls_be_finished() -> None:
    begun = [call("clock", index, "", str(index)) for index in range(MAX_CALLS)]
    output = written(*begun, call("clock", 99, theirs="more"), ToolCallDelta(0, '{"a": 1}'))
    assert output.choices[0].calls[0].arguments == '{"a": 1}'


def test_choices_are_told_apart_and_come_in_order() -> None:
    output = written(TextDelta("b", 1), TextDelta("a", 0), call("lamp", choice=1))
    assert [choice.text for choice in output.choices] == ["a", "b"]
    assert [len(choice.calls) for choice in output.choices] == [0, 1]


# What the client sees of it


def test_the_client_sees_its_calls_under_our_ids() -> None:
    _, shown = fold([call("lamp", 0, '{"on":', "theirs"), ToolCallDelta(0, "true}")])
    assert shown == [
        ToolCallDelta(0, '{"on":', call_id(TURN, 0), "lamp"),
        ToolCallDelta(0, "true}"),
    ]


def test_the_clients_calls_are_counted_without_the_servers() -> None:
    _, shown = fold(
        [
            call("clock", 0, theirs="a"),
            call("lamp", 1, theirs="b"),
            call("clock", 2, theirs="c"),
            call("door", 3, theirs="d"),
        ]
    )
    assert [(piece.index, piece.name) for piece in shown] == [(0, "lamp"), (1, "door")]


def test_each_choice_counts_its_own_calls() -> None:
    _, shown = fold([call("lamp", choice=0), call("door", choice=1)])
    assert [(piece.choice, piece.index) for piece in shown] == [(0, 0), (1, 0)]


def test_arguments_that_come_before_the_name_are_shown_with_it() -> None:
    _, shown = fold([ToolCallDelta(0, '{"on":'), ToolCallDelta(0, "true}", name="lamp")])
    assert shown == [ToolCallDelta(0, '{"on":true}', call_id(TURN, 0), "lamp")]


def test_nothing_is_shown_of_text() -> None:
    assert fold([WORDS, ChoiceFinished("stop")])[1] == []


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["lamp", "door", "clock"]), st.text("{}:1", max_size=4))
    )
)
def test_what_was_shown_adds_up_to_the_clients_calls(pieces: list[tuple[int, str, str]]) -> None:
    output, shown = fold([call(name, index, text, str(index)) for index, name, text in pieces])
    calls = [each for choice in output.choices for each in choice.calls if each.name in CLIENT]
    assert [piece.id for piece in shown if piece.id] == [each.id for each in calls]
    for position, each in enumerate(calls):
        text = "".join(piece.arguments for piece in shown if piece.index == position)
        assert (text or "{}") == each.arguments


# What follows


def test_words_alone_are_the_answer() -> None:
    assert next_step(START, written(WORDS)) == Answer()


def test_silence_is_an_answer_too() -> None:
    assert next_step(START, written()) == Answer()


def test_calls_of_server_tools_are_run_in_order() -> None:
    output = written(WORDS, call("clock", 0, theirs="a"), call("calculator", 1, theirs="b"))
    step = next_step(START, output)
    assert isinstance(step, RunTools)
    assert names(step.calls) == ["clock", "calculator"]
    assert step.message == AssistantMessage("Well.", step.calls)


def test_a_message_of_calls_alone_has_no_content() -> None:
    step = next_step(START, written(call("clock")))
    assert isinstance(step, RunTools)
    assert step.message.content is None


def test_a_tool_that_nobody_offered_is_run_so_that_it_fails_and_the_model_learns() -> None:
    step = next_step(START, written(call("teleport")))
    assert isinstance(step, RunTools)
    assert names(step.calls) == ["teleport"]


def test_a_clients_call_is_handed_over() -> None:
    step = next_step(START, written(call("lamp")))
    assert isinstance(step, HandOver)
    assert (names(step.client), step.server) == (["lamp"], ())
    assert step.stored == step.sent == (AssistantMessage(None, step.client),)


def test_both_kinds_in_one_round_run_the_servers_and_hand_the_clients_over() -> None:
    output = written(call("lamp", 0, theirs="a"), call("clock", 1, theirs="b"), call("door", 2, theirs="c"))
    step = next_step(START, output)
    assert isinstance(step, HandOver)
    assert (names(step.client), names(step.server)) == (["lamp", "door"], ["clock"])
    assert names(step.stored[0].tool_calls) == ["lamp", "clock", "door"]
    assert names(step.sent[0].tool_calls) == ["lamp", "door"]


def test_with_several_choices_only_the_clients_calls_count() -> None:
    step = next_step(START, written(call("clock", choice=0), TextDelta("b", 1), call("lamp", choice=1)))
    assert isinstance(step, HandOver)
    assert (names(step.client), step.server) == (["lamp"], ())
    assert step.stored == step.sent == (AssistantMessage(""), AssistantMessage("b", step.client))


def test_with_several_choices_no_server_tool_runs() -> None:
    assert next_step(START, written(call("clock", choice=0), TextDelta("b", 1))) == Answer()


def test_a_refusal_is_a_message_without_content() -> None:
    assert written(RefusalDelta("No.")).choices[0].message() == AssistantMessage(None, (), "No.")


def test_a_silent_choice_is_a_message_with_empty_content() -> None:
    assert ChoiceOutput().message() == AssistantMessage("")


def test_results_become_messages_in_order() -> None:
    calls = written(call("a", 0, theirs="x"), call("b", 1, theirs="y")).choices[0].calls
    assert tool_messages(results(calls)) == tuple(ToolMessage(c.id, f"result of {c.id}") for c in calls)


# Rounds


def test_one_round_short_of_the_limit_tools_may_still_be_called() -> None:
    assert choice_now(played(START, MAX_ROUNDS - 1)).mode == "auto"


def test_after_the_last_round_the_model_is_asked_without_tools() -> None:
    state = played(START, MAX_ROUNDS)
    assert state.closing == "too_many_rounds"
    assert choice_now(state) == ToolChoice("none")


def test_a_closing_round_with_words_is_the_answer() -> None:
    state = played(START, MAX_ROUNDS)
    assert next_step(state, written(WORDS, call("clock"), state=state)) == Answer()


def test_a_closing_round_with_a_refusal_is_the_answer() -> None:
    state = played(START, MAX_ROUNDS)
    assert next_step(state, written(RefusalDelta("No."), state=state)) == Answer()


def test_a_closing_round_without_words_gives_up() -> None:
    state = played(START, MAX_ROUNDS)
    assert next_step(state, written(call("clock"), state=state)) == GiveUp("too_many_rounds")


def test_a_call_that_is_not_allowed_is_neither_kept_nor_shown() -> None:
    output, shown = fold([WORDS, call("lamp"), call("clock", 1)], LoopState(TURN, CLIENT, ToolChoice("none")))
    assert output.choices[0].calls == ()
    assert shown == []


def test_rounds_that_fail_in_a_row_end_the_calls() -> None:
    assert choice_now(played(START, MAX_FAILING - 1, "failed")).mode == "auto"
    state = played(START, MAX_FAILING, "failed")
    assert state.closing == "tools_keep_failing"
    assert next_step(state, written(state=state)) == GiveUp("tools_keep_failing")


@pytest.mark.parametrize("outcome", ["failed", "timeout", "refused", "invalid_arguments", "unknown"])
def test_every_outcome_but_ok_is_a_failure(outcome: ToolOutcome) -> None:
    assert played(START, 1, outcome).failing == 1


def test_a_success_starts_the_count_of_failures_anew() -> None:
    state = played(played(START, MAX_FAILING - 1, "failed"), 1)
    assert state.failing == 0
    assert played(state, MAX_FAILING - 1, "failed").closing is None


def test_one_success_among_failures_is_a_success() -> None:
    calls = written(call("a", 0, theirs="x"), call("b", 1, theirs="y")).choices[0].calls
    mixed = (*results(calls[:1], "failed"), *results(calls[1:]))
    assert after(START, mixed).failing == 0


def test_a_forced_call_is_forced_once() -> None:
    forced = LoopState(TURN, CLIENT, ToolChoice("required", ("clock",)))
    assert choice_now(forced) == ToolChoice("required", ("clock",))
    assert choice_now(played(forced, 1)) == ToolChoice("auto", ("clock",))


def test_a_free_choice_stays_as_it_is() -> None:
    free = LoopState(TURN, CLIENT, ToolChoice("auto", ("clock", "lamp")))
    assert choice_now(played(free, 3)) == free.choice


tools = st.sampled_from(["clock", "calculator", "nonsense", "lamp", "door"])
wishes = st.builds(ToolChoice, st.sampled_from(["none", "auto", "required"]))


class Loop(RuleBasedStateMachine):
    """A pipeline that does what it is told, and a model that writes anything."""

    @initialize(choice=wishes)
    def begin(self, choice: ToolChoice) -> None:
        self.state = LoopState(TURN, CLIENT, choice)
        self.asked: list[ToolCall] = []
        self.answered: list[str] = []
        self.waiting: list[str] = []
        self.requests = 0
        self.over = False

    @precondition(lambda self: self.over)
    @rule(choice=wishes)
    def next_turn(self, choice: ToolChoice) -> None:
        self.begin(choice)

    @precondition(lambda self: not self.over)
    @rule(
        wrote=st.lists(tools, max_size=4),
        words=st.booleans(),
        outcome=st.sampled_from(["ok", "failed", "timeout"]),
    )
    def round(self, wrote: list[str], words: bool, outcome: ToolOutcome) -> None:
        self.requests += 1
        allowed = choice_now(self.state).mode != "none"
        deltas = [call(name, index, theirs="same") for index, name in enumerate(wrote)]
        output = written(*([WORDS] if words else []), *deltas, state=self.state)
        step = next_step(self.state, output)
        kept = [each for choice in output.choices for each in choice.calls]
        assert names(kept) == (wrote if allowed else [])
        self.asked += kept
        match step:
            case RunTools(calls=calls):
                assert not CLIENT & set(names(calls))
                self.answer(calls, outcome)
                self.state = after(self.state, results(calls, outcome))
            case HandOver(client=client, server=server):
                assert set(names(client)) <= CLIENT
                assert not CLIENT & set(names(server))
                self.answer(server, outcome)
                self.waiting = [each.id for each in client]
                self.over = True
            case GiveUp():
                assert not words
                assert self.state.closing
                self.over = True
            case Answer():
                assert not kept
                self.over = True

    def answer(self, calls: Sequence[ToolCall], outcome: ToolOutcome) -> None:
        self.answered += [message.tool_call_id for message in tool_messages(results(calls, outcome))]

    @invariant()
    def every_call_has_exactly_one_answer_to_come_or_given(self) -> None:
        ids = [each.id for each in self.asked]
        assert sorted(self.answered + self.waiting) == sorted(ids)
        assert len(set(ids)) == len(ids)

    @invariant()
    def answers_keep_the_order_of_the_calls(self) -> None:
        assert self.answered == sorted(self.answered)
        assert self.waiting == sorted(self.waiting)

    @invariant()
    def the_rounds_are_bounded(self) -> None:
        assert self.state.rounds <= MAX_ROUNDS == 10
        assert self.requests <= MAX_ROUNDS + 1


Loop.TestCase.settings = settings(max_examples=150, stateful_step_count=15)
TestLoop = Loop.TestCase


def requests_until_the_end(state: LoopState, outcome: ToolOutcome) -> int:
    requests = 1
    while isinstance(step := next_step(state, written(call("clock"), state=state)), RunTools):
        state = after(state, results(step.calls, outcome))
        requests += 1
    return requests


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_model_that_only_ever_calls_tools_comes_to_an_end(mode: Literal["auto", "required"]) -> None:
    state = LoopState(TURN, CLIENT, ToolChoice(mode))
    assert requests_until_the_end(state, "ok") == MAX_ROUNDS + 1
    assert requests_until_the_end(state, "failed") == MAX_FAILING + 1
