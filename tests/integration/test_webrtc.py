"""Calls over real UDP: candidates in every order, bad offers, weather, and nothing left behind."""

import asyncio
import socket
import time
import tomllib
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aioice.ice
import pytest
from aiortc import RTCSessionDescription
from aiortc.rtcsctptransport import DataChunk, InitAckChunk, parse_packet
from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtcpSrPacket

from cozy_adapters.clock import SystemClock
from cozy_adapters.webrtc import internals
from cozy_adapters.webrtc.connections import WebRtcConnections
from cozy_adapters.webrtc.ice import MOST_CANDIDATES, ConfiguredIceServer
from cozy_adapters.webrtc.peer import MESSAGES, Patience, WebRtcAudioPeer
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError, MissingError
from cozy_domain.voice.outgoing import TAIL, Frame
from cozy_domain.voice.ports import FAILED, HUNG_UP, NEVER_CONNECTED, IceCandidate
from tests.fixtures.calls import LOUD, Listener, loud_seconds, loudness, said, spoken, tone, until
from tests.fixtures.offers import CHROME, FIREFOX, mutants
from tests.fixtures.promptness import soonest
from tests.fixtures.webrtc import (
    FRAME_S,
    PlainCaller,
    Weather,
    lossy,
    sockets,
    uneven,
    without_candidates,
)

ROOT = Path(__file__).parents[2]
OFFERS = 200
"""Mutants of offers; tests/slow has a thousand."""
QUICK = Patience(lost_s=0.5, vanished_s=2.0)
HASTY = Patience(connect_s=1.0)


@pytest.fixture
async def connections() -> AsyncIterator[WebRtcConnections]:
    made = WebRtcConnections(SystemClock(), patience=QUICK)
    yield made
    await made.aclose()
    assert made.open == 0


@pytest.fixture
async def hasty() -> AsyncIterator[WebRtcConnections]:
    """They give up soon who do not connect."""
    made = WebRtcConnections(SystemClock(), patience=HASTY)
    yield made
    await made.aclose()
    assert made.open == 0


@pytest.fixture
async def call(
    connections: WebRtcConnections,
) -> AsyncIterator[tuple[PlainCaller, Listener, WebRtcConnections]]:
    caller, listener = PlainCaller(), Listener()
    answered = await connections.answer("call", await caller.offer())
    answered.peer.listen(listener)
    await caller.accept(answered.sdp)
    await until(lambda: bool(listener.told_in_order))
    yield caller, listener, connections
    await caller.hang_up()


def test_the_installed_libraries_are_those_whose_insides_we_know() -> None:
    for package, known in internals.KNOWN.items():
        assert version(package).startswith(f"{known}."), f"{package}: read internals.py, then renew KNOWN"


def test_no_other_versions_than_those_can_be_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    for package, known in internals.KNOWN.items():
        assert f"{package}~={known}.0" in settings["project"]["optional-dependencies"]["voice"]
        (pin,) = [it for it in pins if it.startswith(f"{package}==")]
        assert pin.startswith(f"{package}=={known}.")


def test_no_public_server_of_somebody_else_is_asked() -> None:
    assert WebRtcConnections(SystemClock()).ice_servers("anna") == ()
    assert WebRtcConnections(SystemClock())._configuration().iceServers == []


def test_callers_are_told_the_servers_of_the_configuration() -> None:
    servers = (
        ConfiguredIceServer(("stun:stun.example.org",)),
        ConfiguredIceServer(("turn:t.example.org",), "u", "p"),
    )
    told = WebRtcConnections(SystemClock(), servers).ice_servers("anna")
    assert [(it.urls, it.username, it.credential) for it in told] == [
        (("stun:stun.example.org",), "", ""),
        (("turn:t.example.org",), "u", "p"),
    ]


