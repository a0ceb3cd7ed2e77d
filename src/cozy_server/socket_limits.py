"""Bounds on a WebSocket that uvicorn does not have: large messages, many fragments, readers that stall, pings without end.

uvicorn answers every ping at once, whether or not the answers are read, and keeps the fragments of a message however many
there are; a connection that its client does not read stays for as long as TCP bears it. What lives here bounds those for
every surface with a socket, and lets an application finish what it is at when the server stops: it hears of it as a
disconnect that has `LEAVING` in it, and may still send. What a message may mean is the surfaces' business.
"""

import asyncio
from typing import Any, ClassVar, cast

import msgspec
from uvicorn._types import ASGIReceiveEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame

from cozy_server.sockets import LEAVING

_FRAGMENTS = 1_024
"""Of one message; browsers and libraries send one or a few."""

_CONTROLS_A_SECOND = 5
_CONTROLS_AT_ONCE = 100
"""Pings and pongs; browsers send none of themselves, libraries one in 20 s."""


class SocketLimits(msgspec.Struct, frozen=True):
    """``message_bytes`` is refused by its header, before it is kept; ``send_s`` is how long a client may leave what was sent
    unread while our buffer for it is full; ``close_s`` how long the end of a connection may take."""

    message_bytes: int = 1_048_576
    send_s: float = 60.0
    close_s: float = 5.0


def bounded_socket(limits: SocketLimits) -> type[WebSocketsSansIOProtocol]:
    """The protocol class to give uvicorn as ``ws=``."""
    return type("BoundedSocket", (_BoundedSocket,), {"limits": limits})


class _BoundedSocket(WebSocketsSansIOProtocol):
    limits: ClassVar[SocketLimits] = SocketLimits()

    _unread: asyncio.TimerHandle | None = None
    """Runs while our buffer is full."""
    _end: asyncio.TimerHandle | None = None
    """Runs while the connection is closing: bytes that nobody takes would keep it open."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.close_timeout = self.limits.close_s
        self.conn.max_message_size = self.limits.message_bytes
        self._leaving = False
        self._controlled_s = 0.0
        """When the allowance for pings and pongs is whole again."""

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._unread, self._end):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def handle_ping(self) -> None:
        if not self._may_control():
            return
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # RFC 6455, section 5.5.3: who sent many is answered one

    def handle_pong(self, event: Frame) -> None:
        if self._may_control():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < _FRAGMENTS:
            super().handle_cont(event)
            return
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Also what is no handshake at all, which has no close frame."""
        if self.conn.close_sent is None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        else:
            super().handle_parser_exception()
        self._end_soon()

    def keepalive_timeout(self) -> None:
        """Who is not read from cannot show that he is there."""
        if self.read_paused:
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self._end_soon()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._end_soon()

    def shutdown(self) -> None:
        """The application ends it, within the server's time for that."""
        if self._leaving or self.close_sent or not self.handshake_complete:
            super().shutdown()
            return
        self._leaving = True
        leaving = {"type": "websocket.disconnect", "code": CloseCode.SERVICE_RESTART, LEAVING: True}
        self.queue.put_nowait(cast("ASGIReceiveEvent", leaving))  # ASGI lets events have more keys

    async def run_asgi(self) -> None:
        served = self.app

        async def parting(*arguments: Any) -> None:
            try:
                await served(*arguments)
            finally:
                self._part()
                if self.close_sent:  # a refusal is an answer too, and nothing to be logged as a fault
                    self.handshake_complete = True

        self.app = parting
        await super().run_asgi()
        self._end_soon()

    def _part(self) -> None:
        """An application that said nothing at the server's end has this said for it."""
        if (
            self._leaving
            and not self.close_sent
            and not self.transport.is_closing()
            and not self.disconnected
        ):
            self.conn.send_close(CloseCode.SERVICE_RESTART)
            self.transport.write(b"".join(self.conn.data_to_send()))

    def _may_control(self) -> bool:
        """Whether a ping or pong more is taken; who sends too many is cut off."""
        now_s = self.loop.time()
        self._controlled_s = max(self._controlled_s, now_s) + 1 / _CONTROLS_A_SECOND
        if self._controlled_s - now_s <= _CONTROLS_AT_ONCE / _CONTROLS_A_SECOND:
            return True
        if self._end is None:
            self.conn.fail(CloseCode.POLICY_VIOLATION, "too many pings")
            self.handle_parser_exception()
        return False

    def _end_soon(self) -> None:
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(self.limits.close_s, self.transport.abort)
