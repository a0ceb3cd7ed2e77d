"""What is said: messages, tool calls, usage.

The values are the field's common shape (OpenAI chat completions), without any provider's wire format.
"""

from typing import Literal

import msgspec


class TextPart(msgspec.Struct, frozen=True, tag_field="kind", tag="text"):
    text: str


class BlobRef(msgspec.Struct, frozen=True):
    """Where the bytes of a stored part are: ``sha256`` in hex, ``size`` in bytes. ``media_type`` as the data URL said it,
    None where there was plain base64."""

    sha256: str
    size: int
    media_type: str | None = None


class ImagePart(msgspec.Struct, frozen=True, tag_field="kind", tag="image"):
    """``url`` is ``http(s)`` or a ``data:`` URL; it is handed on, never fetched. Empty where a ``blob`` stands for it: so
    parts are stored (`cozy_domain.sessions.blobs`), and so no model ever gets them."""

    url: str
    detail: str | None = None
    blob: BlobRef | None = None


class AudioPart(msgspec.Struct, frozen=True, tag_field="kind", tag="audio"):
    """``data`` is base64; empty where a ``blob`` stands for it."""

    data: str
    format: Literal["wav", "mp3"]
    blob: BlobRef | None = None


class FilePart(msgspec.Struct, frozen=True, tag_field="kind", tag="file"):
    """One of ``data`` (base64 or data URL), ``file_id`` and, in the place of data, ``blob`` is given."""

    data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    blob: BlobRef | None = None


class RefusalPart(msgspec.Struct, frozen=True, tag_field="kind", tag="refusal"):
    refusal: str


Part = TextPart | ImagePart | AudioPart | FilePart | RefusalPart
Content = str | tuple[Part, ...]


class ToolCall(msgspec.Struct, frozen=True):
    """``arguments`` is the model's JSON text, which may be invalid."""

    id: str
    name: str
    arguments: str


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    """Standing instructions; the wire's ``developer`` role arrives here too."""

    content: Content
    name: str | None = None


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    content: Content
    name: str | None = None


class Thinking(msgspec.Struct, frozen=True):
    """How a model came to the calls of a message, in the form of its provider and for itself alone: ``model`` (its bare id)
    gets it back with their results, unmodified, and nobody else is shown it. ``tokens`` is what it takes up in a prompt."""

    model: str
    data: str
    tokens: int = 0


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    """``content`` is None only when there are tool calls or a refusal."""

    content: Content | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    name: str | None = None
    thinking: Thinking | None = None


class ToolMessage(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    """The result of the call ``tool_call_id``."""

    tool_call_id: str
    content: Content


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Usage(msgspec.Struct, frozen=True):
    """Tokens. ``known`` is False when the provider reported none; then all counts are 0."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    known: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            known=self.known or other.known,
        )


def left_out(part: ImagePart | AudioPart | FilePart) -> TextPart:
    """What a model reads in the place of an earlier part that it is not shown: it cannot see such parts, they are too many,
    or they are gone."""
    match part:
        case ImagePart():
            return TextPart("[An image stood here. It cannot be shown now.]")
        case AudioPart():
            return TextPart("[A recording stood here. It cannot be played now.]")
        case FilePart():
            return TextPart("[A file stood here. It cannot be read now.]")


def text_of(content: Content | None) -> str:
    """The words alone: text and refusal parts joined by newlines, everything else left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    words = [
        part.text if isinstance(part, TextPart) else part.refusal
        for part in content
        if isinstance(part, TextPart | RefusalPart)
    ]
    return "\n".join(words)
