"""What a client is answered: whole, in chunks, and which models there are."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class UsageOut(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class FunctionCallOut(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class ToolCallOut(msgspec.Struct, frozen=True):
    id: str
    function: FunctionCallOut
    type: Literal["function"] = "function"


class TopLogprobOut(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None


class TokenLogprobOut(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None
    top_logprobs: tuple[TopLogprobOut, ...]


class LogprobsOut(msgspec.Struct, frozen=True):
    content: tuple[TokenLogprobOut, ...]
    refusal: None = None


class MessageOut(msgspec.Struct, frozen=True):
    content: str | None
    refusal: str | None = None
    tool_calls: tuple[ToolCallOut, ...] | UnsetType = UNSET
    function_call: FunctionCallOut | UnsetType = UNSET
    role: Literal["assistant"] = "assistant"


class ChoiceOut(msgspec.Struct, frozen=True):
    index: int
    message: MessageOut
    finish_reason: str
    logprobs: LogprobsOut | None = None


class DegradationOut(msgspec.Struct, frozen=True):
    engine: str
    reason: str
    after_ms: int


class TimingsOut(msgspec.Struct, frozen=True):
    """Milliseconds since the turn began."""

    context_ms: float
    first_token_ms: float | None
    total_ms: float


class ToolRanOut(msgspec.Struct, frozen=True):
    """A tool of the server that ran. ``arguments`` is the model's JSON text."""

    name: str
    arguments: str
    outcome: str
    duration_ms: int


class CozyStarted(msgspec.Struct, frozen=True):
    """On the first chunk of a stream."""

    session_id: str | None
    turn_id: str


class CozyEnded(msgspec.Struct, frozen=True):
    """On the chunk with ``finish_reason``. ``model`` is who answered, ``degraded`` what was skipped; ``tools`` are those of
    the server that ran, in order, absent when none did."""

    persona: str
    revision: int
    model: str | None
    degraded: tuple[DegradationOut, ...]
    timings: TimingsOut
    tools: tuple[ToolRanOut, ...] | UnsetType = UNSET


class CozyOut(msgspec.Struct, frozen=True):
    """Both of the above, on a plain reply."""

    session_id: str | None
    turn_id: str
    persona: str
    revision: int
    model: str | None
    degraded: tuple[DegradationOut, ...]
    timings: TimingsOut
    tools: tuple[ToolRanOut, ...] | UnsetType = UNSET


class ChatCompletion(msgspec.Struct, frozen=True):
    id: str
    created: int
    model: str
    choices: tuple[ChoiceOut, ...]
    usage: UsageOut
    cozy: CozyOut
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    object: Literal["chat.completion"] = "chat.completion"


# --- stream ---


class FunctionDelta(msgspec.Struct, frozen=True):
    arguments: str
    name: str | UnsetType = UNSET


class ToolCallDeltaOut(msgspec.Struct, frozen=True):
    """The first piece of a call has ``id``, ``type`` and a name; a client joins what is repeated, so nothing is."""

    index: int
    function: FunctionDelta
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class DeltaOut(msgspec.Struct, frozen=True):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: tuple[ToolCallDeltaOut, ...] | UnsetType = UNSET
    function_call: FunctionDelta | UnsetType = UNSET


class ChoiceDeltaOut(msgspec.Struct, frozen=True):
    index: int
    delta: DeltaOut
    logprobs: LogprobsOut | None = None
    finish_reason: str | None = None


class ChatCompletionChunk(msgspec.Struct, frozen=True):
    """``usage`` is null on every chunk but the last when usage was asked for, else absent."""

    id: str
    created: int
    model: str
    choices: tuple[ChoiceDeltaOut, ...]
    usage: UsageOut | UnsetType | None = UNSET
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str | UnsetType = UNSET
    cozy: CozyStarted | CozyEnded | UnsetType = UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"


# --- models ---


class ModelOut(msgspec.Struct, frozen=True):
    """``created`` in seconds since 1970."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"


class ModelList(msgspec.Struct, frozen=True):
    data: tuple[ModelOut, ...]
    object: Literal["list"] = "list"


ENCODER = msgspec.json.Encoder()
