"""The promises of the ``Embedder`` port, on every adapter."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from cozy_adapters.inmemory.embedder import InMemoryEmbedder
from cozy_adapters.offline.embedder import OfflineEmbedder
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_domain.models.embedding import EmbeddingInput, EmbeddingRequest, unpacked
from cozy_domain.models.ports import Embedder
from tests.fixtures.fake_openai import FakeOpenAI

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]

PROMPT_S = 60.0  # the first call imports an SDK; bounds a test that would hang


class EmbedderContract(ABC):
    """An adapter passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def embedder(self) -> Embedder:
        """The adapter, ready for a few requests."""

    @pytest.fixture
    @abstractmethod
    def model_id(self) -> str:
        """A model that can be asked for 4 dimensions."""

    async def embedded(
        self, embedder: Embedder, model: str, *inputs: EmbeddingInput, dimensions: int | None = None
    ) -> list[tuple[float, ...]]:
        async with asyncio.timeout(PROMPT_S):
            found = await embedder.embed(EmbeddingRequest(model, inputs, dimensions))
        return [unpacked(vector) for vector in found.vectors]

    async def test_each_input_has_its_vector_in_order(self, embedder: Embedder, model_id: str) -> None:
        texts = ("a cat", "Vienna in the rain", "你好，世界")
        together = await self.embedded(embedder, model_id, *texts)
        alone = [(await self.embedded(embedder, model_id, text))[0] for text in texts]
        assert together == alone
        assert len(set(together)) == 3

    async def test_vectors_are_of_one_length_and_finite(self, embedder: Embedder, model_id: str) -> None:
        found = await self.embedded(embedder, model_id, "one", "!?", "a much longer text " * 20, "😀")
        assert len({len(vector) for vector in found}) == 1
        assert all(math.isfinite(number) for vector in found for number in vector)
        assert all(any(vector) for vector in found)

    async def test_shorter_vectors_can_be_asked_for(self, embedder: Embedder, model_id: str) -> None:
        (vector,) = await self.embedded(embedder, model_id, "short", dimensions=4)
        assert len(vector) == 4

    async def test_it_tells_how_many_tokens_it_read(self, embedder: Embedder, model_id: str) -> None:
        found = await embedder.embed(EmbeddingRequest(model_id, ("some words to read",)))
        assert found.usage.known
        assert found.usage.prompt_tokens > 0
        assert found.usage.completion_tokens == 0

    async def test_a_cancelled_call_ends_at_once_and_leaves_it_usable(
        self, embedder: Embedder, model_id: str
    ) -> None:
        many = EmbeddingRequest(model_id, tuple(f"text number {number}" for number in range(200)))
        task = asyncio.create_task(embedder.embed(many))
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(PROMPT_S):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await self.embedded(embedder, model_id, "still there")


class TestInMemoryEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return InMemoryEmbedder()

    @pytest.fixture
    def model_id(self) -> str:
        return "any"

    async def test_a_cancelled_call_ends_at_once_and_leaves_it_usable(
        self, embedder: Embedder, model_id: str
    ) -> None:
        assert isinstance(embedder, InMemoryEmbedder)
        embedder.add(asyncio.Event())  # else it answers without waiting for anything
        await super().test_a_cancelled_call_ends_at_once_and_leaves_it_usable(embedder, model_id)


class TestOfflineEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return OfflineEmbedder()

    @pytest.fixture
    def model_id(self) -> str:
        return "lexical"


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture
    async def embedder(self, fake_openai: FakeOpenAI) -> AsyncIterator[Embedder]:
        model = OpenAILanguageModel("fake", "key", base_url=fake_openai.base_url)
        yield model.embedder()
        await model.aclose()

    @pytest.fixture
    def model_id(self) -> str:
        return "embed"


class TestOpenAIEmbedderOfNumbers(TestOpenAIEmbedder):
    @pytest.fixture
    def model_id(self) -> str:
        return "embed-floats"
