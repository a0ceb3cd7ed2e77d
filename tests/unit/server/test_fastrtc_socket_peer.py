"""A line over a socket: pace, pauses, orders, and what becomes of clients that send too much or read too little."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from cozy_domain.voice.ports import CLOSED, FAILED, HUNG_UP, VANISHED
from cozy_server.fastrtc.frames import Media, read
from cozy_server.fastrtc.marks import PATIENCE_NS
from cozy_server.fastrtc.pacing import FRAME
from cozy_server.fastrtc.socket_peer import (
    IDLE_S,
    MESSAGES,
    MOST_MESSAGES,
    SEND_S,
    SURPLUS_NS,
    Ending,
    SocketPeer,
    SocketSound,
)
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time

RAW = SocketSound(hear=lambda it: it, speak=lambda it: it)
STOP = json.dumps({"event": "stop"})


def heard(samples: int) -> str:
    return json.dumps({"event": "media", "media": {"payload": b64encode(bytes(2 * samples)).decode()}})


@dataclass
class Listener:
    """What a line told, with the time in ms of what has one."""

    connections: int = 0
    samples: int = 0
    words: list[str] = field(default_factory=list)
    played_at: list[tuple[int, int]] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)

    def connected(self) -> None:
        self.connections += 1

    def heard(self, samples: bytes) -> None:
        self.samples += len(samples) // 2

    def told(self, message: str) -> None:
        self.words.append(message)

    def played(self, samples: int) -> None:
        self.played_at.append((now_ms(), samples))

    def lost(self, silent_ns: int) -> None:
        raise AssertionError

    def resumed(self) -> None:
        raise AssertionError

    def ended(self, reason: str) -> None:
        self.endings.append(reason)


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1_000)


class Client:
    """The far end: what it sends, and what it has read."""

    def __init__(self, messages: Iterable[str | float] = (), *, then: str | None = "wait") -> None:
        """``messages``, and numbers of seconds between them; ``then`` it waits, or is gone (None)."""
        self._messages = list(messages)
        self._then = then
        self.read: list[tuple[int, Any]] = []
        self.deaf = asyncio.Event()
        self.deaf.set()

    async def receive(self) -> str | None:
        while self._messages:
            message = self._messages.pop(0)
            if isinstance(message, str):
                return message
            await asyncio.sleep(message)
        if self._then is None:
            return None
        await asyncio.get_running_loop().create_future()
        return None

    async def send(self, message: str) -> None:
        await self.deaf.wait()
        self.read.append((now_ms(), json.loads(message)))

    @property
    def sound(self) -> list[tuple[int, int]]:
        """When and how many samples."""
        frames = [(at, read(json.dumps(it))) for at, it in self.read]
        return [(at, len(it.payload) // 2) for at, it in frames if isinstance(it, Media)]

    @property
    def events(self) -> list[str]:
        return [it.get("event") or it["type"] for _, it in self.read]


async def test_a_telephone_has_played_the_end_of_a_reply_when_it_says_so() -> None:
    peer, listener = SocketPeer(RAW, LoopClock(), take_back=True, stream_sid="MZ1"), Listener()
    peer.listen(listener)
    peer.play(bytes(2 * 10 * FRAME))
    client = Client([0.7, json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {"name": "played-1"}})])
    running = asyncio.create_task(peer.run(client.receive, client.send))
    await asyncio.sleep(0.6)
    assert [it for _, it in client.read if it["event"] != "media"] == [
        {"event": "mark", "streamSid": "MZ1", "mark": {"name": "played-1"}}
    ]
    assert client.events[-1] == "mark"
    assert listener.played_at[-1] == (200, 10 * FRAME - 1)
    await asyncio.sleep(0.2)
    assert listener.played_at[-1] == (700, 10 * FRAME)
    peer.play(bytes(2 * FRAME))
    await asyncio.sleep(5)
    assert client.events[-1] == "mark"
    assert listener.played_at[-1] == (800 + 20 + PATIENCE_NS // 1_000_000, 11 * FRAME)
    peer.play(bytes(2 * 10 * FRAME))
    await asyncio.sleep(0.04)
    assert peer.clear() == 13 * FRAME
    await peer.close()
    await running


def line(*, take_back: bool = False) -> tuple[SocketPeer, Listener]:
    peer, listener = SocketPeer(RAW, LoopClock(), take_back=take_back), Listener()
    peer.listen(listener)
    return peer, listener


async def run(peer: SocketPeer, client: Client) -> Ending:
    return await peer.run(client.receive, client.send)


async def test_sound_leaves_at_the_pace_of_real_time() -> None:
    peer, listener = line()
    peer.play(bytes(2 * FRAME * 10))
    client = Client([0.5, STOP])
    ending = await run(peer, client)
    assert [at for at, _ in client.sound] == [0, 0, 0, 0, 0, 20, 40, 60, 80, 100]
    assert listener.played_at[-1] == (100, FRAME * 10)
    assert ending.code == 1000
    assert (listener.connections, listener.endings) == (1, [HUNG_UP])


async def test_where_the_far_end_obeys_played_is_what_sounded_and_is_told_to_the_end() -> None:
    peer, listener = line(take_back=True)
    peer.play(bytes(2 * FRAME * 10))
    await run(peer, Client([0.5, STOP]))
    assert listener.played_at[-1][1] == FRAME * 10
    assert listener.played_at[-1][0] == 200
    assert [it for _, it in listener.played_at] == sorted(it for _, it in listener.played_at)


async def test_a_pause_is_silent_at_once_and_goes_on_where_it_was() -> None:
    peer, _ = line(take_back=True)
    peer.play(bytes(2 * FRAME * 10))
    client = Client()
    running = asyncio.create_task(run(peer, client))
    await asyncio.sleep(0.05)
    peer.pause()
    peer.pause()
    await asyncio.sleep(1)
    assert max(at for at, _ in client.sound) <= 50
    assert client.events.count("clear") == 1
    assert peer.queued == FRAME * 10 - FRAME * 5 // 2
    peer.resume()
    await asyncio.sleep(1)
    assert peer.queued == 0
    await peer.close()
    await running


async def test_clearing_tells_the_far_end_and_the_count_is_final() -> None:
    peer, _ = line(take_back=True)
    peer.play(bytes(2 * FRAME * 10))
    client = Client()
    running = asyncio.create_task(run(peer, client))
    await asyncio.sleep(0.05)
    assert peer.clear() == FRAME * 5 // 2
    await asyncio.sleep(1)
    assert client.events[-1] == "clear"
    await peer.close()
    assert (await running).reason == CLOSED


async def test_what_was_told_before_the_end_is_sent_before_it() -> None:
    peer, listener = line()
    client = Client()
    running = asyncio.create_task(run(peer, client))
    await asyncio.sleep(0.01)
    peer.tell('{"type":"end_stream"}')
    await peer.close()
    await peer.close()
    await running
    assert client.events == ["end_stream"]
    assert listener.endings == [CLOSED]
    peer.tell("{}")
    peer.play(b"\0\0")
    assert peer.queued == 0


async def test_a_ping_is_answered_and_other_words_are_handed_on() -> None:
    peer, listener = line()
    client = Client(['{"event":"ping"}', "{}", '{"event":"dtmf","dtmf":{"digit":"5"}}', STOP])
    await run(peer, client)
    assert client.events == ["pong"]
    assert listener.words[0] == "{}"
    assert json.loads(listener.words[1])["data"] == {"type": "input_audio_buffer.dtmf", "text": "5"}


async def test_a_client_that_vanishes_is_told_as_that() -> None:
    peer, listener = line()
    assert (await run(peer, Client(then=None))).reason == VANISHED
    assert listener.endings == [VANISHED]


async def test_a_silent_client_is_cut_after_a_minute() -> None:
    peer, _ = line()
    ending = await run(peer, Client())
    assert now_ms() == IDLE_S * 1_000
    assert ending.code == 1008


async def test_a_flood_of_messages_is_cut() -> None:
    peer, listener = line()
    ending = await run(peer, Client(["{}"] * 10_000))
    assert ending.code == 1008
    assert len(listener.words) == MESSAGES.requests
    assert listener.endings == [CLOSED]


async def test_what_is_no_message_is_told_and_cut() -> None:
    peer, _ = line()
    client = Client(["nonsense"])
    assert (await run(peer, client)).code == 1007
    assert client.events == ["error"]


async def test_a_message_that_is_too_large_is_cut() -> None:
    peer, _ = line()
    assert (await run(peer, Client([" " * 70_000]))).code == 1009


async def test_sound_faster_than_it_is_spoken_is_read_at_its_own_pace() -> None:
    peer, listener = line()
    await run(peer, Client([*[heard(16_000)] * 10, STOP]))
    assert listener.samples == 160_000
    assert now_ms() == 10_000 - SURPLUS_NS // 1_000_000


async def test_a_client_that_does_not_read_is_cut() -> None:
    peer, listener = line()
    client = Client([0.1] * 1_000)
    client.deaf.clear()
    peer.tell("{}")
    ending = await run(peer, client)
    assert ending.code == 1013
    assert now_ms() == SEND_S * 1_000
    assert listener.endings == [VANISHED]


async def test_the_oldest_messages_to_a_client_that_does_not_read_are_forgotten() -> None:
    peer, _ = line()
    client = Client([1.0, STOP])
    client.deaf.clear()
    asyncio.get_running_loop().call_later(0.5, client.deaf.set)
    for number in range(MOST_MESSAGES + 10):
        peer.tell(json.dumps({"type": str(number)}))
    await run(peer, client)
    assert client.events == [str(it) for it in range(10, MOST_MESSAGES + 10)]


async def test_a_line_that_is_cancelled_tells_its_end() -> None:
    peer, listener = line()
    running = asyncio.create_task(run(peer, Client()))
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait((running,))
    assert listener.endings == [FAILED]


async def test_a_socket_that_breaks_is_raised_and_told() -> None:
    class Broken(Client):
        async def send(self, message: str) -> None:
            raise ConnectionError

    peer, listener = line()
    peer.tell("{}")
    with pytest.raises(ConnectionError):
        await run(peer, Broken())
    assert listener.endings == [FAILED]
