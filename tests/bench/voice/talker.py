"""A caller who talks with a persona and costs little: what he says is encoded once for all callers, and what comes back is
decoded, to tell sound from silence, and not played. The size of a packet does not tell them: what leaves behind the last
word is as large as the word, and at -53 dBFS nobody hears it."""

import asyncio
import json
import random
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from cozy_adapters.codec.frames import OpusDecoder
from cozy_adapters.webrtc import internals
from tests.bench.voice.speech import Phrase
from tests.fixtures.calls import until
from tests.fixtures.webrtc import lose_media

FRAME_S = 0.02
TICKS = 960
AUDIBLE = 104
"""-50 dBFS: 34 dB below a simulated voice."""
GAP_S = 0.4
"""Between two words of a simulated voice there are 0.05 s; a reply that is silent for longer is over."""


class Mouth(MediaStreamTrack):
    """A microphone that is on all the time."""

    kind = "audio"

    def __init__(self, silence: bytes) -> None:
        super().__init__()
        self._silence = silence
        self._words: deque[bytes] = deque()
        self._frames = 0
        self._start = 0.0
        self._first: asyncio.Future[float] | None = None
        self._last: asyncio.Future[float] | None = None

    async def say(self, phrase: Phrase) -> tuple[float, float]:
        """When the first packet left, and when the last."""
        loop = asyncio.get_running_loop()
        self._first, self._last = loop.create_future(), loop.create_future()
        self._words.extend(phrase.packets)
        return await self._first, await self._last

    async def recv(self) -> "av.Packet[Any]":
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time() + random.random() * FRAME_S
        await asyncio.sleep(self._start + self._frames * FRAME_S - loop.time())
        self._frames += 1
        packet: av.Packet[Any] = av.Packet(self._next())
        packet.pts = self._frames * TICKS
        packet.time_base = Fraction(1, 48_000)
        return packet

    def _next(self) -> bytes:
        if not self._words:
            return self._silence
        word = self._words.popleft()
        now = time.monotonic()
        if self._first is not None and not self._first.done():
            self._first.set_result(now)
        if self._last is not None and not self._words:
            self._last.set_result(now)
        return word


class Talker:
    """``events`` are ours, in order, each with its time; ``loud`` the times of packets with sound. ``clocks`` are the time
    and the RTP timestamp of the first packet and of the latest one."""

    def __init__(self, silence: bytes, loss: float = 0.0) -> None:
        self.mouth = Mouth(silence)
        self.loud: list[float] = []
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.clocks: list[tuple[float, int]] = []
        self._loss = loss
        self._chance = random.Random(3)
        self._ear = OpusDecoder()
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        internals.receive_packets(self.connection.addTransceiver(self.mouth), self._arrived)
        self.channel: Any = self.connection.createDataChannel("text")
        self.channel.on("message", self._told)

    async def call(self, offered: Callable[[str], Any]) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = await offered(self.connection.localDescription.sdp)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        internals.read_directly(self.connection, lambda: None)
        lose_media(self.connection, lambda: self._chance.random() < self._loss)
        await until(lambda: self.connection.connectionState == "connected", 60)

    async def hang_up(self) -> None:
        await self.connection.close()

    def silent_for(self) -> float:
        return time.monotonic() - self.loud[-1] if self.loud else float("inf")

    def first_loud_after(self, at: float) -> float | None:
        place = bisect_right(self.loud, at)
        return self.loud[place] if place < len(self.loud) else None

    def last_loud_before_gap(self, after: float) -> float | None:
        """Of the sound that was under way at ``after``: its last packet."""
        place = bisect_right(self.loud, after)
        last = self.loud[place - 1] if place else None
        if last is None or after - last > GAP_S:
            return None
        for it in self.loud[place:]:
            if it - last > GAP_S:
                break
            last = it
        return last

    def first_sound_after(self, at: float) -> float | None:
        """The first packet of what begins to sound after it, and not the rest of what sounded before."""
        for place in range(bisect_right(self.loud, at), len(self.loud)):
            if place == 0 or self.loud[place] - self.loud[place - 1] > GAP_S:
                return self.loud[place]
        return None

    def told_by(self, at: float) -> int:
        """How many events had been told by then."""
        return bisect_right(self.events, at, key=lambda it: it[0])

    def told(self, kind: str, since: int = 0) -> list[tuple[float, dict[str, Any]]]:
        return [it for it in self.events[since:] if it[1]["type"] == kind]

    def _arrived(self, source: int, sequence: int, timestamp: int, payload: bytes) -> None:
        if self._chance.random() < self._loss:
            return
        now = time.monotonic()
        self.clocks[1:] = [(now, timestamp)]
        sound = memoryview(self._ear.decode(payload)).cast("h")
        if max(sound) > AUDIBLE or min(sound) < -AUDIBLE:
            self.loud.append(now)

    def _told(self, message: str) -> None:
        found = json.loads(message)
        if found["type"] == "cozy":
            self.events.append((time.monotonic(), found["data"]))
