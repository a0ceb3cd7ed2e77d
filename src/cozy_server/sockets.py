"""An open WebSocket: what comes in, what goes out, and how it ends, for every surface that has one."""

import asyncio
from typing import Any

from litestar import WebSocket
from litestar.types import Receive, Send

from cozy_domain.errors import LimitError

LEAVING = "leaving"
"""A key of ``websocket.disconnect``: it is the server that leaves, and what is sent now still arrives."""
SEND_S = 20.0
"""A client that leaves our buffer full for so long does not read any more."""
PARTING_S = 1.0
"""For what is said last."""
_RETRY_S = 1.0


class SocketLeftError(Exception):
    """The client has gone. ``said_so``: it closed the socket, and was not lost."""

    def __init__(self, *, said_so: bool = False) -> None:
        super().__init__()
        self.said_so = said_so


class ServerLeavesError(Exception):
    """The server begins to stop: what is under way may be finished, and nothing new begins."""


class PlainSocket(WebSocket[Any, Any, Any]):
    """Litestar's forbids to send once it has seen a disconnect, which here may be the server's own."""

    def receive_wrapper(self, receive: Receive) -> Receive:
        return receive

    def send_wrapper(self, send: Send) -> Send:
        return send


class OpenSocket:
    """One that is accepted. Any number of tasks may send, one may receive."""

    def __init__(self, socket: WebSocket[Any, Any, Any], send_s: float = SEND_S) -> None:
        self._socket = socket
        self._send_s = send_s
        self._closed = False

    async def message(self) -> str | bytes:
        """The next one, text or binary.

        Raises:
            SocketLeftError: there is none, and nobody who could read an answer.
            ServerLeavesError: once; then messages go on.
        """
        event: Any = await self._socket.receive()
        if event["type"] == "websocket.receive":
            text: str | None = event.get("text")
            data: bytes = event.get("bytes") or b""
            return data if text is None else text
        if event.get(LEAVING):
            raise ServerLeavesError
        # uvicorn gives a connection that breaks the same code as a close frame without one, but no reason.
        raise SocketLeftError(said_so="reason" in event)

    async def tell(self, message: bytes, within_s: float | None = None) -> None:
        """Sends ``message``, which is UTF-8, as text.

        Raises:
            SocketLeftError: the client has gone.
            LimitError: ``client_too_slow``: it does not read.
        """
        event = {"type": "websocket.send", "text": message.decode()}
        await self._send(event, self._send_s if within_s is None else within_s)

    async def close(self, code: int, last: bytes | None = None) -> None:
        """Says ``last``, if there still is somebody to hear it, and ends the connection."""
        if self._closed:
            return
        self._closed = True
        try:
            if last is not None:
                await self.tell(last, PARTING_S)
            await self._send({"type": "websocket.close", "code": code, "reason": ""}, PARTING_S)
        except (SocketLeftError, LimitError):
            pass  # the server cuts it

    async def _send(self, event: Any, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._socket.send(event)
        except TimeoutError:
            raise LimitError(
                "The client does not read what it is sent.", code="client_too_slow", retry_after_s=_RETRY_S
            ) from None
        except OSError:  # the server's word for a client that has gone
            raise SocketLeftError from None


async def opened(
    socket: WebSocket[Any, Any, Any], protocol: str | None = None, send_s: float = SEND_S
) -> OpenSocket:
    """Accepts it, which its route must have made a `PlainSocket`; ``protocol`` is confirmed."""
    await socket.accept(protocol)
    return OpenSocket(socket, send_s)
