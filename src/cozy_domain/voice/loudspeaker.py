"""What a call plays: the sound of segments, in the order that the session gives, and no further ahead than
it must.

Nothing here waits or decides. Counts are samples at `SPEAKING_RATE` since the call began, over all its lines.
"""

import array
import sys
from collections import deque

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.voice.ports import AudioPeer

PIECE = SPEAKING_RATE // 25
"""Samples handed to the line at once: 40 ms, two frames."""
WHOLE = 100
"""Percent: the volume as it was made."""


class Loudspeaker:
    """``ahead`` samples lie with the line at most."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.played = 0
        self.sent = 0
        self._line: AudioPeer | None = None
        self._earlier = 0
        self._segments: dict[int, bytearray] = {}
        self._waiting: deque[memoryview] = deque()
        self._percent = WHOLE
        self._paused = False

    @property
    def idle(self) -> bool:
        """Whether all that was to be played has left."""
        return not self._waiting and (self._line is None or not self._line.queued)

    def connect(self, line: AudioPeer) -> None:
        """Plays there from now on; what the line before had not played is lost."""
        self._line = line
        self._earlier = self.sent = self.played
        self._waiting.clear()
        self._paused = False

    def made(self, segment: int, samples: bytes) -> None:
        """More of a segment's sound; it is kept until it is enqueued or dropped."""
        self._segments.setdefault(segment, bytearray()).extend(samples)

    def drop(self, segment: int) -> None:
        self._segments.pop(segment, None)

    def enqueue(self, segment: int, samples: int) -> None:
        """The next ``samples`` of the segment follow what is queued."""
        if sound := self._segments.get(segment):
            size = samples * SAMPLE_BYTES
            self._waiting.append(memoryview(bytes(sound[:size])))
            del sound[:size]
            if not sound:
                del self._segments[segment]
            self.feed()

    def left(self, samples: int) -> None:
        """The line says that so many have left since it began."""
        self.played = max(self.played, self._earlier + samples)
        self.feed()

    def pause(self) -> None:
        self._paused = True
        if self._line:
            self._line.pause()

    def resume(self) -> None:
        self._paused = False
        self._percent = WHOLE
        if self._line:
            self._line.resume()
        self.feed()

    def fade(self, percent: int) -> None:
        """From the next piece on: what the line has already is as loud as it was."""
        self._percent = percent

    def clear(self) -> int:
        """Silence; how much was played in the end."""
        self._waiting.clear()
        self._paused = False
        self._percent = WHOLE
        if self._line:
            self.played = max(self.played, self._earlier + self._line.clear())
        self.sent = self.played
        return self.played

    def feed(self) -> None:
        """Hands the line what it may have now."""
        line = self._line
        if line is None or self._paused:
            return
        while self._waiting and line.queued < self.ahead:
            first = self._waiting[0]
            piece = first[: PIECE * SAMPLE_BYTES]
            if len(piece) == len(first):
                self._waiting.popleft()
            else:
                self._waiting[0] = first[len(piece) :]
            self.sent += len(piece) // SAMPLE_BYTES
            line.play(bytes(piece) if self._percent == WHOLE else quieter(bytes(piece), self._percent))


def quieter(samples: bytes, percent: int) -> bytes:
    """PCM16 at so much of its volume."""
    numbers = array.array("h", samples)
    if sys.byteorder == "big":
        numbers.byteswap()
    scaled = array.array("h", (it * percent // 100 for it in numbers))
    if sys.byteorder == "big":
        scaled.byteswap()
    return scaled.tobytes()
