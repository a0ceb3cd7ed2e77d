"""Three hundred whole calls, and a thousand hostile offers, leave a server as it was before them."""

# ruff: noqa: T201 - `pytest -s` prints the figures

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from aiortc import RTCSessionDescription
from websockets.asyncio.client import connect

from cozy_adapters.inmemory.simulated import BEGUN
from cozy_adapters.webrtc import internals
from tests.bench.voice.speech import Phrase, phrase_of
from tests.bench.voice.talker import Talker
from tests.fixtures.calls import spoken, until
from tests.fixtures.fastrtc import OFFER, offered, socket_to
from tests.fixtures.offers import CHROME, mutants
from tests.slow.counted import CountedServer, Held, counted_server

CALLS = 300
OFFERS = 1_000
AT_ONCE = 20
SEATS = 60
"""Calls at once: those that talk, and those that are gone or never came and are waited for."""
OFFERED_SEATS = 250
"""For offers that are answered and that nobody stands behind: as many as are all answered while the first is waited for."""
PATIENCE_S = 120.0
SOME_WORDS = 75
"""Pieces of 20 ms of an answer."""
GONE_S = 90.0
"""A caller who is gone is told so after 3 s and given up 20 s later, one who never comes after 30 s."""
SAID = BEGUN.removesuffix(" about the")
"""How every question is understood to begin; on a busy machine one has pauses, and is more or less of it."""
OBJECTS_EACH = 20
"""What a call may leave: its id is remembered for a while, and the rooms for that are bounded."""
ROOM_MB = 20.0
"""What the store's cache and the allocator may take."""


class Talked:
    """What became of a caller. ``answer`` is what he was told that he heard of it, None where he did not wait."""

    def __init__(self, session: str, answer: str | None = None) -> None:
        self.session = session
        self.answer = answer


Kind = Callable[[CountedServer, httpx2.AsyncClient, str], Awaitable[Talked | None]]


@cache
def question() -> Phrase:
    return phrase_of(spoken(1.5))


@cache
def silence() -> bytes:
    return phrase_of(bytes(48_000)).packets[-1]


class WebRtcTalker(Talker):
    """With the id of his call, and its session."""

    def __init__(self, client: httpx2.AsyncClient, id: str) -> None:
        super().__init__(silence())
        self._client = client
        self._id = id
        self._connecting = internals.Connecting(self.connection)
        self.session = ""

    async def begin(self) -> None:
        """Connects, and hears the greeting out."""
        await self.call(self.offer)
        await until(lambda: bool(self.told("response.done")), PATIENCE_S, "no greeting")

    async def offer(self, sdp: str) -> str:
        answer = (await self._client.post(OFFER, json=offer_of(sdp, self._id))).json()
        self.session = answer["cozy"]["session_id"]
        return str(answer["sdp"])

    async def ask(self) -> None:
        await self.mouth.say(question())
        await until(lambda: len(self.told("output_audio_buffer.started")) > 1, PATIENCE_S, "no answer")
        heard = len(self.loud)
        await until(lambda: len(self.loud) > heard + SOME_WORDS, PATIENCE_S, "an answer without a sound")

    async def hang_up(self) -> None:
        await super().hang_up()
        await self._connecting.over()

    async def vanish(self) -> None:
        """The network is gone: nothing that is sent arrives any more."""
        await internals.end_consent(self.connection)
        for protocol in internals.ice_of(self.connection)._connection._protocols:
            protocol.transport.abort()
        await self.hang_up()


def offer_of(sdp: object, id: object, **more: object) -> dict[str, object]:
    return {"sdp": sdp, "type": "offer", "webrtc_id": id, **more}


async def hears_the_answer_out(server: CountedServer, client: httpx2.AsyncClient, id: str) -> Talked:
    talker = WebRtcTalker(client, id)
    await talker.begin()
    await talker.ask()
    await until(lambda: len(talker.told("response.done")) > 1, PATIENCE_S, f"no end of the answer: {id}")
    _, done = talker.told("response.done")[1]
    assert done["status"] == "completed", done
    await talker.hang_up()
    return Talked(talker.session, done["text"])


