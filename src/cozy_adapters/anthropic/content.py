"""Messages as content blocks (pure).

The API wants the system prompt apart, the roles ``user`` and ``assistant`` in turns beginning with the user's, no empty
text, results of tools at the beginning of the user's turn, and arguments of calls as objects. Source: Anthropic, "Messages"
and "Handle tool calls", read 2026-11.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice

import msgspec

from cozy_adapters.anthropic.thinking import Called, in_order
from cozy_domain.errors import ProviderRefusedError
from cozy_domain.messages import (
    AssistantMessage,
    Content,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

Json = str | int | float | bool | None | msgspec.Raw | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]
Blocks = list[JsonObject]

NOTHING_SAID = "(no text)"
"""Stands for a message of the user without any: the API refuses an empty one. And for one that is missing, at the beginning
or at the end: Claude goes on with no words of its own (Anthropic, "Prefill Claude's response", read 2026-11)."""
INVALID = "INVALID_JSON"
"""Under which arguments that are no JSON object are shown to the model that wrote them (Anthropic, "Fine-grained tool
streaming")."""
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)
_PDF = "JVBERi0"
"""``%PDF-`` in base64."""


class Turn(msgspec.Struct):
    """What one role says until the other does. ``end`` is the index behind the last message that went into it."""

    role: str
    blocks: Blocks
    end: int


def system_blocks(messages: Iterable[Message]) -> Blocks:
    """The instructions, wherever they stand: only the newest models take them in between."""
    return [
        block
        for message in messages
        if isinstance(message, SystemMessage)
        for block in _texts(message.content)
    ]


def turns(messages: tuple[Message, ...], model: str) -> list[Turn]:
    """Everything else, in turns, with what ``model`` thought.

    Raises:
        ProviderRefusedError: a part has no form that the API takes.
    """
    found: list[Turn] = []
    for index, message in enumerate(messages):
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        blocks = list(_blocks(message, model))
        if not blocks:
            continue
        if not found and role == "assistant":
            found.append(Turn("user", [_text(NOTHING_SAID)], index))
        if found and found[-1].role == role:
            found[-1].blocks += blocks
            found[-1].end = index + 1
        else:
            found.append(Turn(role, blocks, index + 1))
    if not found or found[-1].role == "assistant":
        found.append(Turn("user", [_text(NOTHING_SAID)], len(messages)))
    for turn in found:
        turn.blocks.sort(key=lambda block: block["type"] != "tool_result")
    return found


def call_id(id: str) -> str:
    """The id of a call as the API takes it; another one becomes a digest, the same wherever it stands."""
    return id if _ID.fullmatch(id) else f"call_{sha256(id.encode()).hexdigest()[:32]}"


def _blocks(message: Message, model: str) -> Iterator[JsonObject]:
    match message:
        case SystemMessage():
            return
        case ToolMessage():
            yield _result(message)
        case AssistantMessage():
            yield from _answer(message, model)
        case UserMessage():
            parts = list(_parts(message.content)) or [_text(NOTHING_SAID)]
            if message.name:
                yield _text(f"{message.name}:")
            yield from parts


def _answer(message: AssistantMessage, model: str) -> Iterator[JsonObject]:
    calls = iter(message.tool_calls)
    thought = in_order(message, model)
    for piece in thought:
        match piece:
            case str():
                yield from _texts(piece)
            case Called():
                yield from map(_call, islice(calls, 1))
            case _:
                yield msgspec.to_builtins(piece)
    if not thought:
        yield from _texts(message.content)
    if message.refusal and message.refusal.strip():
        yield _text(message.refusal)
    yield from map(_call, calls)


def _result(message: ToolMessage) -> JsonObject:
    result: JsonObject = {"type": "tool_result", "tool_use_id": call_id(message.tool_call_id)}
    if content := list(_parts(message.content)):
        result["content"] = [*content]
    return result


def _call(call: ToolCall) -> JsonObject:
    return {
        "type": "tool_use",
        "id": call_id(call.id),
        "name": call.name,
        "input": _arguments(call.arguments),
    }


def _arguments(text: str) -> Json:
    if not text.strip():
        return {}
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return {INVALID: text}
    return msgspec.Raw(text)


def _texts(content: Content | None) -> Iterator[JsonObject]:
    """The words alone: the API takes nothing else from its own side."""
    parts = (TextPart(content),) if isinstance(content, str) else content or ()
    for part in parts:
        said = part.text if isinstance(part, TextPart) else ""
        said = part.refusal if isinstance(part, RefusalPart) else said
        if said.strip():
            yield _text(said)


def _parts(content: Content) -> Iterator[JsonObject]:
    parts = (TextPart(content),) if isinstance(content, str) else content
    for part in parts:
        if not isinstance(part, TextPart) or part.text.strip():
            yield _part(part)


def _part(part: Part) -> JsonObject:
    match part:
        case TextPart():
            return _text(part.text)
        case RefusalPart():
            return _text(part.refusal or NOTHING_SAID)
        case ImagePart():
            return {"type": "image", "source": _image(part.url)}
        case FilePart():
            return _document(part)
        case _:
            raise _unusable("sound")


def _image(url: str) -> JsonObject:
    if url.startswith("data:"):
        kind, data = _of_data_url(url, "an image")
        return {"type": "base64", "media_type": kind, "data": data}
    return {"type": "url", "url": url}


def _document(part: FilePart) -> JsonObject:
    block: JsonObject = {"type": "document", "source": _file(part)}
    if part.filename:
        block["title"] = part.filename
    return block


def _file(part: FilePart) -> JsonObject:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    data = part.data or ""
    kind = ""
    if data.startswith("data:"):
        kind, data = _of_data_url(data, "a file")
    if kind == "application/pdf" or (not kind and data.startswith(_PDF)):
        return {"type": "base64", "media_type": "application/pdf", "data": data}
    if kind == "text/plain":
        return {"type": "text", "media_type": "text/plain", "data": _plain(data)}
    raise _unusable("a file that is neither PDF nor text/plain")


def _plain(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _unusable("a text file that is not UTF-8 in base64") from None


def _of_data_url(url: str, what: str) -> tuple[str, str]:
    """Media type and base64."""
    head = _DATA_URL.match(url)
    if head is None or not head[1]:
        raise _unusable(f"{what} as a data: URL without a media type or not in base64")
    return head[1], url[head.end() :]


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _unusable(what: str) -> ProviderRefusedError:
    return ProviderRefusedError(
        f"The model does not take {what}.",
        provider="anthropic",
        about="request",
        code="unsupported_value",
        param="messages",
        hint="Images: http(s) or data: URLs. Files: PDF or UTF-8 text.",
    )
