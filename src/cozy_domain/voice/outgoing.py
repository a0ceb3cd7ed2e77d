"""What is to be played, cut into frames that leave at the pace of real time (pure).

A frame is cut only when it is due: what has not left can be paused or forgotten at once, and nothing that was sent has to be
called back. ``due_ns`` is when to call ``take``; without anything to play it is None, and nobody needs to look. The clock of
the frames goes on through silence. All times are monotonic nanoseconds.
"""

import msgspec

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE

SECOND = 1_000_000_000
FRAME = SPEAKING_RATE // 50
"""Samples of a frame: 20 ms, the unit of RTP audio."""
FRAME_NS = SECOND // 50
TAIL = 5
"""Silent frames that leave after sound. Without them a receiver that waits for what follows keeps the last frames back (the
one of aiortc keeps four), and one that makes up for missing packets spins the last sound out."""
LATE_NS = SECOND // 5
"""Whoever takes frames later than this has missed them: the rest leaves at its pace from then on, instead of all at once."""


class Frame(msgspec.Struct, frozen=True):
    """``samples`` is a whole `FRAME` of PCM16; the first ``spoken`` ones of it were given, the rest is silence.
    ``position`` is when it leaves, in samples since the first frame."""

    samples: bytes
    position: int
    spoken: int


class Outgoing:
    """``left`` counts the samples that have left since the beginning."""

    def __init__(self) -> None:
        self.left = 0
        self.paused = False
        self._queue = bytearray()
        self._tail = 0
        self._origin_ns: int | None = None
        self._next_ns = 0
        self._position = 0
        self._running = False

    @property
    def queued(self) -> int:
        return len(self._queue) // SAMPLE_BYTES

    @property
    def due_ns(self) -> int | None:
        """When the next frame leaves; a time that has passed means now."""
        return self._next_ns if self._sounding or self._tail else None

    def play(self, samples: bytes) -> None:
        """Whole samples of PCM16 at `SPEAKING_RATE`."""
        self._queue += samples

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def clear(self) -> int:
        """Forgets what has not left, and no longer pauses: ``left``."""
        self._queue.clear()
        self.paused = False
        return self.left

    def take(self, at_ns: int) -> Frame | None:
        """The frame that leaves now, or None if none is due."""
        due = self.due_ns
        if due is None or due > at_ns:
            return None
        self._keep_pace(at_ns)
        cut = b""
        if self._sounding:
            cut = bytes(self._queue[: FRAME * SAMPLE_BYTES])
            del self._queue[: FRAME * SAMPLE_BYTES]
            self._tail = TAIL
        else:
            self._tail -= 1
        spoken = len(cut) // SAMPLE_BYTES
        self.left += spoken
        frame = Frame(cut.ljust(FRAME * SAMPLE_BYTES, b"\0"), self._position, spoken)
        self._position += FRAME
        self._next_ns += FRAME_NS
        self._running = self._sounding or self._tail > 0
        return frame

    @property
    def _sounding(self) -> bool:
        return bool(self._queue) and not self.paused

    def _keep_pace(self, at_ns: int) -> None:
        """After silence, or when too much was missed, the clock of the frames is set to what has really passed."""
        if self._origin_ns is None:
            self._origin_ns = self._next_ns = at_ns
        elif at_ns - self._next_ns > (LATE_NS if self._running else 0):
            self._next_ns = at_ns
            self._position = max(self._position, (at_ns - self._origin_ns) * SPEAKING_RATE // SECOND)
