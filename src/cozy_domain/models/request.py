"""What a model is asked."""

from enum import StrEnum
from typing import Literal

import msgspec

from cozy_domain.messages import Message


class ModelRef(msgspec.Struct, frozen=True, order=True):
    """A model at a provider; written ``provider/id``."""

    provider: str
    id: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.id}"


class Feature(StrEnum):
    """What a model may or may not be able to do. A request that needs a missing one is refused by name."""

    TOOLS = "tools"
    PARALLEL_TOOL_CALLS = "parallel_tool_calls"
    IMAGES = "images"
    AUDIO_INPUT = "audio_input"
    AUDIO_OUTPUT = "audio_output"
    FILES = "files"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    CHOICES = "n"
    SAMPLING = "temperature"
    PENALTIES = "frequency_penalty"
    STOP = "stop"
    SEED = "seed"
    LOGPROBS = "logprobs"
    LOGIT_BIAS = "logit_bias"
    REASONING_EFFORT = "reasoning_effort"
    VERBOSITY = "verbosity"
    PREDICTION = "prediction"
    WEB_SEARCH = "web_search_options"
    SERVICE_TIER = "service_tier"


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool as the model sees it. ``parameters`` is a JSON Schema object, as JSON text."""

    name: str
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b'{"type":"object","properties":{}}')
    strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """``mode`` as the field knows it; ``names`` restricts it (one name with ``required`` forces that tool)."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


class ResponseFormat(msgspec.Struct, frozen=True):
    """``schema`` (JSON text) and the rest belong to ``json_schema``."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw | None = None
    strict: bool | None = None


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to write. None means the provider's own default.

    Ranges (OpenAI chat completions): temperature 0..2, top_p 0..1, penalties -2..2, max_output >= 1 tokens,
    1-4 stop texts, choices 1..128, top_logprobs 0..20, logit_bias -100..100.
    ``extra`` holds provider parameters that are handed on as they are (JSON text by name).
    """

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_output: int | None = None
    stop: tuple[str, ...] = ()
    choices: int = 1
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    logit_bias: tuple[tuple[str, float], ...] = ()
    reasoning_effort: str | None = None
    verbosity: str | None = None
    response_format: ResponseFormat = ResponseFormat()
    extra: tuple[tuple[str, msgspec.Raw], ...] = ()


class ModelRequest(msgspec.Struct, frozen=True):
    """One call of a model. ``cache_key`` is stable for a stable prompt head and holds no personal data."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    cache_key: str | None = None
    end_user: str | None = None
    """An opaque id of the person, for the provider's abuse detection; never a name."""
