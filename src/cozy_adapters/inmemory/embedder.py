"""An embedder for tests and for trying an application without a provider: the same input gets the same vector, and that
says nothing of what the input means."""

import asyncio
from hashlib import shake_128

from cozy_domain.errors import ProviderError
from cozy_domain.messages import Usage
from cozy_domain.models.embedding import EmbeddingInput, EmbeddingRequest, Embeddings, packed

DIMENSIONS = 16
_HALF = 127.5


class InMemoryEmbedder:
    """``requests`` are the calls so far; ``asked`` is set by the first. ``add`` lets the next ones fail, or wait: an error
    is raised, an event waited for."""

    def __init__(self) -> None:
        self.requests: list[EmbeddingRequest] = []
        self.asked = asyncio.Event()
        self._steps: list[ProviderError | asyncio.Event] = []

    def add(self, *steps: ProviderError | asyncio.Event) -> None:
        """One for each of the next calls."""
        self._steps.extend(steps)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        self.requests.append(request)
        self.asked.set()
        step = self._steps.pop(0) if self._steps else None
        if isinstance(step, ProviderError):
            raise step
        if step is not None:
            await step.wait()
        length = request.dimensions or DIMENSIONS
        tokens = sum(map(len, request.inputs))
        return Embeddings(
            tuple(_vector(it, length) for it in request.inputs), Usage(prompt_tokens=tokens, known=True)
        )


def _vector(given: EmbeddingInput, length: int) -> bytes:
    noise = shake_128(repr(given).encode(errors="surrogatepass")).digest(length)
    return packed([(byte - _HALF) / _HALF for byte in noise])
