"""OpenAI's request → the domain's (pure).

What the type of the body cannot say is checked here: fields that exclude each other, names that must match, values that
this server cannot serve. Everything is refused by name.
"""

from collections.abc import Iterator
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from cozy_domain.access.caller import Caller
from cozy_domain.chat.request import ChatRequest
from cozy_domain.errors import InputError
from cozy_domain.ids import PersonaId, SessionId
from cozy_domain.messages import (
    AssistantMessage,
    Content,
    Message,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cozy_domain.models.request import ResponseFormat, Sampling, ToolChoice, ToolDefinition
from cozy_domain.sessions.turn import IdempotencyKey
from cozy_server.openai.attachments import audio_of, check_count, file_of, image_of
from cozy_server.openai.history import check_history
from cozy_server.openai.wire import request as wire
from cozy_server.openai.wire.request import ChatCompletionIn, CozyIn

_NO_COZY = CozyIn()
_OBJECT = msgspec.json.Decoder(dict[str, object])


class Envelope(msgspec.Struct, frozen=True):
    """What comes with a body: who asks, the id of the request, the caller's language, and a key against doing it twice."""

    caller: Caller
    request: str
    locale: str = "en"
    idempotency: IdempotencyKey | None = None


def to_request(body: ChatCompletionIn, envelope: Envelope) -> ChatRequest:
    """One turn, as the domain asks for it.

    Raises:
        InputError: ``param`` names the field.
    """
    cozy = body.cozy or _NO_COZY
    subject = cozy.user_id or body.safety_identifier or body.user or None
    session = _session(body, cozy)
    _refuse_unsupported(body)
    messages = tuple(_message(message, position) for position, message in enumerate(body.messages))
    check_count(messages)
    check_history(messages, in_session=session is not None)
    tools = tuple(_tools(body))
    return ChatRequest(
        caller=envelope.caller,
        owner=envelope.caller.owner(subject),
        personal=envelope.caller.is_personal(subject),
        model=body.model,
        messages=messages,
        request=envelope.request,
        persona=PersonaId(cozy.personality_id) if cozy.personality_id else None,
        session=session,
        personalise=cozy.use_personalization,
        allowed_tools=cozy.allowed_tools,
        timezone=_timezone(cozy.timezone),
        locale=envelope.locale,
        tools=tools,
        tool_choice=_tool_choice(body, frozenset(tool.name for tool in tools)),
        parallel_tool_calls=False if body.functions else body.parallel_tool_calls,
        sampling=_sampling(body),
        idempotency=envelope.idempotency,
    )


def _session(body: ChatCompletionIn, cozy: CozyIn) -> SessionId | None:
    if cozy.session_id is None:
        return None
    if (body.n or 1) > 1:
        raise InputError("'n' must be 1 with 'cozy.session_id': a session remembers one answer.", param="n")
    if body.functions:
        raise InputError(
            "'functions' cannot be used with 'cozy.session_id': its calls have no ids to find them again.",
            param="functions",
            hint="Send 'tools' instead.",
        )
    try:
        return SessionId(UUID(cozy.session_id))
    except ValueError:
        raise InputError(
            "'cozy.session_id' must be a UUID.",
            param="cozy.session_id",
            hint="Make one yourself, or take it from cozy.session_id of an earlier answer.",
        ) from None


def _timezone(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InputError(
            "'cozy.timezone' must be an IANA time zone.",
            param="cozy.timezone",
            hint="For example 'Europe/Berlin'.",
        ) from None
    return name


def _refuse_unsupported(body: ChatCompletionIn) -> None:
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise InputError("'max_tokens' and 'max_completion_tokens' exclude each other.", param="max_tokens")
    if body.top_logprobs is not None and not body.logprobs:
        raise InputError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    if body.modalities and "audio" in body.modalities:
        raise InputError(
            "'modalities' accepts only 'text' here.",
            code="unsupported_value",
            param="modalities",
            hint="For spoken answers use /v1/audio/speech or a call.",
        )
    for name, value in (("audio", body.audio), ("moderation", body.moderation)):
        if _given(value):
            raise InputError(f"'{name}' is not supported.", code="unsupported_parameter", param=name)


# --- messages ---


def _message(message: wire.MessageIn, position: int) -> Message:
    place = f"messages[{position}]"
    match message:
        case wire.SystemIn() | wire.DeveloperIn():
            return SystemMessage(_content(message.content, place), name=message.name)
        case wire.UserIn():
            return UserMessage(_content(message.content, place), name=message.name)
        case wire.AssistantIn():
            return _assistant(message, place, position)
        case wire.ToolIn():
            return ToolMessage(message.tool_call_id, _content(message.content, place))
        case wire.FunctionIn():
            return ToolMessage(_function_call_id(position - 1), message.content or "")


def _assistant(message: wire.AssistantIn, place: str, position: int) -> AssistantMessage:
    if message.audio:
        raise InputError(
            f"'{place}.audio' is not supported.", code="unsupported_parameter", param=f"{place}.audio"
        )
    if message.tool_calls and message.function_call:
        raise InputError(
            f"'{place}' has both 'tool_calls' and 'function_call'.", param=f"{place}.function_call"
        )
    calls = tuple(
        _tool_call(call, f"{place}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls or ())
    )
    if message.function_call:
        old = message.function_call
        calls = (ToolCall(_function_call_id(position), old.name, old.arguments),)
    if message.content is None and not calls and message.refusal is None:
        raise InputError(
            f"'{place}.content' may be null only beside 'tool_calls' or a 'refusal'.",
            code="missing_required_parameter",
            param=f"{place}.content",
        )
    return AssistantMessage(
        None if message.content is None else _content(message.content, place),
        tool_calls=calls,
        refusal=message.refusal,
        name=message.name,
    )


def _function_call_id(position: int) -> str:
    """Calls of the deprecated kind have no id; the result stands right behind the call."""
    return f"function_call_{position}"


def _tool_call(call: wire.ToolCallIn, place: str) -> ToolCall:
    if call.type == "custom":
        raise _custom(f"{place}.type")
    if call.function is None:
        raise _missing(f"{place}.function")
    return ToolCall(call.id, call.function.name, call.function.arguments)


AnyPart = wire.UserPart | wire.RefusalPartIn | wire.OnlyTextIn


def _content(content: str | tuple[AnyPart, ...], place: str) -> Content:
    if isinstance(content, str):
        return content
    return tuple(_part(part, f"{place}.content[{index}]") for index, part in enumerate(content))


def _part(part: AnyPart, place: str) -> Part:
    match part:
        case wire.TextPartIn() | wire.OnlyTextIn():
            return TextPart(part.text)
        case wire.RefusalPartIn():
            return RefusalPart(part.refusal)
        case wire.AudioPartIn():
            return audio_of(part.input_audio, place)
        case wire.FilePartIn():
            return file_of(part.file, place)
        case wire.ImagePartIn():
            return image_of(part.image_url, place)


# --- tools ---


def _tools(body: ChatCompletionIn) -> Iterator[ToolDefinition]:
    if body.tools and body.functions:
        raise InputError("'tools' and 'functions' exclude each other.", param="functions")
    names: set[str] = set()
    for place, function in _functions(body):
        if function.name in names:
            raise InputError(
                f"'{place}.name': two tools have this name.", code="duplicate_tool", param=f"{place}.name"
            )
        names.add(function.name)
        schema = _object(function.parameters, f"{place}.parameters")
        definition = ToolDefinition(function.name, function.description or "", strict=function.strict)
        yield definition if schema is None else msgspec.structs.replace(definition, parameters=schema)


def _functions(body: ChatCompletionIn) -> Iterator[tuple[str, wire.FunctionDefinition]]:
    yield from ((f"functions[{i}]", function) for i, function in enumerate(body.functions or ()))
    for i, tool in enumerate(body.tools or ()):
        if tool.type == "custom":
            raise _custom(f"tools[{i}].type")
        if tool.function is None:
            raise _missing(f"tools[{i}].function")
        yield f"tools[{i}].function", tool.function


def _tool_choice(body: ChatCompletionIn, known: frozenset[str]) -> ToolChoice:
    choice: ToolChoice
    param = "tool_choice"
    match body.tool_choice:
        case "none" | "auto" | "required":
            return ToolChoice(body.tool_choice)
        case wire.FunctionChoice():
            choice, param = (
                ToolChoice("required", (body.tool_choice.function.name,)),
                "tool_choice.function.name",
            )
        case wire.AllowedChoice():
            choice = _allowed(body.tool_choice.allowed_tools)
        case wire.CustomChoice():
            raise _custom("tool_choice.type")
        case None:
            return _function_choice(body.function_call, known)
    return _known(choice, known, param)


def _function_choice(choice: str | wire.Named | None, known: frozenset[str]) -> ToolChoice:
    if isinstance(choice, wire.Named):
        return _known(ToolChoice("required", (choice.name,)), known, "function_call.name")
    return ToolChoice("none") if choice == "none" else ToolChoice()


def _allowed(allowed: wire.AllowedTools) -> ToolChoice:
    names = []
    for index, tool in enumerate(allowed.tools):
        if tool.type == "custom" or tool.function is None:
            raise _custom(f"tool_choice.allowed_tools.tools[{index}].type")
        names.append(tool.function.name)
    return ToolChoice(allowed.mode, tuple(names))


def _known(choice: ToolChoice, known: frozenset[str], param: str) -> ToolChoice:
    if not known.issuperset(choice.names):
        raise InputError(f"'{param}' names a tool that is not among 'tools'.", param=param)
    return choice


# --- how to write ---


def _sampling(body: ChatCompletionIn) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        max_output=body.max_completion_tokens or body.max_tokens,
        stop=(body.stop,) if isinstance(body.stop, str) else body.stop or (),
        choices=body.n or 1,
        seed=body.seed,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs,
        logit_bias=tuple((body.logit_bias or {}).items()),
        reasoning_effort=body.reasoning_effort,
        verbosity=body.verbosity,
        response_format=_response_format(body),
        extra=tuple(_extra(body)),
    )


def _response_format(body: ChatCompletionIn) -> ResponseFormat:
    match body.response_format:
        case wire.ObjectFormat():
            return ResponseFormat("json_object")
        case wire.SchemaFormat(json_schema=wanted):
            schema = _object(wanted.schema, "response_format.json_schema.schema")
            return ResponseFormat("json_schema", wanted.name, wanted.description, schema, wanted.strict)
        case _:
            return ResponseFormat()


def _extra(body: ChatCompletionIn) -> Iterator[tuple[str, msgspec.Raw]]:
    """Handed on as they are. The tier ``auto`` is what a provider does anyway."""
    for name, value in (("prediction", body.prediction), ("web_search_options", body.web_search_options)):
        given = _object(value, name)
        if given is not None:
            yield name, given
    if body.service_tier not in (None, "auto"):
        yield "service_tier", msgspec.Raw(msgspec.json.encode(body.service_tier))


def _given(value: msgspec.Raw) -> bool:
    return bytes(value) not in (b"", b"null")


def _object(value: msgspec.Raw, param: str) -> msgspec.Raw | None:
    """A copy, so that the body it was cut from can be freed; None when it is absent.

    It was only skipped so far, and what is handed on must be readable: a number of 5,000 digits is not.
    """
    if not _given(value):
        return None
    try:
        _OBJECT.decode(value)
    except msgspec.MsgspecError:
        raise InputError(f"'{param}' must be a JSON object.", code="invalid_type", param=param) from None
    return value.copy()


def _missing(param: str) -> InputError:
    return InputError(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def _custom(param: str) -> InputError:
    return InputError(
        f"'{param}': custom tools are not supported. Accepted: 'function'.",
        code="unsupported_value",
        param=param,
    )
