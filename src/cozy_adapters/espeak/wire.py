"""What is said between the server and a process that speaks: MessagePack, each message behind its length (4 bytes,
big-endian). One question, one answer."""

from typing import BinaryIO

import msgspec

LENGTH_BYTES = 4


class Mark(msgspec.Struct, frozen=True):
    """The word at ``index`` of the text begins at ``sample``."""

    index: int
    sample: int


class Order(msgspec.Struct, frozen=True, tag="order"):
    """``voice`` is a name that `Listed` has, with a variant (``+f2``) or without; ``rate`` is words a minute."""

    text: str
    voice: str
    rate: int


class List(msgspec.Struct, frozen=True, tag="list"):
    """Which voices there are."""


class Spoken(msgspec.Struct, frozen=True, tag="spoken"):
    """PCM16 at `SPEAKING_RATE`."""

    samples: bytes
    marks: tuple[Mark, ...]


class Listed(msgspec.Struct, frozen=True, tag="listed"):
    voices: tuple[str, ...]


Question = Order | List
Answer = Spoken | Listed

_ENCODER = msgspec.msgpack.Encoder()
QUESTIONS = msgspec.msgpack.Decoder(Question)
ANSWERS = msgspec.msgpack.Decoder(Answer)


def framed(message: Question | Answer) -> bytes:
    body = _ENCODER.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def read_question(source: BinaryIO) -> Question | None:
    """The next one; None when there will be no more."""
    head = source.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    question: Question = QUESTIONS.decode(source.read(int.from_bytes(head, "big")))
    return question
