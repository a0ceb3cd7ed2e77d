"""A long recording in stretches that a recogniser can take at once (pure)."""

import array
import sys
from collections.abc import Iterator

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm

LONGEST = 30 * HEARING_RATE
"""Samples of a stretch that is heard at once: what Whisper takes, and enough for every sentence."""
GRAIN = HEARING_RATE // 10
"""Samples over which quiet is measured."""


def stretches(sound: Pcm) -> Iterator[tuple[int, int]]:
    """From and up to which sample: each at most `LONGEST`, cut at the quietest moment of its second half."""
    start = 0
    while len(sound) - start > LONGEST:
        moments = range(start + LONGEST // 2, start + LONGEST - GRAIN, GRAIN)
        end = min(moments, key=lambda at: _loudness(sound, at)) + GRAIN // 2
        yield start, end
        start = end
    if start < len(sound):
        yield start, len(sound)


def _loudness(sound: Pcm, at: int) -> int:
    """Over `GRAIN` samples from ``at``; only comparable with itself."""
    samples = array.array("h", sound.samples[at * SAMPLE_BYTES : (at + GRAIN) * SAMPLE_BYTES])
    if sys.byteorder == "big":
        samples.byteswap()
    return sum(map(abs, samples))
