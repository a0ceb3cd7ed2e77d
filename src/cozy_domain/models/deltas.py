"""What streams back from a model. ``choice`` counts from 0; there is more than one only when more were asked for."""

import msgspec

from cozy_domain.messages import FinishReason, Thinking, Usage


class TokenLogprob(msgspec.Struct, frozen=True):
    """``logprob`` is the natural logarithm of the probability, <= 0."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple["TokenLogprob", ...] = ()


class TextDelta(msgspec.Struct, frozen=True, tag="text"):
    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


class RefusalDelta(msgspec.Struct, frozen=True, tag="refusal"):
    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning"):
    """Thinking that some providers show; never part of the answer, nor stored (but see `ThinkingKept`). An empty one says
    that the model is thinking, of which nothing is shown."""

    text: str
    choice: int = 0


class ThinkingKept(msgspec.Struct, frozen=True, tag="thinking"):
    """What the model wants back with the results of the calls that it just made; comes once, behind them."""

    thinking: Thinking
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call"):
    """A piece of a call. ``index`` tells the calls of one choice apart; the first piece carries ``id``, that or a later
    one ``name``, and all more ``arguments``."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    choice: int = 0


class ChoiceFinished(msgspec.Struct, frozen=True, tag="finished"):
    reason: FinishReason
    choice: int = 0


class UsageReported(msgspec.Struct, frozen=True, tag="usage"):
    """Totals of this call; the last report wins. ``service_tier`` and ``fingerprint`` are the provider's words."""

    usage: Usage
    service_tier: str | None = None
    fingerprint: str | None = None


ModelDelta = (
    TextDelta | RefusalDelta | ReasoningDelta | ThinkingKept | ToolCallDelta | ChoiceFinished | UsageReported
)