@pytest.mark.parametrize("offer", [CHROME, FIREFOX], ids=["Chrome", "Firefox"])
async def test_an_offer_of_a_browser_is_answered_at_once_with_all_our_candidates(
    connections: WebRtcConnections, offer: str
) -> None:
    async with asyncio.timeout(4):  # a gathering that waits for somebody waits 5 s
        answered = await connections.answer("a", offer)
    assert "a=candidate:" in answered.sdp
    assert answered.sdp.count("m=") == 2
    assert " opus/48000/2" in answered.sdp


async def test_candidates_that_come_before_their_offer_are_used(connections: WebRtcConnections) -> None:
    """The server is told where the caller is before it knows the caller; the caller is told nothing of the server's."""
    caller, listener = PlainCaller(), Listener()
    offer = await caller.offer()
    whole = caller.connection.localDescription.sdp
    for line in dict.fromkeys(it for it in whole.splitlines() if it.startswith("a=candidate")):
        await connections.add_candidate("early", IceCandidate(line.removeprefix("a="), mid="0", section=0))
    await connections.add_candidate("early", IceCandidate("", mid="0", section=0))
    answered = await connections.answer("early", offer)
    answered.peer.listen(listener)
    await caller.connection.setRemoteDescription(
        RTCSessionDescription(without_candidates(answered.sdp), "answer")
    )
    await until(lambda: bool(listener.told_in_order))
    assert listener.told_in_order == [("connected", None)]
    await caller.hang_up()


async def test_candidates_that_come_after_the_answer_are_used(connections: WebRtcConnections) -> None:
    caller, listener = PlainCaller(), Listener()
    answered = await connections.answer("late", await caller.offer())
    answered.peer.listen(listener)
    await caller.connection.setRemoteDescription(
        RTCSessionDescription(without_candidates(answered.sdp), "answer")
    )
    whole = caller.connection.localDescription.sdp
    for line in dict.fromkeys(it for it in whole.splitlines() if it.startswith("a=candidate")):
        firefox = " ".join(line.removeprefix("a=").split()[:8])
        await connections.add_candidate("late", IceCandidate(firefox))
    await until(lambda: bool(listener.told_in_order))
    await caller.hang_up()


async def test_candidates_of_no_use_do_nothing_and_bad_ones_are_refused(
    connections: WebRtcConnections,
) -> None:
    await connections.answer("a", CHROME)
    for line in (
        "",
        "candidate:1 1 udp 1 aaaa-bbbb.local 5000 typ host",
        "candidate:1 2 udp 1 192.168.1.2 5000 typ host",
        "candidate:1 1 udp 1 169.254.169.254 5000 typ host",
    ):
        await connections.add_candidate("a", IceCandidate(line))
    with pytest.raises(InputError) as caught:
        await connections.add_candidate("a", IceCandidate("rubbish"))
    assert caught.value.code == "invalid_candidate"


@pytest.mark.parametrize("name", ["a", "not yet"])
async def test_more_candidates_than_any_browser_has_are_refused(
    connections: WebRtcConnections, name: str
) -> None:
    await connections.answer("a", CHROME)
    for number in range(MOST_CANDIDATES):
        line = f"candidate:1 1 udp 1 192.168.1.2 {5_000 + number} typ host"
        await connections.add_candidate(name, IceCandidate(line))
    with pytest.raises(InputError, match="at most 30"):
        await connections.add_candidate(name, IceCandidate("candidate:1 1 udp 1 192.168.1.2 6000 typ host"))


async def test_a_name_is_of_one_connection_at_a_time(connections: WebRtcConnections) -> None:
    answered = await connections.answer("a", CHROME)
    with pytest.raises(InputError) as caught:
        await connections.answer("a", FIREFOX)
    assert caught.value.code == "connection_already_exists"
    await answered.peer.close()
    with pytest.raises(MissingError) as closed:
        await connections.add_candidate("a", IceCandidate("candidate:1 1 udp 1 192.168.1.2 5000 typ host"))
    assert closed.value.code == "connection_closed"
    await connections.answer("a", FIREFOX)
    assert connections.open == 1


