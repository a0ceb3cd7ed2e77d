"""POST /v1/embeddings: what a client asks for, and what it is answered."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cozy_server.openai.wire.request import Subject

MAX_INPUTS = 2_048
"""In one request (OpenAI's API reference, embeddings)."""
MAX_TOKENS = 8_192
"""In one input that comes as tokens (the same source)."""
MAX_TOKENS_TOGETHER = 300_000
"""Over all inputs (the same source)."""
MAX_CHARACTERS = 8 * MAX_TOKENS_TOGETHER
"""Of all texts together: no language has eight characters to a token, so nothing is refused here that a model would take."""
MAX_DIMENSIONS = 4_096
"""As many as any model of 2026 has."""

Text = Annotated[str, Meta(min_length=1)]
Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tokens = Annotated[tuple[Token, ...], Meta(min_length=1, max_length=MAX_TOKENS)]


class EmbeddingIn(msgspec.Struct, frozen=True):
    """The body of POST /v1/embeddings."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: Text | Annotated[tuple[Text | Token | Tokens, ...], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    user: Subject | None = None


class EmbeddingOut(msgspec.Struct, frozen=True):
    """``embedding`` as numbers, or as base64 of little-endian float32."""

    index: int
    embedding: tuple[float, ...] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class CozyEmbedded(msgspec.Struct, frozen=True):
    """``model`` is who answered, as ``provider/id``."""

    model: str


class EmbeddingList(msgspec.Struct, frozen=True):
    data: tuple[EmbeddingOut, ...]
    model: str
    usage: EmbeddingUsage
    cozy: CozyEmbedded
    object: Literal["list"] = "list"
