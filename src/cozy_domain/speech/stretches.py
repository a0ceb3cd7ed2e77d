"""A long recording in stretches that a recogniser can take at once (pure)."""

import struct
from collections.abc import Iterator

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm

LONGEST = 30 * HEARING_RATE
"""Samples that are heard at once by models that take no more: Whisper's half a minute, and enough for every sentence."""
SEARCHED = 15 * HEARING_RATE
"""Samples before the end of a stretch among which the quietest moment is looked for; it takes 10 ms."""
GRAIN = HEARING_RATE // 10
"""Samples over which quiet is measured."""


def stretches(sound: Pcm, longest: int = LONGEST) -> Iterator[tuple[int, int]]:
    """From and up to which sample: each at most ``longest`` (of at least 1 s), cut at the quietest moment of its end."""
    start = 0
    searched = min(SEARCHED, longest // 2)
    while len(sound) - start > longest:
        moments = range(start + longest - searched, start + longest - GRAIN, GRAIN)
        end = min(moments, key=lambda at: _loudness(sound, at)) + GRAIN // 2
        yield start, end
        start = end
    if start < len(sound):
        yield start, len(sound)


def _loudness(sound: Pcm, at: int) -> int:
    """Over `GRAIN` samples from ``at``; only comparable with itself."""
    samples = sound.samples[at * SAMPLE_BYTES : (at + GRAIN) * SAMPLE_BYTES]
    return sum(map(abs, struct.unpack(f"<{len(samples) // SAMPLE_BYTES}h", samples)))
