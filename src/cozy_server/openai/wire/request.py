"""What a client asks for.

A field that is null counts as absent, because clients send null for what they do not set. Unknown fields are ignored,
except inside ``cozy``. ``msgspec.Raw`` is JSON that is handed on; empty means absent (made by a factory, because
msgspec cannot write a default Raw into a JSON Schema).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

MAX_MESSAGES = 10_000
LONGEST_SUBJECT = 256
"""Characters in the id of a person; it stands in keys of the store."""

# Python's `$` also matches before a newline at the end.
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$(?!\n)")]
CallId = Annotated[str, Meta(min_length=1, max_length=256)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1)]
StopText = Annotated[str, Meta(min_length=1)]
Subject = Annotated[str, Meta(max_length=LONGEST_SUBJECT)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast"]


# --- messages ---


class TextPartIn(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class OnlyTextIn(msgspec.Struct, frozen=True):
    """A part where no other kind may stand. A tag, which tells kinds apart, may be left out where there is but one."""

    type: Literal["text"]
    text: str


class RefusalPartIn(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(msgspec.Struct, frozen=True):
    url: Annotated[str, Meta(min_length=1)]
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePartIn(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class InputAudio(msgspec.Struct, frozen=True):
    data: str
    format: Literal["wav", "mp3"]


class AudioPartIn(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    input_audio: InputAudio


class FileIn(msgspec.Struct, frozen=True):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePartIn(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    file: FileIn


UserPart = TextPartIn | ImagePartIn | AudioPartIn | FilePartIn
AssistantPart = TextPartIn | RefusalPartIn
TextContent = str | Annotated[tuple[OnlyTextIn, ...], Meta(min_length=1)]
UserContent = str | Annotated[tuple[UserPart, ...], Meta(min_length=1)]
AssistantContent = str | Annotated[tuple[AssistantPart, ...], Meta(min_length=1)]


class FunctionCallIn(msgspec.Struct, frozen=True):
    """``arguments`` is JSON text as the model wrote it, valid or not."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    arguments: str


class ToolCallIn(msgspec.Struct, frozen=True):
    """``function`` is there for a call of that type; a ``custom`` one is refused by name."""

    id: CallId
    type: Literal["function", "custom"]
    function: FunctionCallIn | None = None


class SystemIn(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    content: TextContent
    name: str | None = None


class DeveloperIn(msgspec.Struct, frozen=True, tag_field="role", tag="developer"):
    content: TextContent
    name: str | None = None


class UserIn(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    content: UserContent
    name: str | None = None


class AudioRef(msgspec.Struct, frozen=True):
    id: str


class AssistantIn(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    content: AssistantContent | None = None
    refusal: str | None = None
    tool_calls: Annotated[tuple[ToolCallIn, ...], Meta(min_length=1, max_length=128)] | None = None
    function_call: FunctionCallIn | None = None
    audio: AudioRef | None = None
    name: str | None = None


class ToolIn(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    tool_call_id: CallId
    content: TextContent


class FunctionIn(msgspec.Struct, frozen=True, tag_field="role", tag="function"):
    """Deprecated: the result of a ``function_call``."""

    name: str
    content: str | None = None


MessageIn = SystemIn | DeveloperIn | UserIn | AssistantIn | ToolIn | FunctionIn


# --- everything else ---


class FunctionDefinition(msgspec.Struct, frozen=True):
    """``parameters`` is a JSON Schema object."""

    name: ToolName
    description: str | None = None
    parameters: Raw = msgspec.field(default_factory=Raw)
    strict: bool | None = None


class ToolDefinitionIn(msgspec.Struct, frozen=True):
    type: Literal["function", "custom"]
    function: FunctionDefinition | None = None


class Named(msgspec.Struct, frozen=True):
    name: str


class NamedTool(msgspec.Struct, frozen=True):
    type: Literal["function", "custom"]
    function: Named | None = None


class FunctionChoice(msgspec.Struct, frozen=True, tag_field="type", tag="function"):
    function: Named


class CustomChoice(msgspec.Struct, frozen=True, tag_field="type", tag="custom"):
    custom: Named


class AllowedTools(msgspec.Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: Annotated[tuple[NamedTool, ...], Meta(min_length=1)]


class AllowedChoice(msgspec.Struct, frozen=True, tag_field="type", tag="allowed_tools"):
    allowed_tools: AllowedTools


ToolChoiceIn = Literal["none", "auto", "required"] | FunctionChoice | CustomChoice | AllowedChoice


class JsonSchema(msgspec.Struct, frozen=True):
    name: ToolName
    description: str | None = None
    schema: Raw = msgspec.field(default_factory=Raw)
    strict: bool | None = None


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    pass


class ObjectFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    pass


class SchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    json_schema: JsonSchema


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CozyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our extension. ``session_id`` is a UUID, ``timezone`` an IANA name, ``allowed_tools`` names tools of the server."""

    personality_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    session_id: str | None = None
    user_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_SUBJECT)] | None = None
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    use_personalization: bool | None = None
    allowed_tools: Annotated[tuple[str, ...], Meta(max_length=128)] | None = None


class ChatCompletionIn(msgspec.Struct, frozen=True):
    """The body of POST /v1/chat/completions."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[tuple[MessageIn, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: StopText | Annotated[tuple[StopText, ...], Meta(min_length=1, max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[tuple[ToolDefinitionIn, ...], Meta(max_length=128)] | None = None
    tool_choice: ToolChoiceIn | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[tuple[FunctionDefinition, ...], Meta(min_length=1, max_length=128)] | None = None
    function_call: Literal["none", "auto"] | Named | None = None
    response_format: TextFormat | ObjectFormat | SchemaFormat | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    user: Subject | None = None
    safety_identifier: Annotated[str, Meta(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Raw = msgspec.field(default_factory=Raw)
    prompt_cache_retention: str | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
        ]
        | None
    ) = None
    store: bool | None = None
    service_tier: Tier | None = None
    modalities: tuple[Literal["text", "audio"], ...] | None = None
    audio: Raw = msgspec.field(default_factory=Raw)
    prediction: Raw = msgspec.field(default_factory=Raw)
    web_search_options: Raw = msgspec.field(default_factory=Raw)
    moderation: Raw = msgspec.field(default_factory=Raw)
    cozy: CozyIn | None = None
