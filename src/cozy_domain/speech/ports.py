"""Ports to speech technology. The caller owns time: cancelling ends the work at once, and nothing here has a timeout."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

import msgspec

from cozy_domain.audio import HEARING_RATE, AudioFormat, Pcm, Upload
from cozy_domain.speech.transcript import Transcript

Language = str
"""ISO 639-1, or a BCP 47 tag that starts with it: ``en``, ``zh``, ``zh-CN``."""


class HearingFeature(StrEnum):
    """What a recogniser may or may not be able to do; what is asked and missing is refused by name."""

    WORD_TIMES = "word timestamps"
    TRANSLATION = "translation"
    PARTIALS = "partial results"


class Hearing(msgspec.Struct, frozen=True):
    """How to listen. ``prompt`` is what was said before or how names are written (at most 224 tokens count at OpenAI);
    ``phrases`` are all that can be said, for recognisers that can be held to them; ``temperature`` is 0..1;
    ``translate`` asks for English, ``partials`` for what is understood while it is spoken."""

    language: Language | None = None
    prompt: str = ""
    phrases: tuple[str, ...] = ()
    temperature: float | None = None
    word_times: bool = False
    translate: bool = False
    partials: bool = False


class Utterance(Protocol):
    """One stretch of speech being heard."""

    async def feed(self, samples: bytes) -> str:
        """Hears PCM16 at `HEARING_RATE`; the text so far, empty where the recogniser has no partial results.

        Raises:
            ProviderError: one of its kinds.
        """
        ...

    async def finish(self) -> Transcript:
        """What was said; positions count from the first sample fed. Called once, last.

        Raises:
            ProviderError: one of its kinds.
        """
        ...


class SpeechToText(Protocol):
    """A recogniser."""

    def features(self) -> frozenset[HearingFeature]: ...

    def languages(self) -> frozenset[Language] | None:
        """ISO 639-1 codes of those it hears; None where it tells nobody, and may hear any. It refuses others, and what names
        no language it takes for one of these."""
        ...

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        """The whole of a recording, at `HEARING_RATE`. Silence gives an empty text.

        Raises:
            LimitError: it has too much to hear; that is no failure of the recogniser.
            ProviderError: one of its kinds.
        """
        ...

    def listen(self, hearing: Hearing) -> AbstractAsyncContextManager[Utterance]:
        """Hears one utterance while it is spoken. Leaving the context without ``finish`` forgets it.

        Raises:
            LimitError: on entering, as above.
            ProviderError: on entering, one of its kinds.
        """
        ...


class Voicing(msgspec.Struct, frozen=True):
    """How to speak. ``voice`` is the adapter's own name for one, None its default for ``language``; ``speed`` is 0.25..4,
    1 is natural; ``instructions`` say how it should sound, where a voice can follow them."""

    voice: str | None = None
    language: Language | None = None
    speed: float = 1.0
    instructions: str = ""


class Mark(msgspec.Struct, frozen=True):
    """The character at ``index`` of the text begins to sound at ``sample`` (of `SPEAKING_RATE`, from the beginning)."""

    index: int
    sample: int


class Sound(msgspec.Struct, frozen=True):
    """A piece of speech: PCM16 at `SPEAKING_RATE`, and the marks that fall into it, where the voice knows them."""

    samples: bytes
    marks: tuple[Mark, ...] = ()


class TextToSpeech(Protocol):
    """Voices."""

    def speak(self, text: str, voicing: Voicing) -> AbstractAsyncContextManager[AsyncIterator[Sound]]:
        """``text`` as sound, each piece as soon as it is there. Entering waits for the engine to accept the order; leaving
        early stops the synthesis.

        Raises:
            InputError: ``unknown_voice``, naming some of those there are.
            LimitError: it has too much to say; that is no failure of the voice.
            ProviderError: one of its kinds; also from the iterator, when the stream breaks.
        """
        ...

    async def voices(self) -> tuple[str, ...]:
        """The names that ``Voicing.voice`` accepts; empty when anything is passed on.

        Raises:
            ProviderError: one of its kinds.
        """
        ...


class AudioEncoder(Protocol):
    """Writes one file while its sound is still being made."""

    async def encode(self, samples: bytes) -> bytes:
        """Takes PCM16 at `SPEAKING_RATE`; what can be sent now, possibly nothing."""
        ...

    async def finish(self) -> bytes:
        """The rest of the file. Called once, last."""
        ...


class FrameDecoder(Protocol):
    """Turns packets of a live stream into sound."""

    def decode(self, packet: bytes) -> bytes:
        """PCM16 at `HEARING_RATE`.

        Raises:
            InputError: ``invalid_audio``: not a packet of the stream's format.
        """
        ...


class AudioCodec(Protocol):
    """Audio files and packets."""

    async def decode(self, upload: Upload) -> Pcm:
        """A whole file as `HEARING_RATE` mono. Its bytes are untrusted: decoding happens in a process of its own, with
        limits of time, memory and decoded seconds.

        Raises:
            InputError: ``invalid_audio`` with the reason (empty, no format that we read, broken, a playlist),
                ``audio_too_long``.
        """
        ...

    def encoder(self, kind: AudioFormat) -> AudioEncoder: ...

    def opus(self) -> FrameDecoder:
        """For the Opus packets (RFC 6716) of one stream, mono or stereo."""
        ...

    def resampler(self, rate: int, wanted: int = HEARING_RATE) -> FrameDecoder:
        """For PCM16 mono at ``rate`` hertz, 8,000 to 48,000, which becomes ``wanted`` hertz; its packets may have any length
        of whole samples."""
        ...


class VoiceActivityStream(Protocol):
    """One microphone."""

    async def probability(self, window: bytes) -> float:
        """Of speech, 0..1, in the next `WINDOW` samples (PCM16, `HEARING_RATE`), in the order heard. The next ones may
        be asked about before this is answered.

        Raises:
            ProviderUnavailableError: ``not_configured``: the detector cannot be loaded.
        """
        ...


class VoiceActivity(Protocol):
    """A detector of speech, shared by all microphones."""

    def open(self) -> VoiceActivityStream:
        """A new microphone, from silence."""
        ...


WINDOW = 512
"""Samples that a detector judges at once: 32 ms at `HEARING_RATE` (Silero VAD v5, fixed by its model)."""
