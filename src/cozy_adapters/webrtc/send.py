"""Our own sending side: frames to Opus packets when they are due, on the event loop, and nothing while nothing is said."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from cozy_adapters.codec.frames import OpusEncoder
from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.voice.incoming import MS, RTP_RATE
from cozy_domain.voice.outgoing import Outgoing


class Way(Protocol):
    """Where packets leave, with the time of each in ticks of `RTP_RATE` since the first; and whether they can."""

    @property
    def open(self) -> bool: ...

    def send(self, timestamp: int, payload: bytes) -> None: ...


class SpokenSound:
    """``sent`` is called with the spoken samples of every frame that leaves, when it does."""

    def __init__(self, outgoing: Outgoing, sent: Callable[[int], None]) -> None:
        self._outgoing = outgoing
        self._sent = sent
        self._way: Way | None = None
        self._encoder: OpusEncoder | None = None
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns: int | None = None

    def leave_by(self, way: Way) -> None:
        """To be called before anything is played; ``change`` follows when the way is open."""
        self._way = way

    def change(self) -> None:
        """There may be something to play now, or no more."""
        due_ns = None if self._held or self._way is None or not self._way.open else self._outgoing.due_ns
        if due_ns == self._armed_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_ns = due_ns
        if due_ns is not None:
            # Event loops count milliseconds, and would come too early.
            wait_ms = -((time.monotonic_ns() - due_ns) // MS)
            self._timer = asyncio.get_running_loop().call_later(max(wait_ms, 0) / 1_000, self._leave)

    def hold(self, held: bool) -> None:
        """While it is held nothing leaves, and what is queued waits."""
        self._held = held
        self.change()

    def close(self) -> None:
        """Nothing leaves any more."""
        self._way = None
        self.change()

    def _leave(self) -> None:
        self._timer = self._armed_ns = None
        frame = self._outgoing.take(time.monotonic_ns())
        if frame is not None and self._way is not None:
            self._encoder = self._encoder or OpusEncoder()
            self._way.send(frame.position * RTP_RATE // SPEAKING_RATE, self._encoder.encode(frame.samples))
            self._sent(frame.spoken)
        self.change()
