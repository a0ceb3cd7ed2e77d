"""When sound that is sent over a socket may go out, and how much of it has been heard (pure).

A socket takes whatever it is given, and a client plays what it has, also when it was interrupted: FastRTC's clients know no
message to forget it. So sound leaves only `AHEAD` before it is due. The far end is taken to play the first sample when it is
sent, and the others after it without a gap; when it has run dry, the next sample begins anew.

Positions are samples since the call began, at `SPEAKING_RATE`; times are integer nanoseconds.
"""

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE

FRAME = SPEAKING_RATE // 50
"""Samples in one message: 20 ms, as Twilio and WebRTC have it."""
AHEAD = 5 * FRAME
"""100 ms: what a client has in hand when the network stutters, and what is heard of us after an interruption."""
_SECOND_NS = 1_000_000_000


class Pacing:
    """One way out. ``take_back``: the far end forgets what it has when it is told to; then nothing is lost by a pause, and
    what counts as heard is what was played and not what was sent."""

    def __init__(self, *, take_back: bool) -> None:
        self._take_back = take_back
        self._queue = bytearray()
        self._sent = 0
        self._unheard = b""
        """The last of what was sent, as far as it may come back."""
        self._anchor_ns = 0
        self._anchor = 0
        """The sample that began to sound at the anchor's time."""
        self.paused = False

    @property
    def queued(self) -> int:
        return len(self._queue) // SAMPLE_BYTES

    @property
    def sent(self) -> int:
        return self._sent

    def add(self, samples: bytes) -> None:
        self._queue += samples

    def heard(self, now_ns: int) -> int:
        """What has sounded by then, as far as is known."""
        if not self._take_back:
            return self._sent
        return min(self._sent, self._sounding(now_ns))

    def take(self, now_ns: int) -> bytes:
        """The next message's sound if it is due, else nothing. The last one may be short."""
        if self.paused or not self._queue or self.wait_ns(now_ns):
            return b""
        if self._sounding(now_ns) >= self._sent:  # it has run dry
            self._anchor_ns, self._anchor = now_ns, self._sent
        frame = bytes(self._queue[: FRAME * SAMPLE_BYTES])
        del self._queue[: len(frame)]
        self._sent += len(frame) // SAMPLE_BYTES
        self._unheard = (self._unheard + frame)[-(AHEAD + FRAME) * SAMPLE_BYTES :]
        return frame

    def wait_ns(self, now_ns: int) -> int | None:
        """Until the next message is due; None while there is none."""
        if self.paused or not self._queue:
            return None
        ahead = self._sent - self._sounding(now_ns) - (AHEAD - FRAME)
        return max(0, -(-ahead * _SECOND_NS // SPEAKING_RATE))

    def next_ns(self, now_ns: int) -> int | None:
        """Until there is something to send, or something more has been heard; None while nothing will happen by itself."""
        wait_ns = self.wait_ns(now_ns)
        unheard = self._sent - self.heard(now_ns)
        if not unheard:
            return wait_ns
        rest_ns = unheard * _SECOND_NS // SPEAKING_RATE + 1
        return min(rest_ns, wait_ns or rest_ns)

    def pause(self, now_ns: int) -> None:
        """What was sent and has not sounded is queued again, where the far end forgets it."""
        if self.paused:
            return
        self.paused = True
        self._queue[:0] = self._back(now_ns)

    def resume(self) -> None:
        self.paused = False

    def clear(self, now_ns: int) -> int:
        """Forgets what is queued; the samples that have sounded, which is final."""
        self._back(now_ns)
        self._queue.clear()
        self.paused = False
        return self._sent

    def _back(self, now_ns: int) -> bytes:
        heard = self.heard(now_ns)
        unheard, self._sent = self._sent - heard, heard
        back = self._unheard[len(self._unheard) - unheard * SAMPLE_BYTES :]
        self._unheard = b""
        self._anchor_ns, self._anchor = now_ns, heard
        return back

    def _sounding(self, now_ns: int) -> int:
        return self._anchor + (now_ns - self._anchor_ns) * SPEAKING_RATE // _SECOND_NS
