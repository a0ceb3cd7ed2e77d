"""Ports to models."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cozy_domain.messages import Message
from cozy_domain.models.deltas import ModelDelta
from cozy_domain.models.embedding import EmbeddingRequest, Embeddings
from cozy_domain.models.request import Feature, ModelRequest


class LanguageModel(Protocol):
    """A provider of text models.

    The caller owns time: there is no timeout here, and cancelling closes the connection at once.
    """

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[ModelDelta]]:
        """Deltas in the order written. Every choice ends with one ``ChoiceFinished`` before the iterator ends.

        Entering the context sends the request and waits for the provider's status; the iterator then yields.
        Leaving it early closes the connection to the provider.

        Raises:
            ProviderError: one of its five kinds; also from the iterator, when the stream breaks.
        """
        ...

    def features(self, model: str) -> frozenset[Feature]:
        """What ``model`` can do. Unknown models of an open provider are assumed to be able to do everything."""
        ...

    async def list_models(self) -> tuple[str, ...]:
        """Ids the provider offers, in its own order.

        Raises:
            ProviderError: the provider did not answer.
        """
        ...


class Embedder(Protocol):
    """A provider of vectors that stand for texts.

    The caller owns time, as with `LanguageModel`. A call has no effect but its cost, so it may be repeated.
    """

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """
        Raises:
            ProviderError: one of its five kinds; ``ProviderRefusedError`` about the request also for tokens or
                ``dimensions`` that the adapter or the model does not take.
        """
        ...


class TokenCounter(Protocol):
    """Estimates tokens. Never far below the truth: the budget adds its own safety factor."""

    def count(self, text: str) -> int: ...

    def count_messages(self, messages: Sequence[Message]) -> int:
        """With the field's overhead of each message (4 tokens, OpenAI cookbook) and tool calls counted."""
        ...
