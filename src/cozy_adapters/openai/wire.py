"""The wire of POST /chat/completions: Structs, and a domain request as bytes (pure).

Source: contracts of OpenAI's OpenAPI document 2.3.0; what other servers send beside it is tolerated when it can be
understood, so most fields of answers are optional.
"""

from typing import Literal

import msgspec

from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    Content,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from cozy_domain.models.request import ModelRequest, ResponseFormat, Sampling, ToolChoice, ToolDefinition

Json = str | int | float | bool | None | msgspec.Raw | list["Json"] | dict[str, "Json"]
"""What is sent is put together as plain JSON values: unlike a Struct they tell an absent key from a null."""
JsonObject = dict[str, Json]


class Dialect(msgspec.Struct, frozen=True):
    """In what servers differ. ``output_limit`` names the field for the most tokens to write; ``hints``: whether OpenAI's own
    cache key and abuse id may be sent, which stricter servers refuse as unknown."""

    output_limit: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    hints: bool = False


OPENAI = Dialect(output_limit="max_completion_tokens", hints=True)
COMPATIBLE = Dialect()


class FunctionPiece(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallPiece(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


class Delta(msgspec.Struct, frozen=True):
    """A piece of an answer, or all of it. Servers call thinking by either name (vLLM, DeepSeek; OpenRouter)."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallPiece, ...] | None = None


class TopLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class Logprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top_logprobs: tuple[TopLogprob, ...] | None = None


class Logprobs(msgspec.Struct, frozen=True):
    content: tuple[Logprob, ...] | None = None


class WireChoice(msgspec.Struct, frozen=True):
    """``delta`` in a stream; ``message`` from a server that does not stream although it was asked to."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


NOTHING = msgspec.Raw(b"null")


class Chunk(msgspec.Struct, frozen=True):
    """``error`` is what some servers send in the place of an answer, after a status of 200. (msgspec 0.22 refuses every
    value but null for ``Raw | None``.)"""

    choices: tuple[WireChoice, ...] | None = None
    usage: WireUsage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    error: msgspec.Raw = NOTHING


class ListedModel(msgspec.Struct, frozen=True):
    id: str


class ModelList(msgspec.Struct, frozen=True):
    data: tuple[ListedModel, ...] | None = None


def encode_request(request: ModelRequest, dialect: Dialect) -> bytes:
    """The body of a streamed call. The request's own fields stand behind ``extra``, so that none of those replaces one."""
    body: JsonObject = dict(request.sampling.extra)
    body |= {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body |= _sampling(request.sampling, dialect) | _tools(request)
    if dialect.hints and request.cache_key:
        body["prompt_cache_key"] = request.cache_key
    if dialect.hints and request.end_user:
        body["safety_identifier"] = request.end_user
    return msgspec.json.encode(body)


def _sampling(sampling: Sampling, dialect: Dialect) -> JsonObject:
    values: dict[str, Json] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        dialect.output_limit: sampling.max_output,
        "stop": list(sampling.stop) or None,
        "n": sampling.choices if sampling.choices > 1 else None,
        "seed": sampling.seed,
        "logprobs": sampling.logprobs or None,
        "top_logprobs": sampling.top_logprobs,
        "logit_bias": dict(sampling.logit_bias) or None,
        "reasoning_effort": sampling.reasoning_effort,
        "verbosity": sampling.verbosity,
        "response_format": _response_format(sampling.response_format),
    }
    return _present(values)


def _response_format(form: ResponseFormat) -> JsonObject | None:
    match form.kind:
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            values: JsonObject = {
                "name": form.name,
                "description": form.description,
                "schema": form.schema,
                "strict": form.strict,
            }
            return {"type": "json_schema", "json_schema": _present(values)}


def _tools(request: ModelRequest) -> JsonObject:
    if not request.tools:
        return {}
    values: JsonObject = {
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
    }
    return _present(values)


def _tool(tool: ToolDefinition) -> JsonObject:
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": _present(function)}


def _tool_choice(choice: ToolChoice) -> Json:
    """``auto`` over all tools is what every server does unasked, so it is left out."""
    if choice.mode == "none":
        return "none"
    if not choice.names:
        return "required" if choice.mode == "required" else None
    if choice.mode == "required" and len(choice.names) == 1:
        return _function(choice.names[0])
    allowed: JsonObject = {"mode": choice.mode, "tools": [_function(name) for name in choice.names]}
    return {"type": "allowed_tools", "allowed_tools": allowed}


def _function(name: str) -> JsonObject:
    return {"type": "function", "function": {"name": name}}


def _message(message: Message) -> JsonObject:
    match message:
        case SystemMessage():
            return {"role": "system", **_name(message.name), "content": _content(message.content)}
        case UserMessage():
            return {"role": "user", **_name(message.name), "content": _content(message.content)}
        case ToolMessage():
            call = message.tool_call_id
            return {"role": "tool", "tool_call_id": call, "content": _content(message.content)}
        case AssistantMessage():
            return _assistant(message)


def _assistant(message: AssistantMessage) -> JsonObject:
    body: JsonObject = {"role": "assistant", **_name(message.name), "content": _content(message.content)}
    if message.refusal is not None:
        body["refusal"] = message.refusal
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return body


def _name(name: str | None) -> JsonObject:
    return {} if name is None else {"name": name}


def _content(content: Content | None) -> Json:
    if content is None or isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: Part) -> JsonObject:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image_url", "image_url": _present({"url": part.url, "detail": part.detail})}
        case AudioPart():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case FilePart():
            file: JsonObject = {"file_data": part.data, "file_id": part.file_id, "filename": part.filename}
            return {"type": "file", "file": _present(file)}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.refusal}


def _present(values: JsonObject) -> JsonObject:
    return {name: value for name, value in values.items() if value is not None}
