"""The header of a WAV file. It needs no FFmpeg, so whoever only sends PCM need not have it."""

import struct

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE

UNKNOWN_LENGTH = 0xFFFF_FFFF
"""What a WAV header says whose end is not known yet."""


def wav_header(length: int | None = None, rate: int = SPEAKING_RATE) -> bytes:
    """The 44 bytes before PCM16 mono of ``length`` bytes (Microsoft, Multimedia Programming Interface 1.0, 1991)."""
    known = UNKNOWN_LENGTH if length is None else length
    riff = min(UNKNOWN_LENGTH, known + 36)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(
            b"RIFF",
            riff,
            b"WAVE",
            b"fmt ",
            16,
            1,
            1,
            rate,
            rate * SAMPLE_BYTES,
            SAMPLE_BYTES,
            16,
            b"data",
            known,
        ),
    )