async def test_a_call_that_never_connects_ends_by_itself(hasty: WebRtcConnections) -> None:
    """Neither does ICE, of a browser that is not there, nor DTLS, of one whose key is another one than it said."""
    lonely, listener = await hasty.answer("ice", CHROME), Listener()
    lonely.peer.listen(listener)
    await until(lambda: listener.ending is not None)
    assert listener.told_in_order == [("ended", NEVER_CONNECTED)]
    caller, other = PlainCaller(), Listener()
    offer = await caller.offer()
    digest = next(it for it in offer.splitlines() if it.startswith("a=fingerprint:sha-256"))
    forged = digest[:-2] + ("00" if digest[-2:] != "00" else "11")
    answered = await hasty.answer("dtls", offer.replace(digest, forged))
    answered.peer.listen(other)
    await caller.accept(answered.sdp)
    await until(lambda: other.ending is not None)
    assert other.told_in_order == [("ended", NEVER_CONNECTED)]
    assert hasty.open == 0
    await caller.hang_up()


async def test_keys_that_are_never_agreed_on_end_the_call(hasty: WebRtcConnections) -> None:
    """ICE connects, and then nothing but checks passes."""
    caller, listener = PlainCaller(), Listener()
    answered = await hasty.answer("dtls", await caller.offer())
    answered.peer.listen(listener)
    passed = caller.network._pass

    def checks_only(data: bytes, *rest: Any) -> None:
        if data[0] < 4:
            passed(data, *rest)

    caller.network._pass = checks_only  # type: ignore[method-assign,assignment]
    await caller.accept(answered.sdp)
    await until(lambda: listener.ending is not None)
    assert listener.told_in_order == [("ended", NEVER_CONNECTED)]
    await caller.hang_up()


async def test_a_strangers_malformed_checks_are_dropped_without_a_word(
    connections: WebRtcConnections,
) -> None:
    """Numbers that are too short, in each attribute of STUN that is one."""
    peer = (await connections.answer("stun", CHROME)).peer
    assert isinstance(peer, WebRtcAudioPeer)
    faults: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    ice: Any = internals.ice_of(peer._connection)._connection
    noticed: list[list[Any]] = []
    for protocol in ice._protocols:
        noticed.append(_counted(protocol, "datagram_received"))
        host, port = protocol.transport.get_extra_info("sockname")[:2]
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for attribute in (0x0024, 0x8028, 0x8029, 0x802A):
                value = attribute.to_bytes(2, "big") + b"\0\1x\0\0\0"
                head = b"\0\1" + len(value).to_bytes(2, "big") + 0x2112A442.to_bytes(4, "big")
                stranger.sendto(head + bytes(12) + value, (host, port))
    await until(lambda: all(len(it) == 4 for it in noticed))
    assert not faults
    await peer.close()


