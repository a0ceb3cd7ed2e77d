"""What every recogniser promises."""

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_adapters.fasterwhisper import folder as fasterwhisper
from cozy_adapters.inmemory.speech import ScriptedSpeechToText, tone
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText
from cozy_adapters.sherpa import recogniser as sherpa
from cozy_domain.audio import HEARING_RATE, Pcm
from cozy_domain.errors import LimitError, ProviderRefusedError, ProviderUnavailableError
from cozy_domain.speech.ports import Hearing, HearingFeature, SpeechToText, Utterance
from tests.fixtures import models
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.said import heard
from tests.fixtures.sentences import PHRASES
from tests.fixtures.whisper_model import whisper

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]

PROMPT_S = 60.0
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

    async def test_a_language_that_it_says_it_does_not_hear_is_refused(
        self, recogniser: SpeechToText, spoken: Pcm
    ) -> None:
        known = recogniser.languages()
        if known is None:
            return
        assert all(it == it.lower() and it.isalpha() for it in known)
        for refused in ("xx", "xx-YY"):
            with pytest.raises(ProviderRefusedError, match="xx"):
                await recogniser.transcribe(spoken, Hearing(language=refused))

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


class TestSherpa(SpeechToTextContract):
    """Over the real library, with the smallest model that it loads."""

    @pytest.fixture
    async def recogniser(self, tmp_path: Path) -> AsyncIterator[SpeechToText]:
        model = sherpa.recogniser(str(models.recogniser(tmp_path)), "speech.sherpa_stt", ("en",))
        yield model
        await model.aclose()

    @pytest.fixture
    def spoken(self) -> Pcm:
        return Pcm(tone(440, HEARING_RATE))

    @pytest.fixture
    def text(self) -> str:
        return "hello"