async def says_that_it_hangs_up(server: CountedServer, client: httpx2.AsyncClient, id: str) -> Talked:
    """In the middle of the answer."""
    talker = WebRtcTalker(client, id)
    await talker.begin()
    await talker.ask()
    talker.channel.send(json.dumps({"type": "cozy", "data": {"type": "client.hangup"}}))
    await until(lambda: bool(talker.told("session.closed")), PATIENCE_S, "no end")
    await talker.hang_up()
    return Talked(talker.session, "")


async def closes_its_connection(server: CountedServer, client: httpx2.AsyncClient, id: str) -> Talked:
    """In the middle of the answer."""
    talker = WebRtcTalker(client, id)
    await talker.begin()
    await talker.ask()
    await talker.hang_up()
    return Talked(talker.session, "")


async def loses_its_network(server: CountedServer, client: httpx2.AsyncClient, id: str) -> Talked:
    """In the middle of the answer."""
    talker = WebRtcTalker(client, id)
    await talker.begin()
    await talker.ask()
    await talker.vanish()
    return Talked(talker.session, "")


async def never_connects(server: CountedServer, client: httpx2.AsyncClient, id: str) -> None:
    talker = WebRtcTalker(client, id)
    await talker.connection.setLocalDescription(await talker.connection.createOffer())
    await talker.offer(talker.connection.localDescription.sdp)
    await talker.hang_up()


async def agrees_on_no_keys(server: CountedServer, client: httpx2.AsyncClient, id: str) -> None:
    """Only checks pass, for as long as the server waits."""
    talker = WebRtcTalker(client, id)
    ice: Any = internals.ice_of(talker.connection)

    async def nothing(_: bytes) -> None: ...

    ice._send = nothing
    await talker.connection.setLocalDescription(await talker.connection.createOffer())
    answer = await talker.offer(talker.connection.localDescription.sdp)
    await talker.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: talker.connection.iceConnectionState == "completed", PATIENCE_S)
    async with client.stream("GET", f"/outputs?webrtc_id={id}") as conversation:
        assert not [it async for it in conversation.aiter_lines() if it.startswith("data:")]
    await talker.hang_up()


async def hangs_up_while_it_connects(server: CountedServer, client: httpx2.AsyncClient, id: str) -> None:
    talker = WebRtcTalker(client, id)
    calling = asyncio.create_task(talker.call(talker.offer))
    await until(lambda: talker.connection.iceConnectionState != "new", PATIENCE_S)
    calling.cancel()
    await asyncio.wait([calling])
    await talker.hang_up()


async def talks_over_a_socket(server: CountedServer, client: httpx2.AsyncClient, id: str) -> Talked:
    async with socket_to(server, "/websocket/offer?input_rate=24000") as caller:
        await caller.send(event="start", websocket_id=id)
        started = await caller.until_told("call.started")
        await caller.until_told("response.done")
        await caller.say(spoken(1.5) + bytes(48_000))
        done = await caller.until_told("response.done", 2)
        assert done["status"] == "completed", done
        await caller.send(event="stop")
        await caller.closed()
    return Talked(started["session_id"], done["text"])


async def loses_its_socket(server: CountedServer, client: httpx2.AsyncClient, id: str) -> Talked:
    """In the middle of the answer."""
    async with socket_to(server, "/websocket/offer?input_rate=24000") as caller:
        await caller.send(event="start", websocket_id=id)
        started = await caller.until_told("call.started")
        await caller.until_told("response.done")
        await caller.say(spoken(1.5) + bytes(48_000))
        await caller.until_told("output_audio_buffer.started", 2)
        heard = len(caller.sound)
        await until(lambda: len(caller.sound) > heard + SOME_WORDS, PATIENCE_S, "an answer without a sound")
        await caller.vanish()
    return Talked(started["session_id"], "")


KINDS: tuple[Kind, ...] = (
    hears_the_answer_out,
    hears_the_answer_out,
    closes_its_connection,
    talks_over_a_socket,
    hears_the_answer_out,
    never_connects,
    says_that_it_hangs_up,
    hears_the_answer_out,
    hangs_up_while_it_connects,
    agrees_on_no_keys,
    loses_its_network,
    hears_the_answer_out,
    loses_its_socket,
)


