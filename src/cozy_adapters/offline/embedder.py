"""The embedder of last resort: it compares words, not meanings.

Each term of a text (see ``cozy_domain.text``) is hashed to a place and a sign of the vector, weighted by how often it stands
there (feature hashing: Weinberger et al. 2009). So texts with the same words, also inflected, are near each other, and a
question is near a text that it shares words with; "car" and "automobile" are as far apart as any two words. The same text
always gets the same vector, in every process.
"""

import asyncio
import math
from collections import Counter
from hashlib import blake2b

from cozy_domain.errors import ProviderRefusedError
from cozy_domain.messages import Usage
from cozy_domain.models.embedding import EmbeddingInput, EmbeddingRequest, Embeddings, packed
from cozy_domain.text import terms

MODEL = "lexical"
DIMENSIONS = 512
"""So many places are enough for a few sentences: two of 100 terms meet in one place about ten times."""
MOST_DIMENSIONS = 4_096
LONGEST_INPUT = 32_768
"""Characters: 8,192 tokens of English, which is what other models take; read in 30 ms."""
_CHARACTERS_PER_TOKEN = 4
_PROVIDER = "offline"


class OfflineEmbedder:
    """Embeds by rule, without a network. It has the one model `MODEL`."""

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        if request.model != MODEL:
            raise ProviderRefusedError(
                f"The offline embedder has one model, {MODEL}.", provider=_PROVIDER, about="model"
            )
        length = _length(request)
        vectors: list[bytes] = []
        characters = 0
        for place, given in enumerate(request.inputs):
            text = _text(given, place, alone=len(request.inputs) == 1)
            characters += len(text)
            vectors.append(_vector(text, length))
            await asyncio.sleep(0)  # others get their turn between two texts
        tokens = math.ceil(characters / _CHARACTERS_PER_TOKEN)
        return Embeddings(tuple(vectors), Usage(prompt_tokens=tokens, known=True))


def _length(request: EmbeddingRequest) -> int:
    length = DIMENSIONS if request.dimensions is None else request.dimensions
    if length > MOST_DIMENSIONS:
        raise ProviderRefusedError(
            f"The offline embedder has at most {MOST_DIMENSIONS} dimensions.",
            provider=_PROVIDER,
            code="invalid_value",
            param="dimensions",
        )
    return length


def _text(given: EmbeddingInput, place: int, *, alone: bool) -> str:
    param = "input" if alone else f"input[{place}]"
    if not isinstance(given, str):
        raise ProviderRefusedError(
            "The offline embedder takes texts, not tokens.",
            provider=_PROVIDER,
            code="unsupported_value",
            param=param,
            hint="Send strings; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False.",
        )
    if len(given) > LONGEST_INPUT:
        raise ProviderRefusedError(
            f"The offline embedder takes at most {LONGEST_INPUT} characters in one text.",
            provider=_PROVIDER,
            code="context_length_exceeded",
            param=param,
        )
    return given


def _vector(text: str, length: int) -> bytes:
    # A text without any word still needs a direction: it stands for itself.
    counts = Counter(terms(text)) or Counter((text,))
    numbers = [0.0] * length
    for term, count in counts.items():
        hashed = int.from_bytes(blake2b(term.encode(errors="replace"), digest_size=8).digest(), "little")
        numbers[(hashed >> 1) % length] += (1 + math.log(count)) * (1 if hashed & 1 else -1)
    size = math.sqrt(sum(number * number for number in numbers))
    if not size:  # two words that cancel each other out
        numbers[0], size = 1.0, 1.0
    return packed([number / size for number in numbers])
