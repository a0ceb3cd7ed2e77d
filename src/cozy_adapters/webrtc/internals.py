"""All that we use of aiortc and aioice beyond what they document, for the versions that `KNOWN` names.

Nine things: a receiver of our own stands in for aiortc's, so that packets come to us undecoded and unbuffered; packets of
sound leave as they are, when they are due; the ICE transport of a connection is told candidates directly; the end of
connecting can be waited for; what arrives from the caller is noticed, and read where it arrives; what is malformed is
dropped where it would raise; messages find their way when the packets that begin them are lost, and share packets; a caller
whose address changes is followed; and a machine without a network calls itself. A test fails when an installed version is
another one, so that whoever renews it looks here.
"""

import asyncio
import random
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import pylibsrtp
from aiortc import RTCPeerConnection, RTCRtpTransceiver
from aiortc.exceptions import InvalidStateError
from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack, StreamStatistics
from aiortc.rtcsctptransport import (
    SCTP_COMMON_HEADER_LENGTH,
    SCTP_MAX_PACKET_LENGTH,
    Chunk,
    DataChunk,
    InitChunk,
    RTCSctpTransport,
    serialize_packet,
)
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket
from aiortc.stats import RTCStatsReport

LOOPBACK = "127.0.0.1"
KNOWN = {"aiortc": "1.16", "aioice": "0.13"}

Arrived = Callable[[int, int, int, bytes], None]
"""SSRC, sequence number, timestamp and payload of an RTP packet."""
Received = Callable[[bytes, Any], None]
"""A datagram and where it is from."""
HEADER = struct.Struct("!BBHLL")
RTP_HEADER = HEADER.size
SENDER_REPORT = struct.Struct("!xxxxLQ")
"""Of it: SSRC and NTP timestamp (RFC 3550, section 6.4.1)."""
SENDER_REPORT_TYPE = 200
RTP_VERSION = 2 << 6
MARKER = 1 << 7
"""Set on every packet of sound, as aiortc does."""
MOST_JITTER = 0xFFFFFFFF
"""What a report holds (RFC 3550, section 6.4.1). With more the reports of aiortc would end, and the connection never."""
NTP_SINCE_UNIX_S = 2_208_988_800
"""RFC 868."""
DATA_RATE = 262_144
"""Bytes a second; 50 messages a second of 5,000 bytes."""
DATA_BURST = 1_048_576
ENDING_S = 1.0
"""A hundred times what a connection needs to notice that it was closed."""
FIRST_TIMEOUT_S = 1.0
"""Until the time to the caller and back is known (RFC 9260, section 16). aiortc waits 3 s, as RFC 4960 had it."""
REPORT_S = 1.0
"""Between two reports to the sender, varied by half (RFC 3550, section 6.2, with the interval of aiortc)."""


def receive_packets(transceiver: RTCRtpTransceiver, arrived: Arrived) -> None:
    """Puts `PacketReceiver` in the place of the transceiver's receiver, before it has received anything."""
    transceiver._RTCRtpTransceiver__receiver = PacketReceiver(transceiver.receiver.transport, arrived)  # type: ignore[attr-defined]
    transceiver.receiver._set_rtcp_ssrc(transceiver.sender._ssrc)


class Connecting:
    """The tasks in which a connection connects: aiortc starts them and keeps none of them, so nobody could wait for their
    end, which comes up to 20 ms after the connection was closed, or hear of an error."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        self._connection = connection
        self._tasks: set[asyncio.Task[None]] = set()
        self._connect: Callable[[], Coroutine[Any, Any, None]] = connection._RTCPeerConnection__connect  # type: ignore[attr-defined]
        connection._RTCPeerConnection__connect = self._connected  # type: ignore[attr-defined]

    async def over(self) -> None:
        """To be called after the connection was closed: returns when all of them have ended, and what they began after its
        end. Those that do not end by themselves are cancelled."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDING_S)
        for task in self._tasks:
            task.cancel()
        for transceiver in self._connection.getTransceivers():
            await transceiver.stop()
            await transceiver.receiver.transport.stop()
        await end_consent(self._connection)

    async def _connected(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        self._tasks.add(task)
        try:
            await self._connect()
        except (ConnectionError, InvalidStateError):
            """It was closed meanwhile."""
        finally:
            self._tasks.discard(task)


async def end_consent(connection: RTCPeerConnection) -> None:
    """Ends the checks that the caller is still there. A connection that is closed in the moment in which ICE completes
    begins them after its end, and goes on for ever."""
    task = ice_of(connection)._connection._query_consent_task
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])


def ice_of(connection: RTCPeerConnection) -> RTCIceTransport:
    """The way of the sound, once the remote description is set: sections that are bundled share it."""
    (transceiver,) = connection.getTransceivers()
    return transceiver.receiver.transport.transport


