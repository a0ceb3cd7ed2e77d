"""The server side of the benchmark, in a process of its own: offers come in as lines of JSON, answers go out likewise.

``ours`` echoes over `WebRtcConnections`; ``bare`` is what a program of nothing but aiortc does: it sends the caller's track
back. Both on uvloop.
"""

import array
import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from cozy_adapters.clock import SystemClock
from cozy_adapters.webrtc.connections import WebRtcConnections
from cozy_domain.audio import HEARING_RATE
from cozy_domain.voice.ports import AudioPeer

LOUD = 1_000
"""Largest sample of sound that is sent back; a persona answers nothing to silence either."""
STEP = 3
"""24 kHz from 16 kHz: of three samples, the middle one lies between two."""


class Echo:
    """A listener that plays what it hears, if it is loud."""

    def __init__(self, peer: AudioPeer) -> None:
        self._peer = peer

    def connected(self) -> None:
        pass

    def heard(self, samples: bytes) -> None:
        values = array.array("h", samples)
        if max(values, default=0) > LOUD:
            self._peer.play(faster(values))

    def told(self, message: str) -> None:
        pass

    def played(self, samples: int) -> None:
        pass

    def lost(self, silent_ns: int) -> None:
        pass

    def resumed(self) -> None:
        pass

    def ended(self, reason: str) -> None:
        pass


def faster(values: "array.array[int]") -> bytes:
    """16 kHz to 24 kHz, just well enough for a tone."""
    out = array.array("h", bytes(len(values) // 2 * STEP * 2))
    even, odd = values[0::2], values[1::2]
    out[0::STEP] = even
    out[1::STEP] = odd
    out[2::STEP] = odd
    return out.tobytes()


async def ours() -> Callable[[str, str], Awaitable[str]]:
    connections = WebRtcConnections(SystemClock())

    async def answer(name: str, offer: str) -> str:
        answered = await connections.answer(name, offer)
        answered.peer.listen(Echo(answered.peer))
        return answered.sdp

    return answer


async def bare() -> Callable[[str, str], Awaitable[str]]:
    kept: list[RTCPeerConnection] = []

    async def answer(name: str, offer: str) -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        kept.append(connection)

        @connection.on("track")
        def track(found: Any) -> None:
            connection.addTrack(found)

        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp

    return answer


async def main(kind: str) -> None:
    answer = await {"ours": ours, "bare": bare}[kind]()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worst = 0.0

    async def watch() -> None:
        """The longest that the loop was late."""
        nonlocal worst
        while True:
            at = loop.time()
            await asyncio.sleep(0.1)
            worst = max(worst, loop.time() - at - 0.1)

    watching = asyncio.create_task(watch())
    while line := await reader.readline():
        asked = json.loads(line)
        if "offer" in asked:
            told: dict[str, Any] = {"answer": await answer(asked["name"], asked["offer"])}
        else:
            told = {
                "cpu_s": time.process_time(),
                "lag_ms": worst * 1_000,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024,
            }
            worst = 0.0
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    watching.cancel()


if __name__ == "__main__":
    assert HEARING_RATE * STEP == 48_000
    uvloop.run(main(sys.argv[1]))
