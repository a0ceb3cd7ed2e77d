"""What a turn has said and done so far (no waiting, no storing).

``take`` is on the path of every delta, so it does little: it keeps the delta and says what the caller sees of it.
"""

from msgspec.structs import replace

from cozy_domain.chat.tool_loop import LoopState, RoundFold, RoundOutput, tool_messages
from cozy_domain.messages import AssistantMessage, FinishReason, Message, Usage
from cozy_domain.models.deltas import (
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.models.request import ModelRef
from cozy_domain.tools.tool import ToolResult

BETWEEN_ROUNDS = "\n\n"
"""Stands between the words before and after a tool ran, which the model wrote as two messages."""

_CUT_OFF = ("length", "content_filter")
"""Calls of an answer that was cut off may be cut off too: who runs them has to know."""


class Progress:
    """``messages`` are those of the finished rounds; ``characters`` counts all that was written in all choices, arguments of
    calls included; ``overflowed`` says that the answer was ended because it would not end."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.results: list[ToolResult] = []
        self.model: ModelRef | None = None
        self.characters = 0
        self.overflowed = False
        self._usage = Usage()
        self._round_usage = Usage()
        self.service_tier: str | None = None
        self.fingerprint: str | None = None
        self._sent: dict[int, list[str]] = {}
        self._answers: tuple[AssistantMessage, ...] = ()
        self._finish: tuple[FinishReason, ...] = ()
        self._fold: RoundFold | None = None
        self._silent: set[int] = set()

    @property
    def usage(self) -> Usage:
        return self._usage.plus(self._round_usage)

    @property
    def finish(self) -> tuple[FinishReason, ...]:
        """Empty until the turn has come to an end by itself."""
        return self._finish

    @property
    def text(self) -> str:
        """What the caller has seen of the first choice."""
        return "".join(self._sent.get(0, ()))

    def begin_round(self, state: LoopState) -> None:
        self._fold = RoundFold(state)
        self._usage, self._round_usage = self.usage, Usage()
        self._silent = {choice for choice, pieces in self._sent.items() if any(pieces)}

    def take(self, delta: ModelDelta) -> TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta | None:
        """What the caller sees of it, if anything."""
        shown = self._heard(delta)
        if isinstance(delta, TextDelta):
            return self._said(delta)
        if isinstance(delta, RefusalDelta):
            self.characters += len(delta.text)
            return delta
        if isinstance(delta, ReasoningDelta):
            return delta if delta.text else None
        if isinstance(delta, ToolCallDelta):
            self.characters += len(delta.arguments)
        elif isinstance(delta, UsageReported):
            self._round_usage = delta.usage
            self.service_tier, self.fingerprint = delta.service_tier, delta.fingerprint
        return shown

    def output(self) -> RoundOutput:
        """The current round."""
        return self._fold.output() if self._fold else RoundOutput(())

    def end_round(self, message: AssistantMessage, results: tuple[ToolResult, ...]) -> tuple[Message, ...]:
        """Another round follows; what it will be shown of this one."""
        added: tuple[Message, ...] = (message, *tool_messages(results))
        self.messages += added
        self.results += results
        self._fold = None
        return added

    def answered(self) -> None:
        """The current round is the answer."""
        choices = self.output().choices
        said = tuple(choice.message(frozenset()) for choice in choices)
        self.messages += said
        self._answers = self._whole(said)
        self._finish = tuple(self._reason(choice.finish) for choice in choices)
        self._fold = None

    def handed_over(
        self,
        stored: tuple[AssistantMessage, ...],
        sent: tuple[AssistantMessage, ...],
        results: tuple[ToolResult, ...],
    ) -> None:
        """The client runs the rest: ``stored`` with the server's own results is kept, ``sent`` is the answer."""
        finish = [choice.finish or "stop" for choice in self.output().choices]
        self.messages += [*stored, *tool_messages(results)]
        self.results += results
        self._answers = self._whole(sent)
        self._finish = tuple(
            "tool_calls" if message.tool_calls and reason not in _CUT_OFF else reason
            for message, reason in zip(sent, finish, strict=True)
        )
        self._fold = None

    def cut_short(self) -> None:
        """The current round ends where it is: its words are kept, its calls are not."""
        message = next((it.message(frozenset()) for it in self.output().choices[:1]), AssistantMessage())
        if message.content or message.refusal:
            self.messages.append(message)
        if self.text or message.refusal:
            self._answers = (AssistantMessage(content=self.text or None, refusal=message.refusal),)
        self._fold = None

    def heard(self, text: str) -> None:
        """Of a spoken answer only this was heard: nothing else that was written stays. The words before calls that the
        client runs stay with them, because nothing may come between a call and its result."""
        handed_over = any(message.tool_calls for message in self._answers)
        silent = [
            replace(message, content=None) if isinstance(message, AssistantMessage) else message
            for message in self.messages
            if not isinstance(message, AssistantMessage) or message.tool_calls
        ]
        if handed_over:
            self._answers = tuple(replace(message, content=text or None) for message in self._answers)
            calling = [message for message in silent if isinstance(message, AssistantMessage)][-1]
            said_with = replace(calling, content=text or None)
            self.messages = [said_with if message is calling else message for message in silent]
            return
        said = [AssistantMessage(content=text)] if text else []
        self.messages = [*silent, *said]
        self._answers = tuple(said)

    @property
    def answers(self) -> tuple[AssistantMessage, ...]:
        """What was sent out, by choice."""
        return self._answers

    def _heard(self, delta: ModelDelta) -> ToolCallDelta | None:
        return self._fold.heard(delta) if self._fold else None

    def _said(self, delta: TextDelta) -> TextDelta:
        if delta.choice in self._silent and delta.text:
            self._silent.discard(delta.choice)
            delta = replace(delta, text=BETWEEN_ROUNDS + delta.text)
        self.characters += len(delta.text)
        self._sent.setdefault(delta.choice, []).append(delta.text)
        return delta

    def _reason(self, finish: FinishReason | None) -> FinishReason:
        """``tool_calls`` without calls is a plain end."""
        if finish is None and self.overflowed:
            return "length"
        return finish if finish and finish != "tool_calls" else "stop"

    def _whole(self, last: tuple[AssistantMessage, ...]) -> tuple[AssistantMessage, ...]:
        """The messages of the last round, with the words of all rounds."""
        said = ["".join(self._sent.get(choice, ())) for choice in range(len(last))]
        return tuple(
            replace(message, content=text or message.content)
            for message, text in zip(last, said, strict=True)
        )
