"""What every voice promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_adapters.espeak.speaker import EspeakTextToSpeech
from cozy_adapters.inmemory.speech import ToneTextToSpeech, pcm16
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_adapters.sherpa import speaker as sherpa
from cozy_adapters.sherpa.speaker import SherpaTextToSpeech
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError, LimitError, ProviderRefusedError
from cozy_domain.speech.ports import Sound, TextToSpeech, Voicing
from tests.fixtures import models
from tests.fixtures.fake_openai import FakeOpenAI

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]

TEXT = "The quick brown fox jumps over the lazy dog."


async def spoken(voice: TextToSpeech, text: str = TEXT, voicing: Voicing | None = None) -> list[Sound]:
    async with voice.speak(text, voicing or Voicing()) as sounds:
        return [it async for it in sounds]


def length(sounds: list[Sound]) -> int:
    return sum(len(it.samples) for it in sounds) // SAMPLE_BYTES


def loudest(sounds: list[Sound]) -> int:
    return max(abs(it) for sound in sounds for it in pcm16(sound.samples))


class TextToSpeechContract(ABC):
    """``knows_marks`` says whether it tells when a character sounds."""

    knows_marks = True

    @pytest.fixture
    @abstractmethod
    async def voice(self) -> AsyncIterator[TextToSpeech] | TextToSpeech: ...

    async def test_a_text_becomes_sound_in_whole_samples(self, voice: TextToSpeech) -> None:
        sounds = await spoken(voice)
        assert all(len(it.samples) % SAMPLE_BYTES == 0 for it in sounds)
        assert 1.5 < length(sounds) / SPEAKING_RATE < 6
        assert loudest(sounds) > 1_000

    async def test_it_comes_in_pieces(self, voice: TextToSpeech) -> None:
        assert len(await spoken(voice)) > 3

    async def test_twice_the_speed_takes_about_half_as_long(self, voice: TextToSpeech) -> None:
        slow, fast = length(await spoken(voice)), length(await spoken(voice, voicing=Voicing(speed=2.0)))
        assert 0.4 < fast / slow < 0.7

    async def test_each_voice_it_names_speaks_and_another_is_refused_by_name(
        self, voice: TextToSpeech
    ) -> None:
        names = await voice.voices()
        for name in names[:3]:
            assert length(await spoken(voice, "Hello.", Voicing(voice=name))) > 0
        for other in ("nobody", "../../passwd", "en-us+../x", "\0"):
            with pytest.raises(InputError) as refused:
                await spoken(voice, "Hello.", Voicing(voice=other))
            assert refused.value.code == "unknown_voice"
            assert refused.value.param == "voice"

    async def test_marks_rise_and_point_into_the_text_and_the_sound(self, voice: TextToSpeech) -> None:
        sounds = await spoken(voice)
        marks = [mark for it in sounds for mark in it.marks]
        assert bool(marks) == self.knows_marks
        assert marks == sorted(marks, key=lambda it: (it.index, it.sample))
        assert all(0 <= it.index < len(TEXT) and 0 <= it.sample < length(sounds) for it in marks)
        begun = 0
        for sound in sounds:
            end = begun + len(sound.samples) // SAMPLE_BYTES
            assert all(begun <= it.sample < end for it in sound.marks)
            begun = end

    @pytest.mark.parametrize("text", ["", " ", "\n", "…", "🙂", "\0", "a\0b", "\ud800", "<b>&amp;", "[[ə]]"])
    async def test_odd_texts_are_no_fault(self, voice: TextToSpeech, text: str) -> None:
        await spoken(voice, text)

    async def test_many_may_speak_at_once(self, voice: TextToSpeech) -> None:
        alone = await spoken(voice, "Number one.")
        together = await asyncio.gather(*(spoken(voice, "Number one.") for _ in range(8)))
        assert all(abs(length(it) - length(alone)) < SPEAKING_RATE // 10 for it in together)

    async def test_who_leaves_early_leaves_it_usable(self, voice: TextToSpeech) -> None:
        async with voice.speak(TEXT * 20, Voicing()) as sounds:
            await anext(sounds)
        leaving = asyncio.create_task(spoken(voice, TEXT * 100))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait((leaving,))
        assert length(await spoken(voice, "Still here.")) > 0


class TestSherpa(TextToSpeechContract):
    """Over the real library, with the smallest model that it loads."""

    knows_marks = False

    @pytest.fixture
    async def voice(self, tmp_path: Path) -> AsyncIterator[SherpaTextToSpeech]:
        speaker = sherpa.voice(str(models.voice(tmp_path)), "speech.sherpa_tts")
        yield speaker
        await speaker.aclose()

    async def test_openai_s_names_are_the_model_s_voices_in_turn(self, voice: SherpaTextToSpeech) -> None:
        assert (await voice.voices())[-2:] == ("0", "1")
        sounds = {
            name: b"".join(it.samples for it in await spoken(voice, "hello there.", Voicing(voice=name)))
            for name in ("0", "1", "alloy", "ash", "ballad")
        }
        assert sounds["alloy"] == sounds["ballad"] == sounds["0"] != sounds["1"] == sounds["ash"]

    async def test_who_leaves_early_leaves_the_model_loaded(self, voice: SherpaTextToSpeech) -> None:
        await voice.aopen()
        (loaded,) = voice.pids
        leaving = asyncio.create_task(spoken(voice, TEXT * 20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait((leaving,))
        assert length(await spoken(voice, "Hello.")) < SPEAKING_RATE
        assert voice.pids == (loaded,)


class TestTones(TextToSpeechContract):
    @pytest.fixture
    async def voice(self) -> TextToSpeech:
        return ToneTextToSpeech()


class TestEspeak(TextToSpeechContract):
    @pytest.fixture
    async def voice(self) -> AsyncIterator[TextToSpeech]:
        espeak = EspeakTextToSpeech()
        yield espeak
        await espeak.aclose()

    async def test_chinese_text_is_spoken_in_chinese(self, voice: TextToSpeech) -> None:
        by_itself = length(await spoken(voice, "你好世界"))
        for chinese in (Voicing(voice="cmn"), Voicing(language="zh-CN")):
            assert length(await spoken(voice, "你好世界", chinese)) == pytest.approx(by_itself, rel=0.1)
        # The English voice says "Chinese letter" four times.
        assert length(await spoken(voice, "你好世界", Voicing(language="en"))) > 2 * by_itself

    @pytest.mark.parametrize("voice_name", ["en-gb", "fr-fr", "en-gb+f2"])
    async def test_a_voice_whose_file_has_another_name_speaks(
        self, voice: TextToSpeech, voice_name: str
    ) -> None:
        assert voice_name.partition("+")[0] in await voice.voices()
        assert length(await spoken(voice, "Hello.", Voicing(voice=voice_name))) > 0

    async def test_a_text_that_crashes_the_library_is_refused_and_others_are_spoken(
        self, voice: TextToSpeech
    ) -> None:
        before = length(await spoken(voice, "Hello."))
        with pytest.raises(ProviderRefusedError, match="cannot speak this text"):
            await spoken(voice, "\ua892b\u7393\u27a5", Voicing(voice="ml"))
        assert length(await spoken(voice, "Hello.")) == pytest.approx(before, rel=0.1)

    @pytest.mark.parametrize("command", ["\x010A", "\x01999S", "\x01999B", "\x010P"])
    async def test_no_text_changes_how_the_next_one_sounds(self, voice: TextToSpeech, command: str) -> None:
        before = await spoken(voice, "Hello.")
        for _ in range(2):  # as many as there are processes
            await spoken(voice, f"{command} hi")
        after = await spoken(voice, "Hello.")
        assert length(after) == pytest.approx(length(before), rel=0.1)
        assert loudest(after) == pytest.approx(loudest(before), rel=0.3)

    @pytest.mark.parametrize("name", ["en-gb", "fr-fr", "chr-us-qaaa-x-west", "cmn+f3"])
    async def test_what_is_listed_can_be_spoken(self, voice: TextToSpeech, name: str) -> None:
        assert name.partition("+")[0] in await voice.voices()
        assert length(await spoken(voice, "Hello.", Voicing(voice=name))) > 0

    async def test_the_names_of_openai_are_different_voices(self, voice: TextToSpeech) -> None:
        sounds = [await spoken(voice, voicing=Voicing(voice=name)) for name in ("alloy", "onyx")]
        assert sounds[0] != sounds[1]


class TestOpenAI(TextToSpeechContract):
    knows_marks = False

    @pytest.fixture
    async def voice(self, fake_openai: FakeOpenAI) -> AsyncIterator[TextToSpeech]:
        provider = OpenAILanguageModel("fake", "key", base_url=fake_openai.base_url)
        yield provider.text_to_speech("speak")
        await provider.aclose()

    async def test_each_voice_it_names_speaks_and_another_is_refused_by_name(
        self, voice: TextToSpeech
    ) -> None:
        assert await voice.voices() == ()
        assert length(await spoken(voice, "Hello.", Voicing(voice="nova"))) > 0
        with pytest.raises(ProviderRefusedError, match="voice must be one of"):
            await spoken(voice, "Hello.", Voicing(voice="nobody"))


async def test_who_waits_too_long_for_the_offline_voice_is_told_to_come_again() -> None:
    espeak = EspeakTextToSpeech(at_once=1, wait_s=0.0)

    async def speak(text: str) -> int:
        async with espeak.speak(text, Voicing()) as sounds:
            return sum([len(sound.samples) async for sound in sounds])

    try:
        found = await asyncio.gather(
            *(speak("Good evening. " * 10) for _ in range(3)), return_exceptions=True
        )
        assert [type(it) for it in found] == [int, LimitError, LimitError]
        assert await speak("Hello.") > 0
    finally:
        await espeak.aclose()
