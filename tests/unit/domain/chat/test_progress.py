"""What a turn has said and done so far."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.chat.progress import BETWEEN_ROUNDS, Progress
from cozy_domain.chat.tool_loop import HandOver, LoopState, RoundOutput, RunTools, next_step
from cozy_domain.messages import AssistantMessage, FinishReason, ToolMessage, Usage
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.tools.tool import ToolResult
from tests.fixtures.turns import turn_id

STATE = LoopState(turn_id(1), frozenset({"lookup"}))
CLOCK_CALL = ToolCallDelta(0, "{}", "p1", "clock")
LOOKUP_CALL = ToolCallDelta(1, "{}", "p2", "lookup")


def progress(*deltas: ModelDelta) -> Progress:
    """In its first round, in which ``deltas`` came."""
    begun = Progress()
    begun.begin_round(STATE)
    taken(begun, *deltas)
    return begun


def taken(to: Progress, *deltas: ModelDelta) -> list[ModelDelta]:
    """What the caller sees."""
    return [seen for delta in deltas if (seen := to.take(delta)) is not None]


def next_round(of: Progress, *deltas: ModelDelta) -> list[ModelDelta]:
    """Another round, after the tools of this one have run."""
    step = next_step(STATE, of.output())
    assert isinstance(step, RunTools)
    of.end_round(step.message, tuple(ToolResult(call, "noon", "ok") for call in step.calls))
    of.begin_round(STATE)
    return taken(of, *deltas)


def shown(deltas: list[ModelDelta], choice: int = 0) -> str:
    return "".join(it.text for it in deltas if isinstance(it, TextDelta) and it.choice == choice)


texts = st.lists(st.builds(TextDelta, st.text("ab ", max_size=3), st.integers(0, 2)), max_size=12)


@given(texts)
def test_what_is_kept_of_every_choice_is_what_was_shown(deltas: list[TextDelta]) -> None:
    turn = progress(*(TextDelta("", choice) for choice in range(3)))
    seen = taken(turn, *deltas)
    turn.answered()
    assert seen == deltas
    assert turn.text == shown(seen)
    assert [it.content for it in turn.answers] == [shown(seen, choice) for choice in range(3)]
    assert turn.messages == list(turn.answers)
    assert turn.finish == ("stop",) * 3


@given(st.lists(st.lists(st.text("ab ", max_size=3), max_size=4), min_size=1, max_size=3))
def test_what_is_kept_of_all_rounds_is_what_was_shown(rounds: list[list[str]]) -> None:
    """Each round but the last ends with a call."""
    first, *rest = [list(map(TextDelta, pieces)) for pieces in rounds]
    turn = progress()
    seen = taken(turn, *first)
    for deltas in rest:
        taken(turn, CLOCK_CALL)
        seen += next_round(turn, *deltas)
    taken(turn, ChoiceFinished("stop"))
    turn.answered()
    (answer,) = turn.answers
    paragraphs = ["".join(pieces) for pieces in rounds]
    assert turn.text == answer.content == shown(seen) == BETWEEN_ROUNDS.join(filter(None, paragraphs))
    said = [it.content for it in turn.messages if isinstance(it, AssistantMessage)]
    assert [it or "" for it in said] == paragraphs


@given(texts)
def test_an_answer_cut_short_keeps_what_was_shown_of_the_first_choice(deltas: list[TextDelta]) -> None:
    turn = progress(TextDelta("x"), *deltas)
    turn.cut_short()
    said = "x" + shown(list(deltas))
    assert turn.messages == [AssistantMessage(said)]
    assert turn.answers == (AssistantMessage(said),)
    assert turn.finish == ()


@pytest.mark.parametrize("before", [(), (TextDelta(""),)])
def test_a_first_round_without_words_leaves_no_gap(before: tuple[TextDelta, ...]) -> None:
    turn = progress(*before, CLOCK_CALL)
    assert shown(next_round(turn, TextDelta("It is noon."))) == "It is noon."


def test_the_words_around_a_tool_are_two_paragraphs() -> None:
    turn = progress(TextDelta("Let me see."), CLOCK_CALL)
    assert shown(next_round(turn, TextDelta(""), TextDelta("It is"), TextDelta(" noon."))) == (
        f"{BETWEEN_ROUNDS}It is noon."
    )
    turn.answered()
    assert turn.answers == (AssistantMessage("Let me see.\n\nIt is noon."),)
    said = [it.content for it in turn.messages if isinstance(it, AssistantMessage)]
    assert said == ["Let me see.", "It is noon."]


def test_a_round_with_tools_is_kept_with_their_results_and_shown_to_the_next() -> None:
    turn = progress(TextDelta("Wait."), CLOCK_CALL)
    step = next_step(STATE, turn.output())
    assert isinstance(step, RunTools)
    result = ToolResult(step.calls[0], "noon", "ok")
    added = turn.end_round(step.message, (result,))
    assert added == (AssistantMessage("Wait.", step.calls), ToolMessage(step.calls[0].id, "noon"))
    assert tuple(turn.messages) == added
    assert turn.results == [result]
    assert turn.output() == RoundOutput(())


def test_thinking_and_of_calls_only_those_of_the_clients_tools_are_shown() -> None:
    turn = progress()
    thoughts = (ReasoningDelta(""), ReasoningDelta("hm"))
    seen = taken(turn, CLOCK_CALL, LOOKUP_CALL, *thoughts, ChoiceFinished("tool_calls"))
    call, thought = seen
    assert thought == ReasoningDelta("hm")
    assert isinstance(call, ToolCallDelta)
    assert (call.index, call.name) == (0, "lookup")


def test_what_is_handed_over_is_stored_whole_and_sent_without_our_calls() -> None:
    turn = progress(TextDelta("Wait."), CLOCK_CALL, LOOKUP_CALL, ChoiceFinished("tool_calls"))
    step = next_step(STATE, turn.output())
    assert isinstance(step, HandOver)
    result = ToolResult(step.server[0], "noon", "ok")
    turn.handed_over(step.stored, step.sent, (result,))
    assert turn.messages == [
        AssistantMessage("Wait.", (*step.server, *step.client)),
        ToolMessage(step.server[0].id, "noon"),
    ]
    assert turn.answers == (AssistantMessage("Wait.", step.client),)
    assert turn.finish == ("tool_calls",)
    assert turn.results == [result]


def test_a_choice_that_calls_nothing_ends_as_it_did_beside_one_that_waits() -> None:
    turn = progress(
        ToolCallDelta(0, "{}", "p", "lookup", 0),
        TextDelta("no", 1),
        ChoiceFinished("length", 1),
        TextDelta("", 2),
    )
    step = next_step(STATE, turn.output())
    assert isinstance(step, HandOver)
    turn.handed_over(step.stored, step.sent, ())
    assert turn.finish == ("tool_calls", "length", "stop")
    assert [it.content for it in turn.answers] == [None, "no", ""]


@pytest.mark.parametrize(
    ("reason", "overflowed", "finish"),
    [
        ("stop", False, "stop"),
        ("content_filter", False, "content_filter"),
        ("tool_calls", False, "stop"),
        (None, False, "stop"),
        (None, True, "length"),
        ("stop", True, "stop"),
    ],
)
def test_how_an_answer_ends(reason: FinishReason | None, overflowed: bool, finish: FinishReason) -> None:
    turn = progress(TextDelta("x"), *([ChoiceFinished(reason)] if reason else []))
    turn.overflowed = overflowed
    turn.answered()
    assert turn.finish == (finish,)


def test_all_that_a_model_writes_counts_towards_its_limit() -> None:
    turn = progress(
        TextDelta("ab"), TextDelta("c", 1), RefusalDelta("no"), ToolCallDelta(0, '{"a":1}', "p", "f")
    )
    assert turn.characters == 2 + 1 + 2 + 7


def test_a_refusal_is_shown_and_kept() -> None:
    turn = progress()
    assert taken(turn, RefusalDelta("no")) == [RefusalDelta("no")]
    turn.answered()
    assert turn.answers == (AssistantMessage(None, refusal="no"),)


def test_the_last_report_of_each_round_is_what_was_used() -> None:
    turn = progress(
        UsageReported(Usage(1, 1, known=True)), UsageReported(Usage(10, 5, known=True)), CLOCK_CALL
    )
    assert turn.usage == Usage(10, 5, known=True)
    next_round(turn, UsageReported(Usage(20, 2, known=True)))
    assert turn.usage == Usage(30, 7, known=True)


def test_calls_of_a_round_cut_short_are_not_kept() -> None:
    turn = progress(TextDelta("Let me see."), CLOCK_CALL)
    turn.cut_short()
    assert turn.messages == [AssistantMessage("Let me see.")]


def test_a_turn_cut_short_before_a_word_keeps_nothing() -> None:
    turn = progress(CLOCK_CALL)
    turn.cut_short()
    assert (turn.messages, turn.answers) == ([], ())


def test_a_turn_cut_short_in_its_second_round_keeps_the_first() -> None:
    turn = progress(TextDelta("One."), CLOCK_CALL)
    next_round(turn, TextDelta("Two"))
    turn.cut_short()
    assert [it.content for it in turn.messages] == ["One.", "noon", "Two"]
    assert turn.answers == (AssistantMessage("One.\n\nTwo"),)


@pytest.mark.parametrize("heard", ["", "One. Tw"])
def test_of_a_spoken_answer_only_what_was_heard_and_the_tools_stay(heard: str) -> None:
    turn = progress(TextDelta("One."), CLOCK_CALL)
    next_round(turn, TextDelta("Two. Three."))
    turn.answered()
    turn.heard(heard)
    calls, result, *said = turn.messages
    assert isinstance(calls, AssistantMessage)
    assert (calls.content, len(calls.tool_calls)) == (None, 1)
    assert isinstance(result, ToolMessage)
    assert said == ([AssistantMessage(heard)] if heard else [])
    assert list(turn.answers) == said
    assert turn.finish == ("stop",)


def test_before_its_first_round_nothing_is_heard_or_said() -> None:
    turn = Progress()
    assert turn.take(CLOCK_CALL) is None
    assert turn.output() == RoundOutput(())
    turn.cut_short()
    assert (turn.text, turn.usage, turn.messages) == ("", Usage(), [])


def test_what_the_provider_says_of_its_service_is_kept() -> None:
    kept = progress(UsageReported(Usage(1, 1, known=True), service_tier="flex", fingerprint="fp_1"))
    assert (kept.service_tier, kept.fingerprint) == ("flex", "fp_1")


def test_a_refusal_that_is_cut_short_is_kept() -> None:
    cut = progress(RefusalDelta("I can"))
    cut.cut_short()
    assert cut.messages == [AssistantMessage(refusal="I can")]
    assert cut.answers == (AssistantMessage(refusal="I can"),)


@pytest.mark.parametrize("heard", ["One mo", ""])
def test_of_the_words_before_a_clients_call_only_those_heard_are_kept(heard: str) -> None:
    over = progress(TextDelta("One moment."), LOOKUP_CALL, ChoiceFinished("tool_calls"))
    step = next_step(STATE, over.output())
    assert isinstance(step, HandOver)
    over.handed_over(step.stored, step.sent, ())
    over.heard(heard)
    (stored,), (answer,) = over.messages, over.answers
    assert isinstance(stored, AssistantMessage)
    assert (stored.content, stored.tool_calls) == (heard or None, answer.tool_calls)
    assert answer.content == (heard or None)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_clients_call_that_was_cut_off_says_so(reason: FinishReason) -> None:
    over = progress(LOOKUP_CALL, ChoiceFinished(reason))
    step = next_step(STATE, over.output())
    assert isinstance(step, HandOver)
    over.handed_over(step.stored, step.sent, ())
    assert over.finish == (reason,)