async def test_three_hundred_calls_that_end_in_every_way_leave_nothing_but_their_history(
    tmp_path: Path,
) -> None:
    async with counted_server(tmp_path, SEATS) as server:
        await come_and_go(server, "warm", 2 * len(KINDS))
        await server.at_rest(GONE_S)
        await assert_all_seats_are_free(server, SEATS)
        before = await server.at_rest(GONE_S)
        ended = await come_and_go(server, "call", CALLS)
        after = await server.back_to(before, GONE_S)
        print(f"{CALLS} calls: {before} -> {after}")
        assert_as_before(before, after, CALLS)
        talked = [it for it in ended if it]
        assert len(talked) > 0.7 * CALLS
        await assert_remembered(server, talked)
        await assert_all_seats_are_free(server, SEATS)
        assert_as_before(before, await server.back_to(before, GONE_S), CALLS + SEATS)
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def come_and_go(server: CountedServer, name: str, calls: int) -> list[Talked | None]:
    """Some at a time."""
    numbers = iter(range(calls))
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:

        async def one_after_the_other(numbers: Iterator[int]) -> list[Talked | None]:
            return [await KINDS[it % len(KINDS)](server, client, f"{name}-{it}") for it in numbers]

        done = await asyncio.gather(*(one_after_the_other(numbers) for _ in range(AT_ONCE)))
    return [it for some in done for it in some]


def assert_as_before(before: Held, after: Held, calls: int) -> None:
    assert after.of_calls == (0, 0, 0, 0), after
    assert not Counter(after.tasks) - Counter(before.tasks), (before, after)
    assert after.sockets <= before.sockets, (before, after)
    assert after.objects <= before.objects + OBJECTS_EACH * calls, (before, after)
    assert after.resident_mb <= before.resident_mb + ROOM_MB, (before, after)


