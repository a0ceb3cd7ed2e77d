"""POST /embeddings of OpenAI, and of every server with the same one.

Vectors are asked for as base64, which is a third of the size of decimal numbers and costs nothing to read; servers that know
only numbers send those, and they are read as well. Everything but `OpenAIEmbedder` is pure.
"""

import math
from binascii import a2b_base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from cozy_adapters.openai.wire import Dialect
from cozy_domain.errors import ProviderMalformedError
from cozy_domain.messages import Usage
from cozy_domain.models.embedding import EmbeddingRequest, Embeddings, packed, unpacked

LONGEST_BODY = 128 * 1024 * 1024
"""Bytes: 2,048 vectors of 4,096 dimensions, in base64 or in short decimal numbers."""

Post = Callable[[str, bytes], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Sends a JSON body to a path; the pieces of the answer's body, when its status is 200."""


class WireVector(msgspec.Struct, frozen=True):
    index: int | None = None
    embedding: str | tuple[float, ...] = ""


class WireTokens(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None


class WireEmbeddings(msgspec.Struct, frozen=True):
    data: tuple[WireVector, ...] | None = None
    usage: WireTokens | None = None


class OpenAIEmbedder:
    """An `Embedder` over the connections of a provider's language model, which opens and closes them."""

    def __init__(self, provider: str, post: Post, dialect: Dialect) -> None:
        self._provider = provider
        self._post = post
        self._dialect = dialect

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        body = bytearray()
        async with self._post("/embeddings", encode(request, self._dialect)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > LONGEST_BODY:
                    raise malformed(self._provider, f"sent more than {LONGEST_BODY} bytes")
        return decode(bytes(body), len(request.inputs), self._provider)


def encode(request: EmbeddingRequest, dialect: Dialect) -> bytes:
    """The body of a call. A single text goes alone, for servers that know no arrays."""
    alone = request.inputs[0] if len(request.inputs) == 1 and isinstance(request.inputs[0], str) else None
    body: dict[str, object] = {
        "model": request.model,
        "input": request.inputs if alone is None else alone,
        "encoding_format": "base64",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if dialect.hints and request.end_user:
        body["user"] = request.end_user
    return msgspec.json.encode(body)


def decode(body: bytes, inputs: int, provider: str) -> Embeddings:
    """
    Raises:
        ProviderMalformedError: it is no answer to so many ``inputs``.
    """
    try:
        answer = msgspec.json.decode(body, type=WireEmbeddings)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise malformed(provider, "sent embeddings of an unknown form") from None
    data = answer.data or ()
    if len(data) != inputs:
        raise malformed(provider, f"sent {len(data)} vectors for {inputs} inputs")
    vectors = {(at if it.index is None else it.index): _vector(it, provider) for at, it in enumerate(data)}
    if vectors.keys() != set(range(inputs)) or len(set(map(len, vectors.values()))) != 1:
        raise malformed(provider, "sent vectors that do not fit together")
    tokens = answer.usage.prompt_tokens if answer.usage else None
    usage = Usage() if tokens is None else Usage(prompt_tokens=tokens, known=True)
    return Embeddings(tuple(vectors[at] for at in range(inputs)), usage)


def malformed(provider: str, what: str) -> ProviderMalformedError:
    return ProviderMalformedError(f"{provider} {what}.", provider=provider, billed=True)


def _vector(sent: WireVector, provider: str) -> bytes:
    try:
        vector = (
            a2b_base64(sent.embedding, strict_mode=True)
            if isinstance(sent.embedding, str)
            else packed(sent.embedding)
        )
        numbers = unpacked(vector)
    except ValueError:  # Base64Error is one
        raise malformed(provider, "sent a vector that is no list of numbers") from None
    # A sum that is finite has only finite terms: doubles do not overflow over so few floats.
    if not numbers or not math.isfinite(sum(numbers)):
        raise malformed(provider, "sent a vector that is empty or not finite")
    return vector
