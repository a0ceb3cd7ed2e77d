"""The plain reply is the stream folded."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.chat.events import ChatEvent, ToolRan, TurnEnded, TurnStarted
from cozy_domain.chat.reply import ChatReply, ReplyChoice, fold
from cozy_domain.errors import LocalProtocolError, ProviderUnavailableError
from cozy_domain.ids import PersonaId
from cozy_domain.messages import FinishReason, ToolCall
from cozy_domain.models.deltas import ReasoningDelta, RefusalDelta, TextDelta, TokenLogprob, ToolCallDelta
from cozy_domain.sessions.session import PersonaPin
from cozy_domain.sessions.turn import TurnOutcome
from tests.fixtures.turns import turn_id

STARTED = TurnStarted(turn_id(1), None, PersonaPin(PersonaId("default"), 1), datetime(2026, 3, 1, tzinfo=UTC))
text = st.text(max_size=12)


def ended(*finish: FinishReason) -> TurnEnded:
    return TurnEnded("completed", TurnOutcome(finish=finish))


async def folded(*events: ChatEvent) -> ChatReply:
    return await fold(stream(events))


async def stream(events: Iterable[ChatEvent]) -> AsyncIterator[ChatEvent]:
    for event in events:
        yield event


@st.composite
def pieces(draw: st.DrawFn, whole: str) -> list[str]:
    """``whole`` cut anywhere, also into empty pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@st.composite
def interleaved(draw: st.DrawFn, lines: list[list[ChatEvent]]) -> list[ChatEvent]:
    """The events of all lines, those of each line in their order."""
    order = draw(st.permutations([number for number, line in enumerate(lines) for _ in line]))
    ready = [iter(line) for line in lines]
    return [next(ready[number]) for number in order]


@st.composite
def written(draw: st.DrawFn) -> tuple[list[ReplyChoice], list[ChatEvent]]:
    """Some choices, and a stream that writes them."""
    choices: list[ReplyChoice] = []
    lines: list[list[ChatEvent]] = []
    for number in range(draw(st.integers(1, 3))):
        said, refused = draw(text), draw(text)
        calls = draw(st.lists(st.builds(ToolCall, st.just("id"), st.just("f"), text), max_size=2))
        lines.append([TextDelta(piece, number) for piece in draw(pieces(said))])
        lines.append([RefusalDelta(piece, number) for piece in draw(pieces(refused))])
        for index, call in enumerate(calls):
            first = ToolCallDelta(index, "", call.id, call.name, number)
            rest = [ToolCallDelta(index, piece, choice=number) for piece in draw(pieces(call.arguments))]
            lines.append([first, *rest])
        silent = not said and bool(calls or refused)
        choices.append(ReplyChoice(None if silent else said, refused or None, tuple(calls), (), "stop"))
    return choices, draw(interleaved(lines))


@given(written())
async def test_any_cut_of_any_choices_in_any_interleaving_folds_to_the_whole(
    given_: tuple[list[ReplyChoice], list[ChatEvent]],
) -> None:
    choices, events = given_
    end = ended(*(choice.finish for choice in choices))
    assert await folded(STARTED, *events, end) == ChatReply(STARTED, end, tuple(choices))


async def test_calls_come_in_the_order_of_their_index() -> None:
    second, first = ToolCallDelta(1, "{}", "b", "g"), ToolCallDelta(0, "{}", "a", "f")
    reply = await folded(STARTED, second, first, ended("tool_calls"))
    assert [call.id for call in reply.choices[0].tool_calls] == ["a", "b"]
    assert reply.choices[0].finish == "tool_calls"
    assert reply.choices[0].text is None


async def test_a_choice_that_wrote_nothing_is_an_empty_text() -> None:
    reply = await folded(STARTED, TextDelta("a", 1), ended("length", "stop"))
    assert [(choice.text, choice.finish) for choice in reply.choices] == [("", "length"), ("a", "stop")]


async def test_log_probabilities_are_put_together() -> None:
    one, two = TokenLogprob("a", -0.1), TokenLogprob("b", -0.2)
    reply = await folded(
        STARTED, TextDelta("a", logprobs=(one,)), TextDelta("b", logprobs=(two,)), ended("stop")
    )
    assert reply.choices[0].logprobs == (one, two)


async def test_an_answer_cut_short_is_one_choice() -> None:
    reply = await folded(STARTED, TextDelta("half"), TurnEnded("interrupted", TurnOutcome()))
    assert [choice.text for choice in reply.choices] == ["half"]


async def test_thinking_is_no_part_of_the_answer() -> None:
    reply = await folded(STARTED, ReasoningDelta("Hm."), TextDelta("Yes."), ended("stop"))
    assert [it.text for it in reply.choices] == ["Yes."]


async def test_tools_that_ran_are_told_beside_the_choices() -> None:
    with_tool = await folded(STARTED, ToolRan("clock", "ok", 3), TextDelta("noon"), ended("stop"))
    assert with_tool.tools == (ToolRan("clock", "ok", 3),)
    without = await folded(STARTED, TextDelta("noon"), ended("stop"))
    assert (with_tool.choices, without.tools) == (without.choices, ())


@pytest.mark.parametrize("events", [(), (STARTED, TextDelta("half")), (ended("stop"),)])
async def test_what_does_not_begin_and_end_is_no_reply(events: tuple[ChatEvent, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        await folded(*events)


async def test_nothing_of_a_broken_stream_is_a_reply() -> None:
    async def broken() -> AsyncIterator[ChatEvent]:
        yield STARTED
        yield TextDelta("half")
        raise ProviderUnavailableError("gone", provider="p")

    with pytest.raises(ProviderUnavailableError):
        await fold(broken())