async def assert_remembered(server: CountedServer, talked: list[Talked]) -> None:
    """The question of every call, and of its answer as much as was heard."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
        for one in talked:
            path = f"/v1/cozy/sessions/{one.session}/messages"
            told: list[dict[str, Any]] = (await client.get(path)).json()["data"]
            roles = [it["role"] for it in told]
            assert roles == ["assistant", "user", "assistant"], (one.answer, told)
            assert told[1]["content"].startswith(SAID), told
            said = told[2]["content"]
            assert said == one.answer if one.answer else said, (one.answer, told)
            assert said.startswith("This"), said


async def assert_all_seats_are_free(server: CountedServer, seats: int) -> None:
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
        sdp = await offered(client)
        for number in range(seats):
            answer = (await client.post(OFFER, json=offer_of(sdp, f"seat-{number}"))).json()
            assert answer["type"] == "answer", (number, answer)
        more = (await client.post(OFFER, json=offer_of(sdp, "one-more"))).json()
        assert more["meta"]["error"] == "concurrency_limit_reached"


Hostile = Callable[[CountedServer, httpx2.AsyncClient, int], Awaitable[list[httpx2.Response]]]

MUTANTS = tuple(mutants(OFFERS, seed=23))
WRONG = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"offer"',
    b"\xff\xfe\x00",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    *(
        json.dumps(it).encode()
        for it in (
            offer_of(7, "w"),
            offer_of(["v=0"], "w"),
            offer_of("v=0", None),
            offer_of("v=0", {"a": 1}),
            offer_of("v=0", ""),
            offer_of("v=0", "x" * 60_000),
            offer_of("v=0\r\n" * 10_000, "w"),
            offer_of("\0" * 1_000, "w"),
            offer_of("\ud800", "w"),
            offer_of(CHROME * 10, "w"),
            offer_of(CHROME + "a=candidate:1 1 udp 1 192.168.1.2 5000 typ host\r\n" * 900, "w"),
            offer_of(CHROME, "w", type="answer"),
            offer_of(CHROME, "w", type=1),
            offer_of(CHROME, "w", cozy=1),
            offer_of(CHROME, "w", cozy={"persona": "nobody"}),
            offer_of(CHROME, "w", cozy={"session": "x"}),
            offer_of(CHROME, "w", cozy={"session": "0193a6a0-0000-7000-8000-000000000000"}),
            offer_of(CHROME, "w", cozy={"call": "0193a6a0-0000-7000-8000-000000000000"}),
            offer_of(CHROME, "w", cozy={"timezone": "../../etc/passwd"}),
            {"webrtc_id": "w", "type": "ice-candidate", "candidate": 7},
            {"webrtc_id": "w", "type": "ice-candidate", "candidate": {"candidate": 7}},
            {
                "webrtc_id": "w",
                "type": "ice-candidate",
                "candidate": {"candidate": "candidate:" + "9" * 50_000},
            },
        )
    ),
)


async def offers_what_does_not_fit_together(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    return [await client.post(OFFER, json=offer_of(MUTANTS[at], f"mutant-{at}"))]


async def sends_what_is_no_offer(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    wrong = WRONG[at % len(WRONG)]
    return [await client.post(OFFER, content=wrong, headers={"content-type": "application/json"})]


async def sends_far_too_much(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    answer = await client.post(OFFER, json=offer_of("v=0\r\n" * 400_000, f"giant-{at}"))
    assert answer.status_code == 413
    return [answer]


async def offers_twice_at_once(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    body = offer_of(CHROME, f"twice-{at}")
    both = await asyncio.gather(*(client.post(OFFER, json=body) for _ in range(2)))
    assert sum("sdp" in it.json() for it in both) <= 1
    return both


async def sends_candidates_of_nobody(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    lines = [f"candidate:{it} 1 udp 1 192.168.1.2 {5_000 + it} typ host" for it in range(3)]
    bodies = [
        {"webrtc_id": f"nobody-{at}", "type": "ice-candidate", "candidate": {"candidate": it}} for it in lines
    ]
    return [await client.post(OFFER, json=it) for it in bodies]


async def hangs_up_on_the_request(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    """Within its head, within its body, or while it is answered."""
    body = json.dumps(offer_of(CHROME, f"half-{at}")).encode()
    head = (
        b"POST /webrtc/offer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    whole = head + body
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write((whole[:40], whole[:-20], whole)[at % 3])
    await writer.drain()
    writer.transport.abort()
    return []


async def opens_a_socket_and_is_gone(
    server: CountedServer, client: httpx2.AsyncClient, at: int
) -> list[httpx2.Response]:
    """Before it says who it is, or after."""
    address = f"ws{server.url.removeprefix('http')}/websocket/offer"
    socket = await connect(address, proxy=None, open_timeout=PATIENCE_S)
    if at % 2:
        await socket.send(json.dumps({"event": "start", "websocket_id": f"gone-{at}"}))
    socket.transport.abort()
    return []


HOSTILE: tuple[Hostile, ...] = (
    offers_what_does_not_fit_together,
    offers_what_does_not_fit_together,
    offers_what_does_not_fit_together,
    sends_what_is_no_offer,
    sends_what_is_no_offer,
    sends_far_too_much,
    offers_twice_at_once,
    sends_candidates_of_nobody,
    hangs_up_on_the_request,
    opens_a_socket_and_is_gone,
)


async def test_a_thousand_hostile_offers_leave_nothing_and_every_seat(tmp_path: Path) -> None:
    async with counted_server(tmp_path, OFFERED_SEATS) as server:
        await come_and_go(server, "warm", len(KINDS))
        await attack(server, range(100))
        await server.at_rest(GONE_S)
        await assert_all_seats_are_free(server, OFFERED_SEATS)
        before = await server.at_rest(GONE_S)
        told = await attack(server, range(OFFERS))
        attacked = await server.held()
        after = await server.back_to(before, GONE_S)
        print(f"{OFFERS} offers: {before} -> {attacked} -> {after}, {told}")
        assert_as_before(before, after, OFFERS)
        assert attacked.seats > OFFERS // 10, "too few of them were answered"
        assert told[400] > OFFERS // 10, "too few of them were refused"
        assert not [it for it in told if it >= 500]
        assert all(await come_and_go(server, "afterwards", 4))
        await assert_all_seats_are_free(server, OFFERED_SEATS)
        assert_as_before(before, await server.back_to(before, GONE_S), OFFERS + OFFERED_SEATS)
    assert "Traceback" not in (tmp_path / "stderr").read_text()


async def attack(server: CountedServer, numbers: range) -> Counter[int]:
    """What they were answered with."""
    left = iter(numbers)
    told: Counter[int] = Counter()
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:

        async def some() -> None:
            for at in left:
                told.update([it.status_code for it in await HOSTILE[at % len(HOSTILE)](server, client, at)])

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return told
