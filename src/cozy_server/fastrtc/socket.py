"""``/websocket/offer``: FastRTC's mu-law in JSON, and PCM where a client asks for it.

The socket is taken before anything is said about who asks, because a browser tells its page nothing of a handshake that is
refused; a refusal is then FastRTC's message and the end.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.handlers import WebsocketRouteHandler
from litestar.params import SkipValidation
from litestar.types import Scope

from cozy_domain.access.caller import Caller
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.clock import Clock
from cozy_domain.errors import InputError, MissingError
from cozy_domain.speech.ports import AudioCodec
from cozy_server.auth import LATE, admit, count_request
from cozy_server.fastrtc.asking import admit_first, wish_in_query, with_body
from cozy_server.fastrtc.conversations import Conversation, Conversations, order_of
from cozy_server.fastrtc.frames import RATE, Ping, SocketWish, Start, Stop, pong, read
from cozy_server.fastrtc.lines import Line
from cozy_server.fastrtc.mulaw import decode, encode
from cozy_server.fastrtc.refusals import refusal_of
from cozy_server.fastrtc.socket_peer import LOST, SocketPeer, SocketSound
from cozy_server.fastrtc.tempo import Tempo
from cozy_server.fastrtc.waiting import WaitingRoom
from cozy_server.fastrtc.wire import ENCODER
from cozy_server.handshake import chosen_protocol
from cozy_server.sockets import OpenSocket, PlainSocket, ServerLeavesError, SocketLeftError, opened
from cozy_server.throttle.address import Addresses
from cozy_server.throttle.throttle import count_owner

_log = logging.getLogger(__name__)

START_S = 10.0
"""A client that has not said ``start`` by then says nothing."""
MOST_BEFORE_START = 20
"""Messages before ``start``: Twilio sends one, pages none. Nobody has said who he is yet, and each costs the same."""
STOP = '{"event":"stop"}'
REFUSED_CODE = 1000
"""FastRTC's: its pages read the message before it."""

AnySocket = WebSocket[Any, Any, Any]


class Sockets(msgspec.Struct, frozen=True):
    """``codec`` is None where nothing is installed that resamples. The rates are of sound whose page names none, in Hz.
    ``leave_s``: how long a call may take to say goodbye when the server stops."""

    conversations: Conversations
    codec: AudioCodec | None
    clock: Clock
    waiting: WaitingRoom
    addresses: Addresses
    input_rate: int = RATE
    output_rate: int = RATE
    leave_s: float = 10.0

    def place(self, caller: Caller | None, scope: Scope) -> AbstractContextManager[None]:
        """For a socket until it is known whose it is.

        Raises:
            LimitError: on entering: there are too many.
        """
        return nullcontext() if caller else self.waiting.place(self.addresses.of(scope))


class Inbox:
    """The messages of a socket, one after the other."""

    def __init__(self, socket: OpenSocket) -> None:
        self._socket = socket
        self.on_leaving: Callable[[], None] | None = None
        """Called when it is the server that stops; the client is still there, and hears what is sent to it."""

    async def next(self) -> str | None:
        """None when the client is lost; `STOP` also when it has closed the socket, as FastRTC's pages do. Bytes are no
        message of this protocol: they are refused as one that is no JSON."""
        while True:
            try:
                message = await self._socket.message()
            except ServerLeavesError:
                if self.on_leaving is None:
                    return None
                self.on_leaving()
            except SocketLeftError as left:
                return STOP if left.said_so else None
            else:
                return message if isinstance(message, str) else "\x00"


@websocket("/websocket/offer", websocket_class=PlainSocket, opt=dict(LATE))
async def offer(socket: AnySocket, fastrtc_sockets: NamedDependency[SkipValidation[Sockets]]) -> None:
    """A call over a WebSocket, as FastRTC has it."""
    way = await opened(socket, chosen_protocol(socket.scope.get("subprotocols", ())))
    inbox = Inbox(way)
    try:
        peer, conversation, line = await _begin(socket, inbox, way, fastrtc_sockets)
    except StillbornError:
        await way.close(1000)
        return
    except Exception as error:  # noqa: BLE001  the top of a socket: whatever it is, the client is told as FastRTC does
        await refuse(way, error, socket.scope)
        return
    await carry(way, inbox, peer, conversation, line, fastrtc_sockets.leave_s)


class StillbornError(Exception):
    """The client went, or said nothing, before a call began."""


async def first(inbox: Inbox, way: OpenSocket) -> Start:
    """
    Raises:
        StillbornError: it did not come.
        InputError: what came was no message, or too many that are not ``start``.
    """
    seen = 0
    try:
        async with asyncio.timeout(START_S):
            while (message := await inbox.next()) is not None:
                seen += 1
                if seen > MOST_BEFORE_START:
                    raise InputError("The first message must be 'start'.", param="event")
                inbound = read(message)
                if isinstance(inbound, Start):
                    return inbound
                if isinstance(inbound, Stop):
                    break
                if isinstance(inbound, Ping):
                    await way.tell(pong().encode())
    except (TimeoutError, SocketLeftError):
        pass
    raise StillbornError


