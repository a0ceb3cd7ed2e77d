"""Texts to vectors: one model is asked, within a deadline, with a breaker and one retry in front of it."""

import asyncio
from collections.abc import Callable, Mapping

from cozy_domain.clock import Clock
from cozy_domain.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError
from cozy_domain.models.embedding import EmbeddingRequest, Embeddings
from cozy_domain.models.ports import Embedder
from cozy_domain.models.request import ModelRef
from cozy_domain.routing.breakers import Breakers, open_circuit
from cozy_domain.routing.circuit import Circuit
from cozy_domain.routing.retry import RetrySame, decide

DEADLINE_S = 30.0
"""Of a call, its retry included: as much as a whole chain of models has to its first token (settled question 17)."""


class Embedding:
    """Asks embedders. One for the whole process: it remembers which of them are failing."""

    def __init__(
        self, embedder: Callable[[str], Embedder | None], clock: Clock, deadline_s: float = DEADLINE_S
    ) -> None:
        """``embedder`` gives a provider's, or None when it has none."""
        self._embedder = embedder
        self._breakers = Breakers(clock)
        self._deadline_s = deadline_s

    def circuits(self) -> Mapping[ModelRef, Circuit]:
        """The state of every model that was asked so far."""
        return self._breakers.states()

    async def embed(self, provider: str, request: EmbeddingRequest) -> Embeddings:
        """The vectors of ``request``, whose model is one of ``provider``. Cancelling it cancels the call.

        Raises:
            ProviderError: the model did not answer, or refused, or has been failing and is left alone.
        """
        model = ModelRef(provider, request.model)
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                return await self._tried(model, request)
        except TimeoutError:
            if not deadline.expired():
                raise
            late = ProviderTimeoutError(
                f"The model '{model}' did not answer within {self._deadline_s:g} s.", provider=provider
            )
            self._breakers.failed(model, late)
            raise late from None

    async def _tried(self, model: ModelRef, request: EmbeddingRequest) -> Embeddings:
        retried = False
        while True:
            try:
                return await self._asked(model, request)
            except ProviderError as error:
                error.retried = retried
                step = decide(error, retried=retried, others_left=False)
                if not isinstance(step, RetrySame):
                    raise
                retried = True
                await asyncio.sleep(step.after_s)  # noqa: TID251  the decision is pure, waiting is this use case's work

    async def _asked(self, model: ModelRef, request: EmbeddingRequest) -> Embeddings:
        embedder = self._embedder(model.provider)
        if embedder is None:
            raise ProviderUnavailableError(
                f"There is no provider of embeddings '{model.provider}'.", provider=model.provider
            )
        if not self._breakers.may_be_asked(model):
            raise open_circuit(model)
        self._breakers.asking(model)
        try:
            found = await embedder.embed(request)
        except ProviderError as error:
            self._breakers.failed(model, error)
            raise
        self._breakers.succeeded(model)
        return found
