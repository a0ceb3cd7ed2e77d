"""Callers over WebRTC that cost little: their sound is encoded once for all of them, and of what comes back only the size of
the packets is looked at, which tells a tone from silence."""

import array
import asyncio
import math
import random
import time
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from cozy_adapters.codec.frames import OpusEncoder
from cozy_adapters.webrtc import internals
from cozy_domain.audio import SPEAKING_RATE
from tests.fixtures.webrtc import lose_media

FRAME_S = 0.02
TICKS = 960
BURST_S = 0.3
EVERY_S = 1.0
TONE_BYTES = 40
"""Smallest packet of a tone; silence has less than 15 bytes in both servers' encoders."""


def packets(volume: int) -> list[bytes]:
    """A second of a tone, or of silence."""
    encoder = OpusEncoder()
    frame = SPEAKING_RATE // 50
    values = array.array(
        "h",
        (
            round(
                volume * math.sin(2 * math.pi * 440 * it / SPEAKING_RATE)
                + volume / 3 * math.sin(it * it / 7e5)
            )
            for it in range(SPEAKING_RATE)
        ),
    ).tobytes()
    return [encoder.encode(values[at : at + frame * 2]) for at in range(0, len(values), frame * 2)]


class Mouth(MediaStreamTrack):
    """``mode``: ``silent``, ``talking`` all the time, or ``bursts`` of `BURST_S` every `EVERY_S`."""

    kind = "audio"

    def __init__(self, tone: list[bytes], silence: list[bytes]) -> None:
        super().__init__()
        self.mode = "silent"
        self.onsets: list[float] = []
        self._tone, self._silence = tone, silence
        self.frames = 0
        self._start = 0.0

    async def recv(self) -> "av.Packet[Any]":
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time() + random.random() * FRAME_S
        await asyncio.sleep(self._start + self.frames * FRAME_S - loop.time())
        self.frames += 1
        at = self.frames % round(EVERY_S / FRAME_S)
        loud = self.mode == "talking" or (self.mode == "bursts" and at < BURST_S / FRAME_S)
        if self.mode == "bursts" and at == 0:
            self.onsets.append(time.monotonic())
        packet: av.Packet[Any] = av.Packet((self._tone if loud else self._silence)[self.frames % 50])
        packet.pts = self.frames * TICKS
        packet.time_base = Fraction(1, 48_000)
        return packet


class LightCaller:
    """``onsets`` are the times at which a tone came back after silence."""

    def __init__(self, tone: list[bytes], silence: list[bytes], loss: float = 0.0) -> None:
        self.mouth = Mouth(tone, silence)
        self.onsets: list[float] = []
        self.received = 0
        self._loss = loss
        self._chance = random.Random(3)
        self._loud_at = 0.0
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        internals.receive_packets(self.connection.addTransceiver(self.mouth), self._arrived)
        self.connection.createDataChannel("text")

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        internals.read_directly(self.connection, lambda: None)
        lose_media(self.connection, lambda: self._chance.random() < self._loss)

    def _arrived(self, source: int, sequence: int, timestamp: int, payload: bytes) -> None:
        self.received += 1
        if len(payload) >= TONE_BYTES:
            now = time.monotonic()
            if now - self._loud_at > BURST_S:
                self.onsets.append(now)
            self._loud_at = now

    def delays(self) -> list[float]:
        """Milliseconds from each burst to what came back of it; one that did not come back is left out."""
        found = []
        for began in self.mouth.onsets:
            back = [it for it in self.onsets if began <= it < began + EVERY_S]
            if back:
                found.append((back[0] - began) * 1_000)
        return found
