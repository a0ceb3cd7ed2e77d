"""What an embedder is asked, and what it gives."""

import struct
from collections.abc import Collection

import msgspec

from cozy_domain.messages import Usage

EmbeddingInput = str | tuple[int, ...]
"""A text, or a text as the tokens of the model that embeds it."""

FLOAT_BYTES = 4


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """One call of an embedder. ``inputs`` has at least one, and none of them is empty; ``dimensions`` >= 1 asks for shorter
    vectors than the model's own. ``end_user`` is an opaque id of the person, never a name."""

    model: str
    inputs: tuple[EmbeddingInput, ...]
    dimensions: int | None = None
    end_user: str | None = None


class Embeddings(msgspec.Struct, frozen=True):
    """One vector for each input, in their order: float32, little-endian, all of one length and finite. Of ``usage`` only
    the prompt's tokens count."""

    vectors: tuple[bytes, ...]
    usage: Usage = Usage()


def packed(numbers: Collection[float]) -> bytes:
    """A vector as `Embeddings` holds it.

    Raises:
        ValueError: a number is beyond float32.
    """
    try:
        return struct.pack(f"<{len(numbers)}f", *numbers)
    except (struct.error, OverflowError):
        raise ValueError("not float32") from None


def unpacked(vector: bytes) -> tuple[float, ...]:
    """The numbers of a vector.

    Raises:
        ValueError: it is no whole number of float32.
    """
    if len(vector) % FLOAT_BYTES:
        raise ValueError("not float32")
    return struct.unpack(f"<{len(vector) // FLOAT_BYTES}f", vector)
