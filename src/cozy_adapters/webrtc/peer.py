"""One line over WebRTC."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import msgspec
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcicetransport import RTCIceCandidate

from cozy_adapters.webrtc import internals
from cozy_adapters.webrtc.description import Description
from cozy_adapters.webrtc.ice import Candidate
from cozy_adapters.webrtc.receive import ReceivedSound
from cozy_adapters.webrtc.send import SpokenSound
from cozy_domain.access.limits import Bucket, Limit
from cozy_domain.errors import InputError
from cozy_domain.voice.outgoing import Outgoing
from cozy_domain.voice.ports import CLOSED, FAILED, HUNG_UP, NEVER_CONNECTED, VANISHED, PeerListener

UNSENT = 64
"""Messages that wait for a data channel, or for the caller to read; more, and the oldest are dropped."""
IN_FLIGHT_BYTES = 65_536
"""Of messages that the transport holds for a caller who does not read."""
MESSAGES = Limit(100, window_us=2_000_000)
"""Of a caller: 100 at once, and 50 a second after that; more are dropped."""
SHOWN_BYTES = 1_024
"""Of a binary message, which nothing here reads, as many are told; each takes up to four characters."""
UNTOLD = 500
"""What happened before somebody listened; the oldest is forgotten."""
LAST_WORDS_S = 0.5
"""So long the end of a line waits for messages that were told before it."""
LOOK_S = 0.5
"""How often it is looked whether the caller is still there: the error of `Patience`."""

_REFUSALS = (ValueError, AssertionError, InternalError, InvalidAccessError, InvalidStateError, OperationError)
"""What aiortc raises for a description that it cannot answer."""


class Patience(msgspec.Struct, frozen=True):
    """How long a caller may take to connect, and be gone before it is told and before it is over. Browsers check that we are
    there every 2.5 s, and a microphone sends 50 packets a second (RFC 7675 and Chromium's stable ping interval)."""

    connect_s: float = 30.0
    lost_s: float = 3.0
    vanished_s: float = 30.0


class WebRtcAudioPeer:
    """An `AudioPeer`. ``forget`` is called when it has ended; what it holds is freed by ``freed``, a task of its own."""

    def __init__(
        self, configuration: RTCConfiguration, patience: Patience, forget: Callable[[], None] | None = None
    ) -> None:
        self.freed: asyncio.Task[None] | None = None
        self.dropped = 0
        self._patience = patience
        self._forget = forget
        self._listener: PeerListener | None = None
        self._untold: deque[Callable[[PeerListener], None]] = deque(maxlen=UNTOLD)
        self._outgoing = Outgoing()
        self._spoken = SpokenSound(self._outgoing, self._sent)
        self._sound = ReceivedSound(self._heard)
        self._channel: RTCDataChannel | None = None
        self._unsent: deque[str] = deque(maxlen=UNSENT)
        self._allowance = Bucket(MESSAGES)
        self._connected = False
        self._lost = False
        self._ended = False
        self._alive_at = time.monotonic()
        self._connection = RTCPeerConnection(configuration)
        self._connecting = internals.Connecting(self._connection)
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", self._channel_opened)
        transceiver = self._connection.addTransceiver("audio")
        internals.receive_packets(transceiver, self._sound.packet)
        self._spoken.leave_by(internals.PacketSender(transceiver, self._spoken.change))
        internals.gather_on_loopback(self._connection)
        self._timer = asyncio.get_running_loop().call_later(patience.connect_s, self._finish, NEVER_CONNECTED)

    async def answer(self, offer: Description) -> str:
        """Our answer, as SDP.

        Raises:
            InputError: ``invalid_sdp``.
        """
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(str(offer), "offer"))
            await self._connection.setLocalDescription()
            internals.drop_malformed(self._connection)
            self._notice_arrivals()
        except _REFUSALS as error:
            raise InputError(
                "This offer cannot be answered: it does not fit together.", code="invalid_sdp", param="sdp"
            ) from error
        return self._connection.localDescription.sdp

    async def offer(self) -> str:
        """Our own offer, as SDP, with a data channel: this side calls."""
        self._use(self._connection.createDataChannel("text"))
        await self._connection.setLocalDescription()
        internals.drop_malformed(self._connection)
        return self._connection.localDescription.sdp

    @property
    def on_loopback(self) -> bool:
        """Whether this machine has no other address, as an offer or answer has shown."""
        return internals.on_loopback(self._connection)

    async def accept(self, answer: Description) -> None:
        """The answer to our offer.

        Raises:
            InputError: ``invalid_sdp``.
        """
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(str(answer), "answer"))
        except _REFUSALS as error:
            raise InputError(
                "This answer does not fit the offer.", code="invalid_sdp", param="sdp"
            ) from error
        self._notice_arrivals()

    async def add_candidate(self, found: Candidate) -> None:
        if self._ended:
            return
        await internals.ice_of(self._connection).addRemoteCandidate(
            RTCIceCandidate(
                component=1,
                foundation=found.foundation,
                ip=found.address,
                port=found.port,
                priority=found.priority,
                protocol="udp",
                type=found.type,
            )
        )

    def listen(self, listener: PeerListener) -> None:
        self._listener = listener
        while self._untold:
            self._untold.popleft()(listener)

    def play(self, samples: bytes) -> None:
        if not self._ended:
            self._outgoing.play(samples)
            self._spoken.change()

    @property
    def queued(self) -> int:
        return self._outgoing.queued

    def pause(self) -> None:
        self._outgoing.pause()

    def resume(self) -> None:
        self._outgoing.resume()
        self._spoken.change()

    def clear(self) -> int:
        return self._outgoing.clear()

    def tell(self, message: str) -> None:
        if not self._ended:
            self._unsent.append(message)
            self._send()

    async def close(self) -> None:
        self._finish(CLOSED)
        if self.freed is not None:
            await asyncio.wait([self.freed])

    def _report(self, tell: Callable[[PeerListener], None]) -> None:
        """Tells the listener, now or when there is one."""
        if self._listener is not None and not self._untold:
            tell(self._listener)
        else:
            self._untold.append(tell)

    def _heard(self, samples: bytes) -> None:
        if self._listener is not None and not self._untold:
            self._listener.heard(samples)
        else:
            self._untold.append(lambda it: it.heard(samples))

    def _sent(self, spoken: int) -> None:
        if spoken:
            left = self._outgoing.left
            self._report(lambda it: it.played(left))

    def _notice_arrivals(self) -> None:
        internals.read_directly(self._connection, self._notice)
        internals.begin_messages(self._connection)

    def _notice(self) -> None:
        self._alive_at = time.monotonic()
        if self._lost and not self._ended:
            self._lost = False
            self._spoken.hold(False)
            self._report(lambda it: it.resumed())
            self._send()

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and not self._connected and not self._ended:
            self._connected = True
            self._alive_at = time.monotonic()
            self._timer.cancel()
            self._look_later()
            self._report(lambda it: it.connected())
        elif state in {"failed", "closed"}:
            self._finish(self._why())

    def _why(self) -> str:
        if not self._connected:
            return NEVER_CONNECTED
        if time.monotonic() - self._alive_at >= self._patience.lost_s:
            return VANISHED
        return HUNG_UP if self._connection.connectionState == "closed" else FAILED

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Is the caller still there? If this comes late itself, what arrived meanwhile is not read yet."""
        if internals.overfilled(self._connection):
            self._finish(FAILED)
            return
        late_s = asyncio.get_running_loop().time() - self._timer.when()
        silent_s = 0.0 if late_s > LOOK_S else time.monotonic() - self._alive_at
        if silent_s >= self._patience.vanished_s:
            self._finish(VANISHED)
            return
        if silent_s >= self._patience.lost_s and not self._lost:
            self._lost = True
            self._spoken.hold(True)
            self._report(lambda it: it.lost(round(silent_s * 1e9)))
        self._look_later()

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        """The newest one is used for what we tell; what is said on any of them is heard."""
        self._use(channel)
        self._send()

    def _use(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._message)
        channel.on("bufferedamountlow", self._send)
        channel.on("open", self._send)

    def _message(self, message: str | bytes) -> None:
        if not self._allowance.admits(time.monotonic_ns() // 1_000):
            self.dropped += 1
            return
        if not self._ended:
            words = message if isinstance(message, str) else repr(message[:SHOWN_BYTES])
            self._report(lambda it: it.told(words))

    def _send(self) -> None:
        channel = self._channel
        if channel is None or self._lost:
            return
        while self._unsent and channel.readyState == "open" and channel.bufferedAmount < IN_FLIGHT_BYTES:
            channel.send(self._unsent.popleft())

    def _finish(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._timer.cancel()
        self._sound.close()
        self._spoken.close()
        self._outgoing.clear()
        self.freed = asyncio.get_running_loop().create_task(
            self._free(last_words=reason == CLOSED), name="end of a line"
        )
        if self._forget is not None:
            self._forget()
        self._report(lambda it: it.ended(reason))

    async def _free(self, *, last_words: bool) -> None:
        if last_words and self._connected and not self._lost:
            await self._tell_all()
        self._unsent.clear()
        await self._connection.close()
        await self._connecting.over()

    async def _tell_all(self) -> None:
        """Until all messages are on their way, if that is soon."""
        until = time.monotonic() + LAST_WORDS_S
        channel = self._channel
        while channel is not None and channel.readyState == "open" and time.monotonic() < until:
            self._send()
            if not (self._unsent or channel.bufferedAmount):
                return
            await asyncio.sleep(0.005)
