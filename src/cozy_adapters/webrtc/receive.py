"""Our own receiving side: Opus packets as they arrive, to 16 kHz without holes, on the event loop.

aiortc's audio jitter buffer keeps 80 ms, and 280 ms for the rest of the call after one lost packet; its decoder is a thread
for each track. Here `Incoming` decides, and a packet is decoded where it arrives: that is shorter than a change of threads.
"""

import array
import asyncio
import time
from collections.abc import Callable

from cozy_adapters.codec.frames import OpusDecoder
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES
from cozy_domain.errors import InputError
from cozy_domain.voice.incoming import RTP_RATE, SECOND, Incoming, Missing, Piece, opus_ticks

FADE = HEARING_RATE * 60 // 1_000
"""Samples over which sound that is made up dies away: longer, it would be heard as a word of its own."""
REMEMBERED = FADE * SAMPLE_BYTES


class ReceivedSound:
    """Calls ``heard`` with PCM16 at `HEARING_RATE`."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self.incoming = Incoming()
        self._heard = heard
        self._decoder = OpusDecoder()
        self._source: int | None = None
        self._last = b""
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns: int | None = None
        self._closed = False

    def packet(self, source: int, sequence: int, timestamp: int, payload: bytes) -> None:
        """One RTP packet. A new ``source`` (SSRC) is a new stream."""
        if self._closed:
            return
        if source != self._source:
            self._source, self.incoming = source, Incoming()
        self._pass_on(self.incoming.arrived(sequence, timestamp, payload, time.monotonic_ns()))

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _pass_on(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if isinstance(piece, Missing):
                self._hear(made_up(self._last, piece.ticks * HEARING_RATE // RTP_RATE))
            else:
                self._hear(self._decoded(piece))
        if self.incoming.due_ns != self._armed_ns:
            self._arm(self.incoming.due_ns)

    def _decoded(self, packet: bytes) -> bytes:
        try:
            return self._decoder.decode(packet)
        except InputError:
            return made_up(self._last, opus_ticks(packet) * HEARING_RATE // RTP_RATE)

    def _hear(self, samples: bytes) -> None:
        if samples:
            self._last = samples[-REMEMBERED:]
            self._heard(samples)

    def _arm(self, due_ns: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_ns = due_ns
        if due_ns is not None and not self._closed:
            wait_s = max(due_ns - time.monotonic_ns(), 0) / SECOND
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._waited)

    def _waited(self) -> None:
        self._timer = self._armed_ns = None
        self._pass_on(self.incoming.waited(time.monotonic_ns()))


def made_up(last: bytes, samples: int) -> bytes:
    """So many samples after ``last``: it is played backwards, so that there is no jump, and dies away within `FADE`."""
    sound = array.array("h", last[-min(samples, FADE) * SAMPLE_BYTES :])
    sound.reverse()
    for at in range(len(sound)):
        sound[at] = sound[at] * (FADE - at) // FADE
    return sound.tobytes().ljust(samples * SAMPLE_BYTES, b"\0")
