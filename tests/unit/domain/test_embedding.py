"""Asking one embedder: a deadline, a retry, a breaker."""

import asyncio
from datetime import timedelta

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.embedder import InMemoryEmbedder
from cozy_domain.embedding import Embedding
from cozy_domain.errors import (
    ProviderError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.models.embedding import EmbeddingRequest, Embeddings
from cozy_domain.models.request import ModelRef

pytestmark = pytest.mark.virtual_time

WANTED = EmbeddingRequest("model", ("text",))


@pytest.fixture
def embedder() -> InMemoryEmbedder:
    return InMemoryEmbedder()


@pytest.fixture
def clock() -> InMemoryClock:
    return InMemoryClock()


@pytest.fixture
def embedding(embedder: InMemoryEmbedder, clock: InMemoryClock) -> Embedding:
    return Embedding({"p": embedder}.get, clock, deadline_s=30.0)


def down() -> ProviderUnavailableError:
    return ProviderUnavailableError("down", provider="p")


async def failing(embedding: Embedding, provider: str = "p") -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await embedding.embed(provider, WANTED)
    return caught.value


async def test_it_hands_the_request_on(embedding: Embedding, embedder: InMemoryEmbedder) -> None:
    found = await embedding.embed("p", WANTED)
    assert len(found.vectors) == 1
    assert embedder.requests == [WANTED]
    assert embedding.circuits()[ModelRef("p", "model")].failures == 0


async def test_a_provider_that_does_not_embed_is_named(embedding: Embedding) -> None:
    error = await failing(embedding, "q")
    assert (error.code, error.provider) == ("provider_unavailable", "q")


async def test_a_lost_connection_is_tried_once_more(embedding: Embedding, embedder: InMemoryEmbedder) -> None:
    embedder.add(down())
    assert (await embedding.embed("p", WANTED)).vectors
    embedder.add(down(), down())
    error = await failing(embedding)
    assert error.retried
    assert len(embedder.requests) == 4


async def test_a_busy_model_is_asked_again_when_it_wishes(
    embedding: Embedding, embedder: InMemoryEmbedder
) -> None:
    embedder.add(ProviderOverloadedError("busy", provider="p", retry_after_s=5.0))
    before = asyncio.get_running_loop().time()
    await embedding.embed("p", WANTED)
    assert asyncio.get_running_loop().time() - before == pytest.approx(5.0)


async def test_a_refusal_is_told_at_once(embedding: Embedding, embedder: InMemoryEmbedder) -> None:
    embedder.add(ProviderRefusedError("no", provider="p"))
    assert isinstance(await failing(embedding), ProviderRefusedError)
    assert len(embedder.requests) == 1


async def test_a_silent_model_is_given_up_at_the_deadline_and_counts_as_failing(
    embedding: Embedding, embedder: InMemoryEmbedder
) -> None:
    embedder.add(asyncio.Event())
    before = asyncio.get_running_loop().time()
    assert isinstance(await failing(embedding), ProviderTimeoutError)
    assert asyncio.get_running_loop().time() - before == pytest.approx(30.0)
    assert embedding.circuits()[ModelRef("p", "model")].failures == 1


async def test_an_adapters_own_timeout_is_not_taken_for_the_deadline(clock: InMemoryClock) -> None:
    class Broken(InMemoryEmbedder):
        async def embed(self, request: EmbeddingRequest) -> Embeddings:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await Embedding(lambda _: Broken(), clock).embed("p", WANTED)


async def test_a_model_that_keeps_failing_is_left_alone_for_a_while(
    embedding: Embedding, embedder: InMemoryEmbedder, clock: InMemoryClock
) -> None:
    embedder.add(*(down() for _ in range(5)))
    for _ in range(3):
        await failing(embedding)
    assert len(embedder.requests) == 5
    assert (await failing(embedding)).code == "provider_circuit_open"
    assert len(embedder.requests) == 5
    clock.advance(timedelta(seconds=31))
    assert (await embedding.embed("p", WANTED)).vectors
