"""What is sent: one track that hands out Opus packets when they are due, and sleeps when there is nothing to say."""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack

from cozy_adapters.codec.frames import OpusEncoder
from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.voice.incoming import RTP_RATE
from cozy_domain.voice.outgoing import SECOND, Outgoing

TICK = Fraction(1, RTP_RATE)


class SpokenTrack(MediaStreamTrack):
    """aiortc sends an ``av.Packet`` as it is: no thread encodes it, and no loudness is computed for it. ``sent`` is called
    with every frame that leaves, when it does."""

    kind = "audio"

    def __init__(self, outgoing: Outgoing, sent: Callable[[int], None]) -> None:
        super().__init__()
        self._outgoing = outgoing
        self._sent = sent
        self._encoder: OpusEncoder | None = None
        self._changed = asyncio.Event()
        self._held = False

    def change(self) -> None:
        """There may be something to play now."""
        self._changed.set()

    def hold(self, held: bool) -> None:
        """While it is held nothing leaves, and what is queued waits."""
        self._held = held
        self._changed.set()

    async def recv(self) -> "av.Packet[Any]":
        while True:
            self._changed.clear()
            due = None if self._held else self._outgoing.due_ns
            now = time.monotonic_ns()
            if due is None:
                await self._changed.wait()
            elif due > now:
                await asyncio.sleep((due - now) / SECOND)
            elif frame := self._outgoing.take(now):
                if self._encoder is None:
                    self._encoder = OpusEncoder()
                packet: av.Packet[Any] = av.Packet(self._encoder.encode(frame.samples))
                packet.pts = frame.position * RTP_RATE // SPEAKING_RATE
                packet.time_base = TICK
                self._sent(frame.spoken)
                return packet
