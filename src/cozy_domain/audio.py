"""Sound as values. Inside, it is mono and signed 16-bit little-endian ("PCM16"); positions and lengths are integer samples.

Recognition hears 16 kHz, because that is what the models of the field are trained on; voices speak 24 kHz, which is what
OpenAI's ``pcm`` is and what callers get.
"""

from enum import StrEnum

import msgspec

HEARING_RATE = 16_000
"""Samples a second of everything that is listened to."""
SPEAKING_RATE = 24_000
"""Samples a second of everything that is spoken."""
SAMPLE_BYTES = 2


class AudioFormat(StrEnum):
    """What speech is written as; ``pcm`` is `SPEAKING_RATE` without a header (OpenAI, audio/speech)."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"


class Pcm(msgspec.Struct, frozen=True):
    """``samples`` is PCM16, whole samples only; ``rate`` is in hertz."""

    samples: bytes
    rate: int = HEARING_RATE

    def __len__(self) -> int:
        return len(self.samples) // SAMPLE_BYTES

    @property
    def seconds(self) -> float:
        return len(self) / self.rate


class Upload(msgspec.Struct, frozen=True):
    """A sound file as somebody sent it: its name and media type are claims, and only its bytes are believed."""

    data: bytes
    filename: str = ""
    media_type: str = ""