def gather_on_loopback(connection: RTCPeerConnection) -> None:
    """A machine without any network still has one address, which aioice leaves out. To be called before candidates are
    gathered."""
    ice: Any = ice_of(connection)._connection
    gather = ice.get_component_candidates

    async def gathered(component: int, addresses: list[str], timeout: int = 5) -> Any:  # noqa: ASYNC109  aioice's
        return await gather(component=component, addresses=addresses or [LOOPBACK], timeout=timeout)

    ice.get_component_candidates = gathered


def on_loopback(connection: RTCPeerConnection) -> bool:
    """Whether that is all there was."""
    found = ice_of(connection)._connection.local_candidates
    return bool(found) and all(it.host == LOOPBACK for it in found)


def read_directly(connection: RTCPeerConnection, noticed: Callable[[], None]) -> None:
    """To be called when the candidates are gathered. Calls ``noticed`` for every datagram of the caller: media, data, and
    checks that we are there (RFC 7675). Media goes to the `PacketReceiver` from the socket: through aioice, which tries
    whether it is STUN, and aiortc's queue, task, parser and router, which do nothing for us, an idle call costs half as
    much again."""
    (transceiver,) = connection.getTransceivers()
    receiver: Any = transceiver.receiver  # a `PacketReceiver`
    dtls = receiver.transport
    ice: Any = ice_of(connection)._connection
    data_received, request_received = ice.data_received, ice.request_received
    allowance = _Allowance()
    source: Any = None
    """Where the newest media came from."""

    def data(datagram: bytes, component: int) -> None:
        noticed()
        if allowance.covers(len(datagram)):
            data_received(datagram, component)

    def request(message: Any, address: Any, protocol: Any) -> None:
        noticed()
        request_received(message, address, protocol)
        if address == source:
            _follow(ice, address, protocol)

    def sorted_out(received: Received) -> Received:
        def arrived(datagram: bytes, address: Any) -> None:
            nonlocal source
            if not is_media(datagram):
                received(datagram, address)
                return
            noticed()
            srtp = dtls._rx_srtp
            if srtp is None:  # keys are not agreed on: nobody can read it
                return
            try:
                if is_rtcp(datagram):
                    receiver.report(srtp.unprotect_rtcp(datagram))
                else:
                    receiver.datagram(srtp.unprotect(datagram))
                    source = address
            except (pylibsrtp.Error, ValueError):
                """Forged, or repeated; or longer than a network carries in one piece."""

        return arrived

    ice.data_received, ice.request_received = data, request
    for protocol in ice._protocols:
        protocol.datagram_received = sorted_out(protocol.datagram_received)


def _follow(ice: Any, address: Any, protocol: Any) -> None:
    """The caller's sound and its check come from ``address``: so does the way to it lead, once the check that we answer it
    with has shown that it is there. A NAT that forgets a caller changes its address, and of browsers not all nominate the
    new one; without this we would speak to nobody until our consent runs out (RFC 7675)."""
    way = ice._nominated.get(1)
    if ice.ice_controlling or way is None or way.remote_addr == address:
        return
    for pair in ice._check_list:
        if pair.protocol is protocol and pair.remote_addr == address:
            pair.remote_nominated = True
            if pair.state is pair.State.SUCCEEDED:
                pair.nominated = True
                ice.check_complete(pair)


def begin_messages(connection: RTCPeerConnection) -> None:
    """To be called before the connection connects: see `_Chunks`."""
    sctp: Any = connection.sctp
    if sctp is not None:
        sctp._rto = FIRST_TIMEOUT_S
        sctp._send_chunk = _Chunks(sctp)


class _Chunks:
    """Sends chunks as ever, but for two kinds.

    Each INIT leaves with no verification tag (RFC 9260, section 8.5.1). Both sides send one. aiortc repeats its own with the
    tag that it learned from the other's, and everybody must drop that: where the answers to both were lost, no message would
    ever arrive.

    DATA that is sent in one moment leaves in one packet (section 6.10). A turn is told in dozens of messages, several at a
    time, and each packet costs both sides keys, a call of the system, and an acknowledgement that costs the same again.
    """

    def __init__(self, sctp: RTCSctpTransport) -> None:
        self._sctp: Any = sctp
        self._send: Callable[[Chunk], Coroutine[Any, Any, None]] = self._sctp._send_chunk
        self._waiting = b""
        self._leaving: asyncio.Task[None] | None = None

    async def __call__(self, chunk: Chunk) -> None:
        if isinstance(chunk, DataChunk):
            await self._gather(bytes(chunk))
            return
        await self._leave()
        if isinstance(chunk, InitChunk):
            sctp = self._sctp
            await sctp.transport._send_data(serialize_packet(sctp._local_port, sctp._remote_port, 0, chunk))
        else:
            await self._send(chunk)

    async def _gather(self, chunk: bytes) -> None:
        if SCTP_COMMON_HEADER_LENGTH + len(self._waiting) + len(chunk) > SCTP_MAX_PACKET_LENGTH:
            await self._leave()
        if not self._waiting:
            self._leaving = asyncio.create_task(self._end_moment(), name="messages of one moment")
        self._waiting += chunk

    async def _end_moment(self) -> None:
        """Begins when all have run that were ready when the first of its messages came."""
        try:
            await self._leave()
        except ConnectionError:
            """Nobody is there any more."""

    async def _leave(self) -> None:
        waiting, self._waiting = self._waiting, b""
        if waiting:
            await self._send(_Gathered(body=waiting))


