"""What every recogniser promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from cozy_adapters.inmemory.speech import ScriptedSpeechToText, tone
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_domain.audio import HEARING_RATE, Pcm
from cozy_domain.speech.ports import Hearing, HearingFeature, SpeechToText
from tests.fixtures.fake_openai import FakeOpenAI

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]

PROMPT_S = 10.0
SILENCE = Pcm(bytes(HEARING_RATE * 2))


class SpeechToTextContract(ABC):
    """``spoken`` is a recording in which ``text`` is said."""

    @pytest.fixture
    @abstractmethod
    async def recogniser(self) -> AsyncIterator[SpeechToText] | SpeechToText: ...

    @pytest.fixture
    @abstractmethod
    def spoken(self) -> Pcm: ...

    @pytest.fixture
    @abstractmethod
    def text(self) -> str: ...

    @pytest.fixture
    def hearing(self) -> Hearing:
        return Hearing(language="en")

    async def test_a_recording_is_understood(
        self, recogniser: SpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        assert (await recogniser.transcribe(spoken, hearing)).text == text

    async def test_silence_is_an_empty_text(self, recogniser: SpeechToText, hearing: Hearing) -> None:
        assert (await recogniser.transcribe(SILENCE, hearing)).text == ""

    async def test_an_utterance_is_understood_while_it_is_spoken(
        self, recogniser: SpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        async with recogniser.listen(hearing) as utterance:
            for at in range(0, len(spoken.samples), 6_400):
                assert isinstance(await utterance.feed(spoken.samples[at : at + 6_400]), str)
            assert (await utterance.finish()).text == text

    async def test_words_have_times_where_the_recogniser_knows_them(
        self, recogniser: SpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        if HearingFeature.WORD_TIMES not in recogniser.features():
            return
        asked = Hearing(language="en", word_times=True, phrases=hearing.phrases)
        words = (await recogniser.transcribe(spoken, asked)).words
        assert [it.text.strip(".,?").lower() for it in words] == text.strip(".").lower().split()
        assert all(0 <= it.start <= it.end <= len(spoken) for it in words)
        assert sorted(words, key=lambda it: it.start) == list(words)

    async def test_who_leaves_early_leaves_it_usable(
        self, recogniser: SpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        async with recogniser.listen(hearing) as utterance:
            await utterance.feed(spoken.samples[:6_400])
        leaving = asyncio.create_task(recogniser.transcribe(spoken, hearing))
        await asyncio.sleep(0)
        leaving.cancel()
        async with asyncio.timeout(PROMPT_S):
            await asyncio.wait((leaving,))
            assert (await recogniser.transcribe(spoken, hearing)).text == text


class TestScripted(SpeechToTextContract):
    @pytest.fixture
    async def recogniser(self) -> SpeechToText:
        return ScriptedSpeechToText(["Hello there."] * 3)

    @pytest.fixture
    def spoken(self) -> Pcm:
        return Pcm(tone(440, HEARING_RATE))

    @pytest.fixture
    def text(self) -> str:
        return "Hello there."

    async def test_silence_is_an_empty_text(self, recogniser: SpeechToText, hearing: Hearing) -> None:
        assert (await recogniser.transcribe(SILENCE, hearing)).text == ""


class OpenAIContract(SpeechToTextContract):
    model: str

    @pytest.fixture
    async def recogniser(self, fake_openai: FakeOpenAI) -> AsyncIterator[SpeechToText]:
        provider = OpenAILanguageModel("fake", "key", base_url=fake_openai.base_url)
        yield provider.speech_to_text(self.model)
        await provider.aclose()

    @pytest.fixture
    def spoken(self) -> Pcm:
        return Pcm(tone(440, HEARING_RATE))

    @pytest.fixture
    def text(self) -> str:
        return "Hello there."


class TestOpenAI(OpenAIContract):
    model = "hear"


class TestWhisper(OpenAIContract):
    model = "whisper-1"