class TestFasterWhisper(SpeechToTextContract):
    """As above."""

    @pytest.fixture
    async def recogniser(self, tmp_path: Path) -> AsyncIterator[SpeechToText]:
        model = fasterwhisper.recogniser(str(whisper(tmp_path)), "speech.faster_whisper")
        yield model
        await model.aclose()

    @pytest.fixture
    def spoken(self) -> Pcm:
        return Pcm(tone(440, HEARING_RATE))

    @pytest.fixture
    def text(self) -> str:
        return "hello"

    async def test_words_have_times_where_the_recogniser_knows_them(
        self, recogniser: SpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        """This model looks at no sound, so the library finds no word in it; nothing breaks."""
        asked = Hearing(language="en", word_times=True)
        assert (await recogniser.transcribe(spoken, asked)).words == ()


class TestPocketsphinx(SpeechToTextContract):
    @pytest.fixture
    async def recogniser(self) -> AsyncIterator[PocketsphinxSpeechToText]:
        recogniser = PocketsphinxSpeechToText()
        yield recogniser
        await recogniser.aclose()

    @pytest.fixture
    async def spoken(self) -> Pcm:
        return await heard("Open the window.", "alloy")

    @pytest.fixture
    def text(self) -> str:
        return "Open the window."

    @pytest.fixture
    def hearing(self) -> Hearing:
        return Hearing(language="en-GB", phrases=PHRASES)

    async def test_what_is_said_is_told_while_it_is_said(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, hearing: Hearing
    ) -> None:
        async with recogniser.listen(hearing) as utterance:
            told = [
                await utterance.feed(spoken.samples[at : at + 3_200])
                for at in range(0, len(spoken.samples), 3_200)
            ]
        assert "open the" in told

    async def test_a_sentence_that_is_no_phrase_is_not_matched(
        self, recogniser: PocketsphinxSpeechToText, hearing: Hearing
    ) -> None:
        sound = await heard("My favourite colour is green.", "alloy")
        assert (await recogniser.transcribe(sound, hearing)).text == ""

    async def test_an_utterance_without_a_sound_is_an_empty_text(
        self, recogniser: PocketsphinxSpeechToText, hearing: Hearing
    ) -> None:
        for asked in (hearing, Hearing()):
            assert (await recogniser.transcribe(Pcm(b""), asked)).text == ""
            async with recogniser.listen(asked) as utterance:
                assert (await utterance.finish()).text == ""

    async def test_free_speech_is_heard_after_phrases_and_phrases_after_free_speech(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        for _ in range(2):
            assert (await recogniser.transcribe(spoken, hearing)).text == text
            assert (await recogniser.transcribe(spoken, Hearing())).text

    async def test_one_utterance_does_not_change_how_the_next_is_heard(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm
    ) -> None:
        free = Hearing(word_times=True)
        first = await recogniser.transcribe(spoken, free)
        await recogniser.transcribe(Pcm(b"\xff\x7f\x00\x80" * HEARING_RATE), free)
        assert await recogniser.transcribe(spoken, free) == first

    @pytest.mark.parametrize(
        ("hearing", "named"),
        [
            (Hearing(language="zh-CN"), "zh-CN"),
            (Hearing(translate=True), "translate"),
            (Hearing(phrases=("Call Xqwert at 5.", "Stop.")), "'xqwert', '5'"),
            (Hearing(phrases=("打开窗户",)), "'打开窗户'"),
            (Hearing(phrases=("Stop.", "...")), "no word"),
        ],
    )
    async def test_what_it_is_not_able_to_do_is_refused_by_name(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, hearing: Hearing, named: str
    ) -> None:
        with pytest.raises(ProviderRefusedError, match=named) as refused:
            await recogniser.transcribe(spoken, hearing)
        assert refused.value.about == "request"
        with pytest.raises(ProviderRefusedError, match=named):
            async with recogniser.listen(hearing):
                pass

    async def test_a_process_that_died_is_replaced(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        assert (await recogniser.transcribe(spoken, hearing)).text == text
        (idle,) = recogniser.pids
        os.kill(idle, signal.SIGKILL)
        assert (await recogniser.transcribe(spoken, hearing)).text == text
        assert idle not in recogniser.pids

    async def test_a_process_that_dies_at_work_is_a_failure_of_that_utterance_only(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        await recogniser.transcribe(spoken, hearing)
        (idle,) = recogniser.pids
        async with recogniser.listen(hearing) as utterance:
            os.kill(idle, signal.SIGKILL)
            with pytest.raises(ProviderUnavailableError):
                await until_it_fails(utterance, spoken.samples[:6_400])
        assert recogniser.pids == ()
        assert (await recogniser.transcribe(spoken, hearing)).text == text

    async def test_more_than_it_may_have_processes_wait_for_each_other(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, text: str, hearing: Hearing
    ) -> None:
        heard_at_once = await asyncio.gather(*(recogniser.transcribe(spoken, hearing) for _ in range(5)))
        assert [it.text for it in heard_at_once] == [text] * 5
        assert len(recogniser.pids) == 2

    async def test_who_waits_too_long_for_a_process_is_told_so(self, spoken: Pcm, hearing: Hearing) -> None:
        recogniser = PocketsphinxSpeechToText(at_once=1, wait_s=0.05)
        async with recogniser.listen(hearing):
            with pytest.raises(LimitError) as refused:
                await recogniser.transcribe(spoken, hearing)
        assert refused.value.code == "server_overloaded"
        await recogniser.aclose()

    async def test_free_speech_is_told_to_be_of_demo_quality_and_a_phrase_is_not(
        self, recogniser: PocketsphinxSpeechToText, spoken: Pcm, hearing: Hearing
    ) -> None:
        assert "demo quality" in (await recogniser.transcribe(spoken, Hearing())).caution
        assert (await recogniser.transcribe(spoken, hearing)).caution == ""

    async def test_no_process_outlives_it_or_knows_our_secrets(
        self, spoken: Pcm, hearing: Hearing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        recogniser = PocketsphinxSpeechToText()
        await recogniser.transcribe(spoken, hearing)
        (idle,) = recogniser.pids
        assert b"sk-secret" not in environment_of(idle)
        async with recogniser.listen(hearing) as utterance:
            await utterance.feed(spoken.samples[:6_400])
            await recogniser.aclose()
        with pytest.raises(ProcessLookupError):
            os.kill(idle, 0)
        with pytest.raises(ProviderUnavailableError):
            await recogniser.transcribe(spoken, hearing)


async def until_it_fails(utterance: Utterance, samples: bytes) -> None:
    while True:
        await utterance.feed(samples)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