class _Gathered(Chunk):
    """Whole chunks, one behind the other."""

    def __bytes__(self) -> bytes:
        return self.body


def drop_malformed(connection: RTCPeerConnection) -> None:
    """To be called when the candidates are gathered. aioice reads STUN before it knows from whom it is, and a number in it
    that is too short raises what nobody catches: each datagram of a stranger would be a traceback in the log."""
    ice: Any = ice_of(connection)._connection
    for protocol in ice._protocols:
        protocol.datagram_received = _bearing(protocol.datagram_received)


def _bearing(received: Received) -> Received:
    def bearing(datagram: bytes, address: Any) -> None:
        try:
            received(datagram, address)
        except struct.error:
            """No STUN: dropped, as what is malformed in other ways is."""

    return bearing


def is_media(datagram: bytes) -> bool:
    """RTP or RTCP, and not DTLS or STUN (RFC 7983, section 7)."""
    return len(datagram) >= RTP_HEADER and 128 <= datagram[0] <= 191


def is_rtcp(media: bytes) -> bool:
    """And not RTP (RFC 5761, section 4)."""
    return 192 <= media[1] <= 223


def overfilled(connection: RTCPeerConnection) -> bool:
    """Whether the caller sends messages beyond the window that it was given. aiortc keeps parts of unfinished messages
    without end, whatever the window."""
    return connection.sctp is not None and connection.sctp._advertised_rwnd < 0


class _Allowance:
    """Bytes of keys and messages that one caller may send: what is beyond is dropped, as a network would, and SCTP slows
    down."""

    def __init__(self) -> None:
        self._used_until = 0.0

    def covers(self, size: int) -> bool:
        now = time.monotonic()
        start = max(self._used_until, now)
        if start - now > DATA_BURST / DATA_RATE:
            return False
        self._used_until = start + size / DATA_RATE
        return True


class PacketSender:
    """RTP packets (RFC 3550, section 5.1) of one stream, from where they are made to the socket at once. aiortc's sender
    asks a track for each in a task of its own, and makes six objects of it, which costs as much as encoding the sound. Its
    reports go on, and tell what is sent here.

    Args:
        began: Called when packets can leave, unless the connection ends before.
    """

    def __init__(self, transceiver: RTCRtpTransceiver, began: Callable[[], None]) -> None:
        sender: Any = transceiver.sender
        self._report: Callable[[list[Any]], Coroutine[Any, Any, None]] = sender._send_rtcp
        sender._run_rtp, sender._send_rtcp = self._run, self._report_both
        self._sender = sender
        self._receiver: Any = transceiver.receiver  # a `PacketReceiver`
        self._began = began
        self._kind: int | None = None
        self._ticks = self._packets = self._octets = 0
        self._left_at = 0.0
        self._sequence = random.getrandbits(15)  # not near its end: SRTP counts how often it came round
        self._origin = random.getrandbits(32)

    @property
    def open(self) -> bool:
        """Whether packets can leave now."""
        return self._way is not None

    def send(self, timestamp: int, payload: bytes) -> None:
        """``timestamp`` in ticks since the first. A packet that cannot leave is lost, as it may be in a network."""
        way, sender = self._way, self._sender
        if way is None or self._kind is None or not sender._enabled:
            return
        self._ticks = (self._origin + timestamp) & 0xFFFFFFFF
        header = HEADER.pack(RTP_VERSION, MARKER | self._kind, self._sequence, self._ticks, sender._ssrc)
        way.protocol.transport.sendto(sender.transport._tx_srtp.protect(header + payload), way.remote_addr)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._packets += 1
        self._octets += len(payload)
        self._left_at = time.time()

    @property
    def _way(self) -> Any:
        """What ICE chose, if it has, and keys are agreed on."""
        transport = self._sender.transport
        if self._kind is None or transport._state is not State.CONNECTED:
            return None
        return transport.transport._connection._nominated.get(1)

    async def _report_both(self, packets: list[Any]) -> None:
        """What was received is told with what was sent (RFC 3550, section 6.4.1), in one packet instead of two."""
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                packet.sender_info = RtcpSenderInfo(
                    ntp_timestamp=int((self._left_at + NTP_SINCE_UNIX_S) * (1 << 32)) if self._packets else 0,
                    rtp_timestamp=self._ticks,
                    packet_count=self._packets & 0xFFFFFFFF,
                    octet_count=self._octets & 0xFFFFFFFF,
                )
                packet.reports = self._receiver.reports()
        await self._report(packets)

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """Stands for the sending task of aiortc, which waits for its beginning and its end."""
        self._sender._RTCRtpSender__rtp_started.set()
        try:
            self._kind = codec.payloadType
            self._receiver.reports_alone = False
            self._began()
            await asyncio.Event().wait()
        finally:
            self._kind = None
            self._receiver.reports_alone = True
            self._sender._RTCRtpSender__rtp_exited.set()