async def test_media_of_strangers_is_dropped_without_a_word_however_long(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    *_, connections = call
    (peer,) = connections._peers.values()
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    ice: Any = internals.ice_of(peer._connection)._connection
    protocol = ice._nominated[1].protocol
    noticed = _counted(protocol, "datagram_received")
    host, port = protocol.transport.get_extra_info("sockname")[:2]
    datagrams = [bytes([128, 111]) + bytes(length) for length in (10, 200, 3_000, 60_000)]
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for datagram in datagrams:
            stranger.sendto(datagram, (host, port))
    await until(lambda: {it for it, _ in noticed} >= set(datagrams))
    assert not faults


async def test_a_report_that_is_cut_short_does_not_end_the_call(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    """An estimate of bandwidth (REMB) for more streams than it names."""
    caller, listener, _ = call
    await until(lambda: caller.channel is not None and caller.channel.readyState == "open")
    assert caller.channel is not None
    transport: Any = caller.connection.getTransceivers()[0].receiver.transport
    await transport._send_rtp(b"\x8f\xce\0\5" + bytes(8) + b"REMB\x05" + bytes(7))
    caller.channel.send("after it")
    await until(lambda: ("told", "after it") in listener.told_in_order or listener.ending is not None)
    assert listener.ending is None


def _counted(owner: Any, name: str) -> list[Any]:
    """What ``owner`` was called with, when the call has returned or failed."""
    calls: list[Any] = []
    called = getattr(owner, name)

    def counting(*arguments: Any) -> None:
        try:
            called(*arguments)
        finally:
            calls.append(arguments)

    setattr(owner, name, counting)
    return calls


async def test_bad_offers_leave_nothing_behind(connections: WebRtcConnections) -> None:
    """Cut, mixed and doubled lines of real offers, many of them: each is answered and then closed, or refused."""
    before, tasks = sockets(), len(asyncio.all_tasks())
    answered, codes = 0, set[str]()
    for number, offer in enumerate(mutants(OFFERS, seed=5)):
        try:
            made = await connections.answer(str(number), offer)
        except InputError as error:
            codes.add(error.code)
        else:
            answered += 1
            await made.peer.close()
        assert connections.open == 0
    assert codes == {"invalid_sdp"}
    assert 0.1 * OFFERS < answered < 0.9 * OFFERS
    await until(lambda: sockets() == before and len(asyncio.all_tasks()) == tasks)


async def test_an_answer_that_nobody_waits_for_any_more_leaves_nothing_behind(
    connections: WebRtcConnections,
) -> None:
    before = sockets()
    for wait in range(8):
        task = asyncio.create_task(connections.answer("gone", CHROME))
        for _ in range(wait):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().peer.close()
        await until(lambda: connections.open == 0)
    await connections.aclose()
    await until(lambda: sockets() == before)


async def talk(connections: WebRtcConnections, name: str, *, we_end_it: bool) -> None:
    caller, listener = PlainCaller(), Listener()
    answered = await connections.answer(name, await caller.offer())
    answered.peer.listen(listener)
    await caller.accept(answered.sdp)
    await until(lambda: bool(listener.told_in_order))
    answered.peer.play(spoken(0.1))
    await until(lambda: listener.left > 0)
    if we_end_it:
        await answered.peer.close()
    await caller.hang_up()
    await until(lambda: listener.ending is not None)


async def test_calls_come_and_go_and_nothing_stays(connections: WebRtcConnections) -> None:
    before, tasks = sockets(), len(asyncio.all_tasks())
    for number in range(20):
        await talk(connections, str(number), we_end_it=number % 2 == 1)
    assert connections.open == 0
    await until(lambda: sockets() == before and len(asyncio.all_tasks()) == tasks)


async def test_a_caller_without_a_channel_hears_and_is_heard(connections: WebRtcConnections) -> None:
    caller, listener = PlainCaller(channel=False), Listener()
    answered = await connections.answer("a", await caller.offer())
    answered.peer.listen(listener)
    await caller.accept(answered.sdp)
    caller.say(said(0.3))
    answered.peer.tell("nobody reads this")
    answered.peer.play(spoken(0.3))
    await until(lambda: loud_seconds(bytes(listener.sound), HEARING_RATE) > 0.25)
    await until(lambda: listener.left == round(0.3 * SPEAKING_RATE))
    await caller.hang_up()


async def test_messages_arrive_when_the_packets_that_begin_them_were_lost(
    connections: WebRtcConnections,
) -> None:
    """Each side has the other's INIT, and neither the answer to its own."""
    caller, listener = PlainCaller(), Listener()
    answered = await connections.answer("a", await caller.offer())
    answered.peer.listen(listener)
    sctp: Any = caller.connection.sctp
    send, receive = sctp._send_chunk, sctp._receive_chunk
    lost: list[str] = []

    def loses(chunk: Any, way: str) -> bool:
        if not isinstance(chunk, InitAckChunk) or way in lost:
            return False
        lost.append(way)
        return True

    async def sent(chunk: Any) -> None:
        if not loses(chunk, "to the server"):
            await send(chunk)

    async def received(chunk: Any) -> None:
        if not loses(chunk, "to the caller"):
            await receive(chunk)

    sctp._send_chunk, sctp._receive_chunk = sent, received
    await caller.accept(answered.sdp)
    answered.peer.tell("to the caller")
    caller.tell("to the server")
    await until(lambda: caller.messages == ["to the caller"] and listener.messages == ["to the server"])
    assert sorted(lost) == ["to the caller", "to the server"]
    await caller.hang_up()


@pytest.mark.parametrize(
    ("messages", "packets"),
    [
        ([f"message {number}" for number in range(10)], [10]),
        (["short", "x" * 1_500, "short again", "y" * 1_000, "the end"], [1, 1, 2, 2]),
    ],
    ids=["short ones", "long ones"],
)
async def test_messages_of_one_moment_arrive_in_as_few_packets_as_hold_them(
    call: tuple[PlainCaller, Listener, WebRtcConnections], messages: list[str], packets: list[int]
) -> None:
    caller, listener, connections = call
    caller.tell("handshake")
    await until(lambda: listener.messages == ["handshake"])
    sctp: Any = caller.connection.sctp
    handle = sctp._handle_data
    received: list[int] = []

    async def handled(packet: bytes) -> None:
        received.append(sum(isinstance(it, DataChunk) for it in parse_packet(packet)[3]))
        await handle(packet)

    sctp._handle_data = handled
    for message in messages:
        connections._peers["call"].tell(message)
    await until(lambda: caller.messages == messages)
    assert [it for it in received if it] == packets


async def test_what_was_received_is_reported_with_what_was_sent(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    caller, *_ = call
    reports = _reports_to(caller)
    await until(lambda: any(isinstance(it, RtcpSrPacket) and it.reports for it in reports))
    assert not any(isinstance(it, RtcpRrPacket) for it in reports)


async def test_a_caller_who_only_speaks_is_told_what_was_received(connections: WebRtcConnections) -> None:
    caller = PlainCaller()
    caller.connection.getTransceivers()[0].direction = "sendonly"
    answered = await connections.answer("a", await caller.offer())
    await caller.accept(answered.sdp)
    reports = _reports_to(caller)
    await until(lambda: any(isinstance(it, RtcpRrPacket) and it.reports for it in reports))
    await caller.hang_up()


def _reports_to(caller: PlainCaller) -> list[Any]:
    """RTCP packets, as they come."""
    transport: Any = caller.connection.getTransceivers()[0].receiver.transport
    handle = transport._handle_rtcp_data
    reports: list[Any] = []

    async def handled(packet: bytes) -> None:
        reports.extend(RtcpPacket.parse(packet))
        await handle(packet)

    transport._handle_rtcp_data = handled
    return reports


async def test_a_caller_without_a_microphone_hears(connections: WebRtcConnections) -> None:
    caller, listener = PlainCaller(microphone=False), Listener()
    answered = await connections.answer("a", await caller.offer())
    answered.peer.listen(listener)
    await caller.accept(answered.sdp)
    answered.peer.play(spoken(0.3))
    await until(lambda: listener.left == round(0.3 * SPEAKING_RATE))
    await until(lambda: sum(loudness(it) > 1_000 for _, it in caller.heard) >= 12)
    assert listener.sound == b""
    await caller.hang_up()


async def test_the_newest_channel_is_told_and_all_are_heard(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    caller, listener, connections = call
    caller.tell("handshake")
    await until(lambda: listener.messages == ["handshake"])
    newer: list[str] = []
    channel = caller.connection.createDataChannel("another")
    channel.on("message", newer.append)
    await until(lambda: channel.readyState == "open")
    channel.send("from the newer one")
    caller.tell("from the older one")
    await until(lambda: len(listener.messages) == 3)
    connections._peers["call"].tell("to the newer one")
    await until(lambda: newer == ["to the newer one"])
    assert caller.messages == []


async def test_a_flood_of_messages_is_dropped_and_does_not_stop_the_sound(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    caller, listener, connections = call
    assert caller.channel is not None
    await until(lambda: caller.channel is not None and caller.channel.readyState == "open")
    for _ in range(2_000):
        caller.channel.send("x" * 100)
    caller.channel.send(b"no text")
    peer = connections._peers["call"]
    await until(lambda: len(listener.messages) + peer.dropped >= 2_001)
    assert len(listener.messages) <= MESSAGES.requests + 600
    before = loud_seconds(bytes(listener.sound), HEARING_RATE)
    caller.say(said(0.3))
    await until(lambda: loud_seconds(bytes(listener.sound), HEARING_RATE) > before + 0.25)


async def test_a_message_without_an_end_ends_the_call(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    caller, listener, connections = call
    await until(lambda: caller.channel is not None and caller.channel.readyState == "open")
    assert caller.channel is not None
    caller.channel.transport._remote_max_message_size = 0  # of a program that does not care what we take
    caller.channel.send("x" * 8_000_000)
    await until(lambda: listener.ending is not None)
    assert listener.ending == FAILED
    assert connections.open == 0


@pytest.mark.parametrize(
    ("weather", "whole"),
    [(lossy(0.02), 0.9), (lossy(0.2), 0.6), (uneven(0.03), 0.9), (uneven(0.06), 0.6)],
    ids=["2 % lost", "20 % lost", "uneven by 30 ms", "uneven by 60 ms"],
)
async def test_in_any_weather_the_caller_is_heard_in_time(
    call: tuple[PlainCaller, Listener, WebRtcConnections], weather: Weather, whole: float
) -> None:
    """Samples keep count of time, and at the end of a bad stretch nothing lags."""
    caller, listener, _ = call
    loop = asyncio.get_running_loop()
    await until(lambda: bool(listener.sound))
    caller.network.up = weather
    before, at, frames = len(listener.sound), loop.time(), caller.microphone.frames
    caller.say(said(3.0))
    await until(lambda: loop.time() - at > 3.5)
    passed = (caller.microphone.frames - frames) * FRAME_S
    assert (len(listener.sound) - before) / SAMPLE_BYTES / HEARING_RATE == pytest.approx(passed, abs=0.2)
    assert loud_seconds(bytes(listener.sound[before:]), HEARING_RATE) > 3.0 * whole
    caller.network.up = lambda: 0.0
    await until(lambda: loop.time() - at > 4.0)

    async def lag() -> float:
        await until(lambda: all(loudness(it) < LOUD for _, it in listener.heard_at[-10:]))
        before, said_at = len(listener.heard_at), loop.time()
        caller.say(said(0.2))
        await until(lambda: any(loudness(it) > LOUD for _, it in listener.heard_at[before:]))
        return next(at for at, it in listener.heard_at[before:] if loudness(it) > LOUD) - said_at

    assert await soonest(lag, 0.12) < 0.12


async def test_a_caller_who_hangs_up_while_we_speak_stops_us(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    caller, listener, connections = call
    connections._peers["call"].play(spoken(3.0) * 10)
    await until(lambda: listener.left > SPEAKING_RATE // 5)
    await caller.connection.close()
    await until(lambda: listener.ending is not None)
    assert listener.ending == HUNG_UP
    assert connections.open == 0


async def test_the_caller_is_told_how_much_was_sent(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    """By sender reports (RFC 3550, section 6.4.1), which the caller's statistics show: packets, and when the last left."""
    caller, listener, connections = call
    connections._peers["call"].play(spoken(0.4))
    await until(lambda: listener.left == SPEAKING_RATE * 4 // 10)
    received: Any = caller.connection.getReceivers()[0]

    def told() -> list[Any]:
        return [it for it in received._RTCRtpReceiver__stats.values() if it.type == "remote-outbound-rtp"]

    await until(lambda: [it.packetsSent for it in told()] == [20 + TAIL])
    (report,) = told()
    assert abs(report.remoteTimestamp.timestamp() - time.time()) < 10


async def test_nothing_wakes_up_while_nobody_speaks(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    """No frame leaves before anything is played, and none after the tail of what was."""
    _, listener, connections = call
    peer = connections._peers["call"]
    taken: list[int] = []
    take = peer._outgoing.take

    def counted(at_ns: int) -> Frame | None:
        taken.append(at_ns)
        return take(at_ns)

    peer._outgoing.take = counted  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    at = loop.time()
    await until(lambda: loop.time() - at > 0.5)
    assert taken == []
    peer.play(spoken(0.1))
    await until(lambda: listener.left == SPEAKING_RATE // 10)
    at = loop.time()
    await until(lambda: loop.time() - at > 0.5)
    assert len(taken) <= 12


async def test_a_standstill_of_ours_is_no_absence_of_the_caller(
    call: tuple[PlainCaller, Listener, WebRtcConnections],
) -> None:
    _, listener, _ = call
    time.sleep(2 * QUICK.vanished_s)  # noqa: ASYNC251 - nothing of this process runs, which is the point
    loop = asyncio.get_running_loop()
    at = loop.time()
    await until(lambda: loop.time() - at > 1.0)
    assert listener.ending is None


async def test_a_call_that_is_closed_while_it_connects_leaves_nothing_behind(
    connections: WebRtcConnections,
) -> None:
    """At every moment between the answer and the first sound, also in the one in which ICE has just completed."""
    tasks = len(asyncio.all_tasks())
    for moment in range(30):
        caller = PlainCaller()
        answered = await connections.answer(str(moment), await caller.offer())
        await caller.accept(answered.sdp)
        for _ in range(moment * 3):
            await asyncio.sleep(0)
        await answered.peer.close()
        await caller.hang_up()
    await until(lambda: len(asyncio.all_tasks()) == tasks)


async def test_checks_that_begin_after_the_end_are_ended(connections: WebRtcConnections) -> None:
    """What aioice does when a connection is closed in the very moment in which it completes."""
    caller = PlainCaller()
    answered = await connections.answer("a", await caller.offer())
    await caller.accept(answered.sdp)
    await until(lambda: caller.connection.connectionState == "connected")
    peer = connections._peers["a"]
    ice = internals.ice_of(peer._connection)._connection
    closed = ice.close

    async def closed_and_then_begun() -> None:
        await closed()
        ice._query_consent_task = asyncio.create_task(ice.query_consent())

    ice.close = closed_and_then_begun  # type: ignore[method-assign]
    await peer.close()
    assert ice._query_consent_task is not None
    assert ice._query_consent_task.done()
    await caller.hang_up()


async def test_a_machine_without_a_network_calls_itself(
    connections: WebRtcConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [])
    calls = WebRtcConnections(SystemClock(), patience=QUICK)
    try:
        placed, caller, called = await calls.place("call"), Listener(), Listener()
        placed.peer.listen(caller)
        answered = await connections.answer("call", placed.sdp)
        answered.peer.listen(called)
        await calls.accept("call", answered.sdp)
        await until(lambda: bool(caller.told_in_order and called.told_in_order))
        placed.peer.play(tone(0.5, 300, SPEAKING_RATE) + bytes(SPEAKING_RATE))
        await until(lambda: loud_seconds(bytes(called.sound), HEARING_RATE) > 0.3)
    finally:
        await calls.aclose()


async def test_a_caller_whose_address_changes_is_heard_and_hears_on(
    connections: WebRtcConnections,
) -> None:
    caller, listener = PlainCaller(), Listener()
    peer = (answered := await connections.answer("call", await caller.offer())).peer
    peer.listen(listener)
    await caller.accept(answered.sdp)
    await until(lambda: len(listener.heard_at) > 50)
    await caller.network.move()
    moved_at = asyncio.get_running_loop().time()
    await until(lambda: listener.heard_at[-1][0] > moved_at + 0.2, why="not heard")

    def aloud() -> float:
        return loud_seconds(b"".join(it for at, it in caller.heard if at > moved_at), SPEAKING_RATE)

    peer.play(spoken(20))
    await until(lambda: aloud() > 1, within_s=15, why="does not hear")
    assert listener.ending is None
    await caller.hang_up()
