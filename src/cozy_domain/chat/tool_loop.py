"""From what a model wrote to what happens next (pure).

What lives here: `RoundFold` puts the deltas of one model call together, `next_step` decides what follows, `after`
carries the results into the next round, `choice_now` says which tools that round may ask for. What never may: running a
tool, waiting, storing.

How it works. A round is one call of the model. It ends in one of four ways:

- no call: `Answer`, the turn is over;
- calls of the server's tools: `RunTools`, then another round. A name that nobody offered counts as the server's: running
  it fails with a message that the model reads and learns from;
- any call of a client's tool: `HandOver`. The server's calls of the round run first, so that their results wait with the
  turn; then the turn ends as ``waiting``;
- nothing said in a closing round: `GiveUp`.

At most `MAX_ROUNDS` rounds run tools, and at most `MAX_FAILING` in a row without any success. Then the model is asked once
more and may call nothing (the tools stay in the request, so that its cached head stays the same), so that the user gets
an answer instead of an error: eleven calls of the model at the most.

The ids are ours: unique over all turns, because a client's results are found again by id, and providers send empty ones,
equal ones or ``call_0``; and never over 40 characters, which OpenAI refuses in history (``string_above_max_length``).
"""

import re
from typing import Literal

import msgspec
from msgspec.structs import replace

from cozy_domain.ids import TurnId
from cozy_domain.messages import AssistantMessage, FinishReason, Thinking, ToolCall, ToolMessage
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    RefusalDelta,
    TextDelta,
    ThinkingKept,
    ToolCallDelta,
)
from cozy_domain.models.request import ToolChoice
from cozy_domain.tools.tool import ToolResult

MAX_ROUNDS = 10
"""Architecture, settled question 17."""
MAX_FAILING = 3
"""A model that did not get one call right in three rounds does not get the fourth right either."""
MAX_CALLS = 32
"""Calls of one round; more are left out as if not written, and the model may ask again. Keeps ids within their length."""
MAX_NAME = 64
"""OpenAI function names: ``^[a-zA-Z0-9_-]{1,64}$``. A provider refuses a history that holds another one."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")

Closing = Literal["too_many_rounds", "tools_keep_failing"]


class LoopState(msgspec.Struct, frozen=True):
    """Where a turn stands. ``rounds`` with tools are done, the last ``failing`` of them without success; ``calls`` ids are
    used up. ``closing`` says why no more call is allowed."""

    turn: TurnId
    client_tools: frozenset[str] = frozenset()
    choice: ToolChoice = ToolChoice()
    rounds: int = 0
    failing: int = 0
    calls: int = 0
    closing: Closing | None = None


class ChoiceOutput(msgspec.Struct, frozen=True):
    """What one choice wrote; ``calls`` in the order in which the model began them."""

    text: str = ""
    refusal: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: FinishReason | None = None
    thinking: Thinking | None = None

    def message(self, only: frozenset[str] | None = None) -> AssistantMessage:
        """The choice as a message, with its calls of the tools in ``only`` (None: with all). Thinking goes with all of them
        or not at all."""
        calls = tuple(call for call in self.calls if only is None or call.name in only)
        return AssistantMessage(
            content=self.text or (None if calls or self.refusal else ""),
            tool_calls=calls,
            refusal=self.refusal or None,
            thinking=self.thinking if calls == self.calls else None,
        )


class RoundOutput(msgspec.Struct, frozen=True):
    """What the model wrote in one round, by choice."""

    choices: tuple[ChoiceOutput, ...]

    @property
    def said(self) -> bool:
        return any(choice.text or choice.refusal for choice in self.choices)


class Answer(msgspec.Struct, frozen=True):
    """The turn is over; what was written is the answer."""


class RunTools(msgspec.Struct, frozen=True):
    """Run ``calls``, append ``message`` and the results to the prompt, and ask again."""

    message: AssistantMessage
    calls: tuple[ToolCall, ...]


class HandOver(msgspec.Struct, frozen=True):
    """Run ``server``, store the first of ``stored`` with the results, send out ``sent``, and wait for the client to answer
    ``client``. ``stored`` and ``sent`` by choice: all calls of the round, and only the client's."""

    client: tuple[ToolCall, ...]
    server: tuple[ToolCall, ...]
    stored: tuple[AssistantMessage, ...]
    sent: tuple[AssistantMessage, ...]


class GiveUp(msgspec.Struct, frozen=True):
    """The model was told to answer without tools, and said nothing."""

    reason: Closing


Step = Answer | RunTools | HandOver | GiveUp


