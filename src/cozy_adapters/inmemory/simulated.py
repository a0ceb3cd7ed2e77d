"""Engines that need no time but what they are told to: behind the real voice path they show what the path itself costs.

The recogniser understands a sentence for any sound, and an unfinished one for a short sound; the model counts the user's
messages and says the number in its answer, so that a client can check what it gets; the voice is one of tones.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import lru_cache

import msgspec

from cozy_adapters.inmemory.speech import tone
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, Pcm
from cozy_domain.context.recall import OPEN
from cozy_domain.messages import Message, Usage, UserMessage, text_of
from cozy_domain.models.deltas import ChoiceFinished, ModelDelta, TextDelta, UsageReported
from cozy_domain.models.request import Feature, ModelRequest
from cozy_domain.speech.ports import Hearing, HearingFeature, Language, Mark, Sound, Voicing
from cozy_domain.speech.transcript import Segment, Transcript

NAME = "simulated"
WHOLE = "Tell me something that takes a while."
BEGUN = "Tell me something about the"
"""What is understood of less than `SHORT`: a sentence that goes on."""
SHORT = HEARING_RATE
"""Samples: a second, the silence before and after the words not counted, as the detector cuts it."""
ANSWER = (
    "This is answer {number}. ",
    "It has a second sentence, so that there is something left to interrupt. ",
    "And this is where it ends.",
)
CHARACTER = SPEAKING_RATE // 20
"""Samples that the voice needs for a character: 50 ms, as fast as people read aloud."""
WORD = 8
"""Characters of sound that come at once."""


class Simulation(msgspec.Struct, frozen=True):
    """Seconds to the final transcript, to the model's first word and to the voice's first sound."""

    transcript_s: float = 0.0
    first_word_s: float = 0.0
    first_sound_s: float = 0.0


class SimulatedSpeechToText:
    """Takes ``delay_s`` from the end of the sound to its text."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def features(self) -> frozenset[HearingFeature]:
        return frozenset({HearingFeature.PARTIALS})

    def languages(self) -> frozenset[Language] | None:
        return None

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        await _passed(self._delay_s)
        return _understood(len(sound), hearing)

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator["SimulatedUtterance"]:
        yield SimulatedUtterance(self._delay_s, hearing)


class SimulatedUtterance:
    def __init__(self, delay_s: float, hearing: Hearing) -> None:
        self._delay_s = delay_s
        self._hearing = hearing
        self._samples = 0

    async def feed(self, samples: bytes) -> str:
        self._samples += len(samples) // SAMPLE_BYTES
        return _understood(self._samples, self._hearing).text

    async def finish(self) -> Transcript:
        await _passed(self._delay_s)
        return _understood(self._samples, self._hearing)


class SimulatedLanguageModel:
    """Takes ``delay_s`` to its first word; then all is there."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelDelta]]:
        async with aclosing(self._deltas(request)) as deltas:
            yield deltas

    def features(self, model: str) -> frozenset[Feature]:  # noqa: ARG002  the port asks by model
        return frozenset(Feature)

    async def list_models(self) -> tuple[str, ...]:
        return (NAME,)

    async def _deltas(self, request: ModelRequest) -> AsyncGenerator[ModelDelta]:
        number = sum(_is_the_users(it) for it in request.messages)
        await _passed(self._delay_s)
        for sentence in ANSWER:
            yield TextDelta(sentence.format(number=number))
        yield ChoiceFinished("stop")
        yield UsageReported(Usage(prompt_tokens=len(request.messages), completion_tokens=30, known=True))


class SimulatedTextToSpeech:
    """Takes ``delay_s`` to its first sound; then all is there."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    async def voices(self) -> tuple[str, ...]:
        return ()

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:  # noqa: ARG002
        await _passed(self._delay_s)
        async with aclosing(_sounds(text)) as sounds:
            yield sounds


async def _sounds(text: str) -> AsyncGenerator[Sound]:
    for start in range(0, len(text), WORD):
        word = text[start : start + WORD]
        samples = b"".join(_note(it) for it in word)
        yield Sound(samples, (Mark(start, start * CHARACTER),))


def _note(character: str) -> bytes:
    """One that is the character's own; a space is silent."""
    return _tone(0 if character.isspace() else 200 + 10 * (ord(character) % 40))


@lru_cache(64)
def _tone(pitch: int) -> bytes:
    return tone(pitch, CHARACTER)


def _is_the_users(message: Message) -> bool:
    """And not what the engine shows the model as data."""
    return isinstance(message, UserMessage) and not text_of(message.content).startswith(OPEN)


def _understood(samples: int, hearing: Hearing) -> Transcript:
    text = WHOLE if samples >= SHORT else BEGUN
    return Transcript(text, hearing.language, segments=(Segment(text, 0, samples),))


async def _passed(seconds: float) -> None:
    """A delay of nothing is none, not even a turn of the event loop."""
    if seconds > 0:
        await asyncio.sleep(seconds)
