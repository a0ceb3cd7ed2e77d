"""The bytes in messages, apart from them (pure).

A message is stored with references in the place of its images, recordings and files (settled question 19): `detached` takes
the bytes out, `attached` puts them back, and what comes back is what was there, character by character, so that a provider's
cache still knows it. What is not in the one canonical form of base64 stays where it is.
"""

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from cozy_domain.messages import (
    AudioPart,
    BlobRef,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    left_out,
)
from cozy_domain.models.request import Feature

MOST_BYTES = 20_000_000
"""Of earlier images, recordings and files in one prompt, as bytes: a third more as base64, which providers with the lowest
limit still take (Anthropic: 32 MB for a request, 2026-11)."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_MOST_PADDING = 2


class Blob(msgspec.Struct, frozen=True):
    """``sha256`` of ``data``, in hex."""

    sha256: str
    data: bytes


def detached(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], tuple[Blob, ...]]:
    """The messages with references, and each of the bytes they refer to once."""
    if not any(map(_has_parts, messages)):
        return messages, ()
    blobs: dict[str, Blob] = {}
    return tuple(_detached(message, blobs) for message in messages), tuple(blobs.values())


def references(messages: Sequence[Message]) -> tuple[tuple[BlobRef, Feature], ...]:
    """Each reference with what a model must be able to do to be shown it, in order."""
    return tuple(
        (part.blob, _needed(part))
        for message in messages
        if isinstance(message.content, tuple)
        for part in message.content
        if isinstance(part, ImagePart | AudioPart | FilePart) and part.blob
    )


def shown(
    found: Sequence[tuple[BlobRef, Feature]], features: Collection[Feature], most: int = MOST_BYTES
) -> tuple[str, ...]:
    """Which bytes to put back, each once: of those that a model with ``features`` takes the newest, up to ``most``."""
    chosen: dict[str, int] = {}
    for ref, feature in reversed(found):
        if feature not in features or ref.sha256 in chosen:
            continue
        if sum(chosen.values()) + ref.size > most:
            break
        chosen[ref.sha256] = ref.size
    return tuple(chosen)


def attached(messages: tuple[Message, ...], found: Mapping[str, bytes]) -> tuple[Message, ...]:
    """The messages with their bytes; a note where those are not ``found``."""
    return tuple(_attached(message, found) for message in messages)


def canonical(encoded: str) -> bool:
    """Whether this is what an encoder of base64 writes for some bytes (RFC 4648, section 4): with padding, without line
    breaks and stray bits. Found without decoding it, in a fifth of the time."""
    bare = encoded.rstrip("=")
    if len(encoded) % 4 or len(encoded) - len(bare) > _MOST_PADDING or not encoded.isascii():
        return False
    if bare.encode().translate(None, _ALPHABET):
        return False
    return b64encode(a2b_base64(encoded[-4:])).decode() == encoded[-4:]


def _has_parts(message: Message) -> bool:
    return isinstance(message.content, tuple)


def _detached(message: Message, blobs: dict[str, Blob]) -> Message:
    if not isinstance(message.content, tuple):
        return message
    return replace(message, content=tuple(_without_bytes(part, blobs) for part in message.content))


def _without_bytes(part: Part, blobs: dict[str, Blob]) -> Part:
    match part:
        case ImagePart():
            ref = _taken(part.url, blobs) if part.url.startswith("data:") else None
            return part if ref is None else replace(part, url="", blob=ref)
        case AudioPart():
            ref = _taken(part.data, blobs)
            return part if ref is None else replace(part, data="", blob=ref)
        case FilePart():
            ref = _taken(part.data or "", blobs)
            return part if ref is None else replace(part, data=None, blob=ref)
        case _:
            return part


def _taken(text: str, blobs: dict[str, Blob]) -> BlobRef | None:
    """The reference to what ``text`` holds, which goes into ``blobs``; None when it would not come back the same."""
    media_type, encoded = None, text
    if text.startswith("data:"):
        head, comma, encoded = text.partition(",")
        media_type = head.removeprefix("data:").removesuffix(";base64")
        if not comma or head != _head(media_type):
            return None
    if not encoded or not canonical(encoded):
        return None
    data = a2b_base64(encoded)
    digest = sha256(data).hexdigest()
    blobs.setdefault(digest, Blob(digest, data))
    return BlobRef(digest, len(data), media_type)


def _head(media_type: str) -> str:
    return f"data:{media_type};base64"


def _attached(message: Message, found: Mapping[str, bytes]) -> Message:
    if not isinstance(message.content, tuple):
        return message
    return replace(message, content=tuple(_with_bytes(part, found) for part in message.content))


def _with_bytes(part: Part, found: Mapping[str, bytes]) -> Part:
    if isinstance(part, TextPart | RefusalPart) or part.blob is None:
        return part
    data = found.get(part.blob.sha256)
    if data is None:
        return left_out(part)
    encoded = b64encode(data).decode()
    if part.blob.media_type is not None:
        encoded = f"{_head(part.blob.media_type)},{encoded}"
    if isinstance(part, ImagePart):
        return replace(part, url=encoded, blob=None)
    return replace(part, data=encoded, blob=None)


def _needed(part: ImagePart | AudioPart | FilePart) -> Feature:
    match part:
        case ImagePart():
            return Feature.IMAGES
        case AudioPart():
            return Feature.AUDIO_INPUT
        case _:
            return Feature.FILES
