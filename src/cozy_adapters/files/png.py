"""Cards in PNG files: only the chunks are read, no picture is decoded (PNG specification, third edition, section 5)."""

import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping

import msgspec

from cozy_domain.persona.card.card import MAX_JSON, CardError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 20_000
"""A picture in chunks of 8 kB, as encoders write, has 6,400 in 50 MB."""
MAX_RATIO = 100
KEYWORDS = ("ccv3", "chara")
"""The first wins (V3: applications use ``ccv3`` where both stand)."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LONGEST_KEYWORD = 79
_MAX_BASE64 = MAX_JSON * 4 // 3 + 4
_DAMAGED = "The file is damaged or was changed on its way; get it again from where it came."


class Chunk(msgspec.Struct, frozen=True):
    """``keyword`` of a text chunk; empty in others."""

    type: bytes
    content: bytes
    keyword: str = ""


class PngCard(msgspec.Struct, frozen=True):
    json: bytes
    ignored: tuple[str, ...]


def read_png(content: bytes) -> PngCard:
    """
    Raises:
        CardError: the file is damaged, holds no card, or one that would unpack to too much.
    """
    cards = [chunk for chunk in chunks(content) if chunk.keyword in KEYWORDS]
    if not cards:
        raise CardError(
            "the picture holds no card: it has neither a ccv3 nor a chara chunk",
            hint="Programs that send pictures on often take such chunks out; get the original file.",
        )
    chosen = min(cards, key=lambda chunk: KEYWORDS.index(chunk.keyword))
    others = [chunk.keyword for chunk in cards if chunk is not chosen]
    return PngCard(_json(chosen), tuple(f"a {keyword} chunk beside {chosen.keyword}" for keyword in others))


def with_cards(picture: bytes, cards: Mapping[str, bytes]) -> bytes:
    """The picture with ``cards``, JSON by keyword, in place of those it has.

    Raises:
        CardError: the picture is no PNG, or damaged.
    """
    kept = [chunk for chunk in chunks(picture) if chunk.keyword not in KEYWORDS]
    told = [
        Chunk(b"tEXt", keyword.encode() + b"\0" + b64encode(json), keyword) for keyword, json in cards.items()
    ]
    return _joined((*kept[:-1], *told, kept[-1]))


def blank() -> bytes:
    """A picture of one grey point, for a card that has none."""
    header = b"\0\0\0\1\0\0\0\1\x08\0\0\0\0"
    return _joined((Chunk(b"IHDR", header), Chunk(b"IDAT", zlib.compress(b"\0\x80")), Chunk(b"IEND", b"")))


def chunks(content: bytes) -> list[Chunk]:
    """All up to the end chunk, which is the last. What follows it is no part of the picture.

    Raises:
        CardError: the file is damaged.
    """
    if not content.startswith(SIGNATURE):
        raise CardError("the picture is not a PNG", hint="Save it as PNG, and name that file.")
    found: list[Chunk] = []
    at = len(SIGNATURE)
    while not found or found[-1].type != b"IEND":
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        checksum = content[at + 8 + length : at + 12 + length]
        if len(checksum) < 4:
            raise CardError(f"the PNG ends in the middle of a chunk (byte {at})", hint=_DAMAGED)
        if zlib.crc32(body) != int.from_bytes(checksum, "big"):
            raise CardError(f"a chunk of the PNG is damaged: wrong checksum (byte {at})", hint=_DAMAGED)
        if len(found) == MAX_CHUNKS:
            raise CardError(
                f"the PNG has more than {MAX_CHUNKS} chunks", hint="Save the picture anew as PNG."
            )
        found.append(Chunk(body[:4], body[4:], _keyword(body[:4], body[4:])))
        at += 12 + length
    return found


def _keyword(kind: bytes, content: bytes) -> str:
    end = content.find(b"\0", 0, _LONGEST_KEYWORD + 1)
    return content[:end].decode("latin-1") if kind in _TEXTS and end > 0 else ""


def _json(chunk: Chunk) -> bytes:
    text = _text(chunk)
    if len(text) > _MAX_BASE64:
        raise _too_much(chunk)
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except Base64Error as error:
        raise CardError(f"the {chunk.keyword} chunk is not base64: {error}", hint=_DAMAGED) from error


def _text(chunk: Chunk) -> bytes:
    """The text behind the keyword; compressed ones (not of the specification, but met) are unpacked within the limits."""
    text = chunk.content[len(chunk.keyword) + 1 :]
    if chunk.type == b"tEXt":
        return text
    if chunk.type == b"zTXt":
        return _unpacked(text[1:], chunk)
    compressed = text[:1] == b"\1"
    text = text[2:].split(b"\0", 2)[-1]  # behind the language and the translated keyword
    return _unpacked(text, chunk) if compressed else text


def _unpacked(packed: bytes, chunk: Chunk) -> bytes:
    unpacking = zlib.decompressobj()
    most = min(_MAX_BASE64, len(packed) * MAX_RATIO)
    try:
        text = unpacking.decompress(packed, most + 1)
    except zlib.error as error:
        raise CardError(f"the {chunk.keyword} chunk cannot be unpacked: {error}", hint=_DAMAGED) from error
    if len(text) > most:
        raise _too_much(chunk)
    if not unpacking.eof:
        raise CardError(f"the {chunk.keyword} chunk ends too early", hint=_DAMAGED)
    return text


def _too_much(chunk: Chunk) -> CardError:
    message = (
        f"the {chunk.keyword} chunk unpacks to more than {MAX_JSON} bytes, or {MAX_RATIO} times its size"
    )
    return CardError(message, hint="No card is like this; do not use the file.")


def _joined(chunks: Iterable[Chunk]) -> bytes:
    bodies = (chunk.type + chunk.content for chunk in chunks)
    packed = (
        (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big") for body in bodies
    )
    return SIGNATURE + b"".join(packed)