class RoundFold:
    """Puts one round's deltas together. Use a new one for each round."""

    def __init__(self, state: LoopState) -> None:
        self._state = state
        self._deaf = choice_now(state).mode == "none"
        self._choices: dict[int, _Writing] = {}
        self._calls = 0

    def heard(self, delta: ModelDelta) -> ToolCallDelta | None:
        """What the client may see of a piece of a call, under the call's final id and with ``index`` counted over the
        client's calls; None for everything else."""
        match delta:
            case TextDelta():
                self._of(delta.choice).text.append(delta.text)
            case RefusalDelta():
                self._of(delta.choice).refusal.append(delta.text)
            case ChoiceFinished():
                self._of(delta.choice).finish = delta.reason
            case ThinkingKept() if not self._deaf:
                self._of(delta.choice).thinking = delta.thinking
            case ToolCallDelta() if not self._deaf:
                return self._piece(self._of(delta.choice), delta)
            case _:
                pass
        return None

    def output(self) -> RoundOutput:
        """What was heard so far."""
        return RoundOutput(tuple(self._choices[index].output() for index in sorted(self._choices)))

    def _of(self, choice: int) -> "_Writing":
        writing = self._choices.get(choice)
        if writing is None:
            writing = self._choices[choice] = _Writing()
        return writing

    def _piece(self, writing: "_Writing", delta: ToolCallDelta) -> ToolCallDelta | None:
        call = writing.call_of(delta)
        if call is None:
            if self._calls == MAX_CALLS:
                return None
            call = writing.begin(delta, call_id(self._state.turn, self._state.calls + self._calls))
            self._calls += 1
        return writing.add(call, delta, self._state.client_tools)


def next_step(state: LoopState, output: RoundOutput) -> Step:
    """What follows a round. With several choices there is no next round: only the client's calls count."""
    if state.closing and not output.said:
        return GiveUp(state.closing)
    calls = [call for choice in output.choices for call in choice.calls]
    client = tuple(call for call in calls if call.name in state.client_tools)
    alone = len(output.choices) == 1
    server = tuple(call for call in calls if call.name not in state.client_tools) if alone else ()
    if client:
        sent = tuple(choice.message(state.client_tools) for choice in output.choices)
        return HandOver(client, server, (output.choices[0].message(),) if alone else sent, sent)
    return RunTools(output.choices[0].message(), server) if server else Answer()


def after(state: LoopState, results: tuple[ToolResult, ...]) -> LoopState:
    """The state once the calls of a ``RunTools`` have ended, one result for each."""
    rounds = state.rounds + 1
    failing = 0 if any(result.outcome == "ok" for result in results) else state.failing + 1
    return replace(
        state,
        rounds=rounds,
        failing=failing,
        calls=state.calls + len(results),
        closing=_closing(rounds, failing),
    )


def choice_now(state: LoopState) -> ToolChoice:
    """What the coming round may call. A forced call is forced once, or the model could never answer; the names it was
    restricted to stay."""
    if state.closing:
        return ToolChoice(mode="none")
    if state.rounds and state.choice.mode == "required":
        return replace(state.choice, mode="auto")
    return state.choice


def tool_messages(results: tuple[ToolResult, ...]) -> tuple[ToolMessage, ...]:
    """The results as the model reads them."""
    return tuple(ToolMessage(tool_call_id=result.call.id, content=result.text) for result in results)


def call_id(turn: TurnId, number: int) -> str:
    """40 characters for the first 4,096 calls of a turn; eleven rounds have 352."""
    return f"call_{turn.hex}{number:03x}"


def _closing(rounds: int, failing: int) -> Closing | None:
    if rounds >= MAX_ROUNDS:
        return "too_many_rounds"
    return "tools_keep_failing" if failing >= MAX_FAILING else None


class _Call:
    """A call that is being written. ``theirs`` is the provider's id, ``shown`` its index among the client's."""

    def __init__(self, index: int, ours: str, theirs: str) -> None:
        self.index = index
        self.id = ours
        self.theirs = theirs
        self.name = ""
        self.shown: int | None = None
        self.arguments: list[str] = []

    def finished(self) -> ToolCall:
        """Empty arguments mean none, which is ``{}`` in JSON."""
        return ToolCall(
            id=self.id, name=self.name or "unnamed", arguments="".join(self.arguments).strip() or "{}"
        )


class _Writing:
    """A choice that is being written."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.finish: FinishReason | None = None
        self.thinking: Thinking | None = None
        self._calls: list[_Call] = []
        self._client_calls = 0

    def call_of(self, delta: ToolCallDelta) -> _Call | None:
        """The call that the piece belongs to. Some providers send every call under index 0: another id is another call."""
        for call in reversed(self._calls):
            if call.index == delta.index:
                return None if delta.id and call.theirs and delta.id != call.theirs else call
        return None

    def begin(self, delta: ToolCallDelta, ours: str) -> _Call:
        self._calls.append(_Call(delta.index, ours, delta.id or ""))
        return self._calls[-1]

    def add(self, call: _Call, delta: ToolCallDelta, client_tools: frozenset[str]) -> ToolCallDelta | None:
        call.arguments.append(delta.arguments)
        if call.shown is not None:
            return ToolCallDelta(index=call.shown, arguments=delta.arguments, choice=delta.choice)
        if call.name or not delta.name:
            return None
        call.name = _NOT_IN_A_NAME.sub("_", delta.name)[:MAX_NAME]
        if call.name not in client_tools:
            return None
        call.shown = self._client_calls
        self._client_calls += 1
        return ToolCallDelta(call.shown, "".join(call.arguments), call.id, call.name, delta.choice)

    def output(self) -> ChoiceOutput:
        return ChoiceOutput(
            text="".join(self.text),
            refusal="".join(self.refusal),
            calls=tuple(call.finished() for call in self._calls),
            finish=self.finish,
            thinking=self.thinking,
        )