async def carry(
    way: OpenSocket,
    inbox: Inbox,
    peer: SocketPeer,
    conversation: Conversation,
    line: Line,
    leave_s: float,
) -> None:
    """Until the line ends."""
    call = conversation.its.call
    inbox.on_leaving = lambda: call.drain(leave_s)

    async def send(message: str) -> None:
        await way.tell(message.encode())

    conversation.attach(line, peer, announces=False)
    ending = await peer.run(inbox.next, send)
    if ending is not LOST:
        await way.close(ending.code)


async def refuse(way: OpenSocket, error: Exception, scope: Scope) -> None:
    await way.close(REFUSED_CODE, ENCODER.encode(refusal_of(error, scope)))


def sound_of(
    wish: SocketWish,
    codec: AudioCodec | None,
    input_rate: int,
    output_rate: int,
    clock: Clock | None = None,
) -> SocketSound:
    """With a ``clock`` nobody has said that ``input_rate`` is what will come, and it is noticed what does.

    Raises:
        MissingError: ``not_configured``: it would have to be resampled, and nothing is installed that does.
    """
    is_mulaw = wish.format == "mulaw"
    hear = _then(decode if is_mulaw else None, _resampler(codec, input_rate, HEARING_RATE))
    if clock is not None and codec is not None:
        hear = _Noticing(hear, codec, input_rate, clock, is_mulaw=is_mulaw).hear
    return SocketSound(
        hear=hear, speak=_then(_resampler(codec, SPEAKING_RATE, output_rate), encode if is_mulaw else None)
    )


class _Noticing:
    """Hears a page that did not say its rate: as ``hear`` does, until its sound comes at another one."""

    def __init__(
        self, hear: Callable[[bytes], bytes], codec: AudioCodec, rate: int, clock: Clock, *, is_mulaw: bool
    ) -> None:
        self._hear = hear
        self._codec = codec
        self._clock = clock
        self._is_mulaw = is_mulaw
        self._tempo = Tempo(rate)

    def hear(self, payload: bytes) -> bytes:
        samples = len(payload) if self._is_mulaw else len(payload) // SAMPLE_BYTES
        if self._tempo.came(samples, self._clock.monotonic_ns()):
            rate = self._tempo.rate
            _log.info("socket_rate_noticed", extra={"rate": rate, "told": "A page may say its input_rate."})
            self._hear = _then(
                decode if self._is_mulaw else None, _resampler(self._codec, rate, HEARING_RATE)
            )
        return self._hear(payload)


async def _begin(
    socket: AnySocket, inbox: Inbox, way: OpenSocket, sockets: Sockets
) -> tuple[SocketPeer, Conversation, Line]:
    wish = wish_in_query(socket, SocketWish)
    caller = await admit_first(socket, wish)
    with sockets.place(caller, socket.scope):
        start = await first(inbox, way)
        wish = with_body(wish, start.cozy)
        if caller is None:
            caller = await admit(socket.scope, wish.token)
    await count_request(socket.scope)
    if start.websocket_id is None:
        raise InputError(
            "'start' needs a websocket_id.", code="missing_required_parameter", param="websocket_id"
        )
    sound = sound_of(
        wish,
        sockets.codec,
        wish.input_rate or sockets.input_rate,
        wish.output_rate or sockets.output_rate,
        sockets.clock if wish.input_rate is None else None,
    )
    order = order_of(wish, caller, socket.scope)
    await count_owner(socket.scope, caller, order.owner)
    conversations = sockets.conversations
    line = conversations.lines.claim(caller, start.websocket_id, wish.user_id)
    if wish.call is not None:
        conversation = conversations.go_on(line, order.owner, wish.call)
    else:
        conversation = await conversations.begin(line, order)
    # FastRTC's own pages do not know `clear`: what was sent to them is heard.
    return SocketPeer(sound, sockets.clock, take_back=wish.clear), conversation, line


def _then(*steps: Callable[[bytes], bytes] | None) -> Callable[[bytes], bytes]:
    known = [it for it in steps if it is not None]

    def through(sound: bytes) -> bytes:
        for step in known:
            sound = step(sound)
        return sound

    return through


def _resampler(codec: AudioCodec | None, rate: int, wanted: int) -> Callable[[bytes], bytes] | None:
    if rate == wanted:
        return None
    if codec is None:
        raise MissingError(
            f"Nothing is installed that turns sound of {rate} Hz into {wanted} Hz.",
            code="not_configured",
            hint="pip install 'cozy-engine[voice]'.",
        )
    return codec.resampler(rate, wanted).decode


routes: list[WebsocketRouteHandler] = [offer]
