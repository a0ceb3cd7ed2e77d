"""The promises of the ``LanguageModel`` port, on every adapter."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from cozy_adapters.anthropic.chat import AnthropicLanguageModel
from cozy_adapters.inmemory.language_model import ScriptedLanguageModel, saying
from cozy_adapters.offline.language_model import OfflineLanguageModel
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_domain.messages import UserMessage
from cozy_domain.models.deltas import ChoiceFinished, ModelDelta, TextDelta, UsageReported
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import Feature, ModelRequest
from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.fake_openai import FakeOpenAI

pytest_plugins = ["tests.fixtures.fake_anthropic.plugin", "tests.fixtures.fake_openai.plugin"]

PROMPT_S = 60.0  # far more than a local adapter needs; bounds a test that would hang


def asking(model: str, text: str = "Tell me a story.") -> ModelRequest:
    return ModelRequest(model=model, messages=(UserMessage(text),))


async def read(model: LanguageModel, request: ModelRequest) -> list[ModelDelta]:
    async with asyncio.timeout(PROMPT_S), model.stream(request) as deltas:
        return [delta async for delta in deltas]


class LanguageModelContract(ABC):
    """A model adapter passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def model(self) -> LanguageModel:
        """The adapter, ready to answer at least four requests of several deltas each."""

    @pytest.fixture
    @abstractmethod
    def model_id(self) -> str:
        """A model that answers with several pieces of text."""

    async def test_gives_text_then_one_end_of_the_choice(self, model: LanguageModel, model_id: str) -> None:
        deltas = await read(model, asking(model_id))
        kinds = [type(delta) for delta in deltas]
        assert kinds.count(TextDelta) > 1
        assert kinds.count(ChoiceFinished) == 1
        assert max(at for at, kind in enumerate(kinds) if kind is TextDelta) < kinds.index(ChoiceFinished)

    async def test_reports_what_it_used(self, model: LanguageModel, model_id: str) -> None:
        reports = [delta for delta in await read(model, asking(model_id)) if isinstance(delta, UsageReported)]
        assert reports
        assert reports[-1].usage.known
        assert reports[-1].usage.completion_tokens > 0

    async def test_leaving_early_leaves_it_usable(self, model: LanguageModel, model_id: str) -> None:
        async with model.stream(asking(model_id)) as deltas:
            await anext(aiter(deltas))
        assert await read(model, asking(model_id))

    async def test_cancelling_while_reading_ends_at_once_and_leaves_it_usable(
        self, model: LanguageModel, model_id: str
    ) -> None:
        begun = asyncio.Event()

        async def listen() -> None:
            async with model.stream(asking(model_id)) as deltas:
                async for _ in deltas:
                    begun.set()
                    await asyncio.Event().wait()

        listener = asyncio.create_task(listen())
        async with asyncio.timeout(PROMPT_S):
            await begun.wait()
            listener.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listener
        assert await read(model, asking(model_id))

    async def test_answers_two_at_once(self, model: LanguageModel, model_id: str) -> None:
        first, second = await asyncio.gather(read(model, asking(model_id)), read(model, asking(model_id)))
        assert any(isinstance(delta, TextDelta) for delta in first)
        assert any(isinstance(delta, TextDelta) for delta in second)

    async def test_lists_its_models(self, model: LanguageModel) -> None:
        listed = await model.list_models()
        assert listed
        assert len(set(listed)) == len(listed)

    async def test_knows_its_features_without_asking_anyone(
        self, model: LanguageModel, model_id: str
    ) -> None:
        assert model.features(model_id) <= frozenset(Feature)


class TestScriptedLanguageModel(LanguageModelContract):
    @pytest.fixture
    def model(self) -> LanguageModel:
        return ScriptedLanguageModel([saying("Once", " upon", " a time.")] * 4)

    @pytest.fixture
    def model_id(self) -> str:
        return "scripted"


class TestOpenAILanguageModel(LanguageModelContract):
    @pytest.fixture
    async def model(self, fake_openai: FakeOpenAI) -> AsyncIterator[LanguageModel]:
        model = OpenAILanguageModel("fake", "sk-test", base_url=fake_openai.base_url)
        await model.aopen()
        yield model
        await model.aclose()

    @pytest.fixture
    def model_id(self) -> str:
        return "ok"


class TestAnthropicLanguageModel(LanguageModelContract):
    @pytest.fixture
    async def model(self, fake_anthropic: FakeAnthropic) -> AsyncIterator[LanguageModel]:
        model = AnthropicLanguageModel("fake", "sk-test", base_url=fake_anthropic.base_url)
        await model.aopen()
        yield model
        await model.aclose()

    @pytest.fixture
    def model_id(self) -> str:
        return "ok"


class TestOfflineLanguageModel(LanguageModelContract):
    @pytest.fixture
    def model(self) -> LanguageModel:
        return OfflineLanguageModel()

    @pytest.fixture
    def model_id(self) -> str:
        return "offline"
