"""Speech without any audio library: a scripted recogniser, a voice of tones, and a detector that hears loudness.

They are for tests and for trying a front end; the detector also stands in where no trained one is installed.
"""

import array
import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE, Pcm
from cozy_domain.errors import InputError, LimitError, ProviderError
from cozy_domain.speech.ports import Hearing, HearingFeature, Language, Mark, Sound, Voicing
from cozy_domain.speech.transcript import Segment, Transcript, Word

CHARACTER = SPEAKING_RATE * 60 // 1_000
"""Samples that the voice of tones needs for a character at speed 1: 60 ms, about as fast as people read aloud."""
LOUD = 328
"""Root mean square of 16-bit samples that counts as speech: 1 % of full scale (-40 dBFS)."""


class ScriptedSpeechToText:
    """Understands the ``script``, one line for each recording or utterance; after the last one, and in recordings without a
    sound, nothing. An error in the script is raised. ``languages`` are those it pretends to hear, None any."""

    def __init__(
        self, script: Sequence[str | LimitError | ProviderError], languages: frozenset[Language] | None = None
    ) -> None:
        self._script = list(script)
        self._languages = languages
        self.heard: list[tuple[Pcm, Hearing]] = []

    def features(self) -> frozenset[HearingFeature]:
        return frozenset(HearingFeature)

    def languages(self) -> frozenset[Language] | None:
        return self._languages

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        self.heard.append((sound, hearing))
        text = self._next() if any(sound.samples) else ""
        return _evenly_timed(text, len(sound), hearing)

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator["ScriptedUtterance"]:
        text = self._next()
        utterance = ScriptedUtterance(text, hearing)
        yield utterance
        self.heard.append((Pcm(bytes(utterance.sound)), hearing))

    def _next(self) -> str:
        line = self._script.pop(0) if self._script else ""
        if not isinstance(line, str):
            raise line
        return line


class ScriptedUtterance:
    """Understands a word more with each piece of sound."""

    def __init__(self, text: str, hearing: Hearing) -> None:
        self._text = text
        self._hearing = hearing
        self._fed = 0
        self.sound = bytearray()

    async def feed(self, samples: bytes) -> str:
        self.sound += samples
        self._fed += 1
        return " ".join(self._text.split()[: self._fed])

    async def finish(self) -> Transcript:
        return _evenly_timed(self._text, len(self.sound) // SAMPLE_BYTES, self._hearing)


class ToneTextToSpeech:
    """Each character is `CHARACTER` samples of a tone whose pitch is its own, spaces are silent; it knows when each sounds.
    Voices ``low`` and ``high`` differ by an octave."""

    async def voices(self) -> tuple[str, ...]:
        return ("low", "high")

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        if voicing.voice not in {None, "low", "high"}:
            raise InputError(
                f"There is no voice '{voicing.voice}'.", code="unknown_voice", param="voice", hint="low, high"
            )
        sounds = self._sounds(text, round(CHARACTER / voicing.speed), 2 if voicing.voice == "high" else 1)
        try:
            yield sounds
        finally:
            await sounds.aclose()

    async def _sounds(self, text: str, length: int, octave: int) -> AsyncGenerator[Sound]:
        for index, character in enumerate(text):
            pitch = 0 if character.isspace() else octave * (200 + 10 * (ord(character) % 40))
            yield Sound(tone(pitch, length), (Mark(index, index * length),))


class LoudnessVoiceActivity:
    """What is loud is speech. Good enough for clean recordings; noise fools it."""

    def open(self) -> "LoudnessVoiceActivity":
        return self

    async def probability(self, window: bytes) -> float:
        samples = pcm16(window)
        return 1.0 if math.sqrt(sum(it * it for it in samples) / max(1, len(samples))) >= LOUD else 0.0


def tone(pitch: int, length: int) -> bytes:
    """``length`` samples of a sine of ``pitch`` hertz at `SPEAKING_RATE`, a quarter of full scale; 0 is silence."""
    step = 2 * math.pi * pitch / SPEAKING_RATE
    samples = array.array("h", (round(8_000 * math.sin(step * it)) for it in range(length)))
    return _little_endian(samples).tobytes()


def pcm16(samples: bytes) -> Sequence[int]:
    """The numbers in PCM16."""
    numbers = array.array("h")
    numbers.frombytes(samples)
    return _little_endian(numbers)


def _little_endian(samples: "array.array[int]") -> "array.array[int]":
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _evenly_timed(text: str, samples: int, hearing: Hearing) -> Transcript:
    """As if every word took equally long."""
    spoken = text.split()
    each = samples // max(1, len(spoken))
    words = tuple(Word(it, at * each, (at + 1) * each) for at, it in enumerate(spoken))
    segments = (Segment(text, 0, samples),) if text else ()
    return Transcript(text, hearing.language, words if hearing.word_times else (), segments)