class _Numbered(NamedTuple):
    """What of a packet statistics look at."""

    sequence_number: int
    timestamp: int


class PacketReceiver:
    """What a transceiver and a connection ask of an ``RTCRtpReceiver``, without buffer and decoder. Packets come from
    `read_directly`."""

    def __init__(self, transport: RTCDtlsTransport, arrived: Arrived) -> None:
        self._enabled = True
        self._arrived = arrived
        self._transport = transport
        self._track: RemoteStreamTrack | None = None
        self._payload_types: frozenset[int | None] = frozenset()
        self._own_ssrc: int | None = None
        self._streams: dict[int, StreamStatistics] = {}
        self._heard_of: dict[int, tuple[int, float]] = {}
        self._reporting: asyncio.Task[None] | None = None
        self.reports_alone = True
        """Whether no sender's reports take along what was received."""

    @property
    def track(self) -> RemoteStreamTrack | None:
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport:
        return self._transport

    def setTransport(self, transport: RTCDtlsTransport) -> None:  # noqa: N802 - aiortc's name
        self._transport = transport

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        self._own_ssrc = ssrc

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        if self._reporting is None:
            self._payload_types = frozenset(codec.payloadType for codec in parameters.codecs)
            self._reporting = asyncio.create_task(self._report(), name="receiver reports")

    async def stop(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.wait([self._reporting])

    def report(self, packet: bytes) -> None:
        """RTCP, authenticated. All that concerns us of it is when a sender of sound reports, which comes first (RFC 3550,
        section 6.4.1)."""
        if len(packet) >= SENDER_REPORT.size and packet[1] == SENDER_REPORT_TYPE:
            ssrc, ntp = SENDER_REPORT.unpack_from(packet)
            self._heard_of = {ssrc: (ntp >> 16 & 0xFFFFFFFF, time.time())}

    def datagram(self, packet: bytes) -> None:
        """One RTP packet (RFC 3550, section 5.1), authenticated."""
        if len(packet) < RTP_HEADER:
            return
        flags, kind, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
        start = RTP_HEADER + 4 * (flags & 0x0F)
        if flags & 0x10 and len(packet) >= start + 4:
            start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
        end = len(packet) - (packet[-1] if flags & 0x20 else 0)
        if start > end or kind & 0x7F not in self._payload_types or not self._enabled:
            return
        stream = self._streams.get(ssrc)
        if stream is None:
            self._streams.clear()  # of one microphone only the newest stream counts
            stream = self._streams[ssrc] = StreamStatistics(48_000)
        stream.add(_Numbered(sequence, timestamp))  # type: ignore[arg-type]
        self._arrived(ssrc, sequence, timestamp, packet[start:end])

    async def getStats(self) -> RTCStatsReport:  # noqa: N802 - aiortc's name
        return RTCStatsReport()

    async def _report(self) -> None:
        """To a caller who is not sent anything."""
        while True:
            await asyncio.sleep(REPORT_S * (0.5 + random.random()))  # noqa: S311 - no secret
            if self.reports_alone and self._streams and self._own_ssrc is not None:
                packet = RtcpRrPacket(ssrc=self._own_ssrc, reports=self.reports())
                try:
                    await self._transport._send_rtp(bytes(packet))
                except ConnectionError:
                    return

    def reports(self) -> list[RtcpReceiverInfo]:
        """What was received and lost since the last ones, for the caller's program: it adapts to it."""
        return [self._reported(ssrc, stream) for ssrc, stream in self._streams.items()]

    def _reported(self, ssrc: int, stream: StreamStatistics) -> RtcpReceiverInfo:
        ntp, at = self._heard_of.get(ssrc, (0, 0.0))
        since = time.time() - at
        return RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=stream.fraction_lost,
            packets_lost=stream.packets_lost,
            highest_sequence=stream.max_seq or 0,
            jitter=min(stream.jitter, MOST_JITTER),
            lsr=ntp,
            dlsr=int(since * 65_536) if ntp and 0 < since < 65_536 else 0,
        )
