"""One process that listens: uvicorn run as a library, with our bounds on connections and our way of stopping.

At SIGTERM readiness falls at once; for ``drain_s`` new requests are still taken, so that a load balancer can notice; then
the listening socket closes, answers under way may finish, and what is left at ``shutdown_timeout_s`` (counted from the
signal) is cut. The application's own end comes after that in any case. A second signal skips the waiting. Either way the
exit code is 0. SIGINT does the same without the drain: nobody balances load onto a terminal.
"""

import asyncio
import errno
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from litestar import Litestar

from cozy_domain.errors import ConfigError
from cozy_server.http_limits import HttpLimits, bounded_protocol
from cozy_server.settings.tree import ServerSettings
from cozy_server.socket_limits import SocketLimits, bounded_socket

Stop = Callable[[], None]
"""Does what SIGINT does; to be called on the server's loop."""

_TICK_S = 0.05
_BACKLOG = 2_048
_LAST_PORT = 65_535
_YOUNG = 20_000
"""New objects between two looks for garbage; Python's own is 700."""
_TURNS_S = 0.000_5
"""How long one thread may keep the interpreter while another waits; Python's own is ten times that. Measured: a third less
added latency with 64 requests at once, and no more CPU."""


def listen(host: str, port: int, *, or_next: bool = False) -> socket.socket:
    """A socket bound to ``host`` and ``port``, not yet listening; with ``or_next`` the next free port if that one is taken.

    Raises:
        ConfigError: the address is taken, or not one of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return _bound(family, address)
    except OSError as error:
        if or_next and error.errno == errno.EADDRINUSE and port < _LAST_PORT:
            return listen(host, port + 1, or_next=True)
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}", hint=_way_out(error)) from None


async def serve(
    app: Litestar,
    sockets: list[socket.socket],
    settings: ServerSettings,
    *,
    on_ready: Callable[[Stop], None] = lambda _: None,
    on_drain: Callable[[], None] = lambda: None,
) -> None:
    """Opens the application, serves until a signal, closes it. ``on_ready`` is given another way to stop it.

    Raises:
        CozyError: the application could not be opened.
    """
    async with app.lifespan():
        await _Server(app, settings, on_ready, on_drain).serve(sockets)


def tune_interpreter() -> None:
    """For many short turns, in a process that does nothing but serve; to be called once it is ready.

    What the start made lives as long as the process, so the collector looks through it once and never again. A turn makes
    thousands of objects that are gone with it, so the young ones are looked through every few turns and not many times in
    each (measured: a seventh of a turn's CPU). The store's thread needs the interpreter for some microseconds behind every
    statement, and must not wait for it as long as threads that compute may.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    sys.setswitchinterval(_TURNS_S)


class _Server(uvicorn.Server):
    def __init__(
        self,
        app: Litestar,
        settings: ServerSettings,
        on_ready: Callable[[Stop], None],
        on_drain: Callable[[], None],
    ) -> None:
        limits = HttpLimits(
            header_s=settings.header_timeout_s,
            header_bytes=settings.header_bytes,
            body_s=settings.body_timeout_s,
            send_s=settings.send_timeout_s,
        )
        config = uvicorn.Config(
            app,
            http=bounded_protocol(limits),
            ws=bounded_socket(SocketLimits(send_s=settings.send_timeout_s)),
            ws_per_message_deflate=False,  # sound does not get smaller, and each stream costs memory
            lifespan="off",  # opened around the server, where its errors can be told
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]  # call_later takes fractions
        )
        super().__init__(config)
        self._settings = settings
        self._on_ready = on_ready
        self._on_drain = on_drain
        self._stop_by: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready(self.stop)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but signals are not raised again at the end: a stop that was asked for is a success."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop, self._settings.drain_s)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)

    def stop(self, drain_s: float = 0.0) -> None:
        """Begins to stop, or the second time hurries."""
        if self._stop_by is not None:
            self.force_exit = self.should_exit = True
            return
        loop = asyncio.get_running_loop()
        self._stop_by = loop.time() + self._settings.shutdown_timeout_s
        self._on_drain()
        if drain_s:
            loop.call_later(min(drain_s, self._settings.shutdown_timeout_s), self._leave)
        else:
            self._leave()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuses connections, lets answers finish until the deadline, cuts the rest."""
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._answers_end()
        for task in list(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks)

    def _leave(self) -> None:
        self.should_exit = True

    async def _answers_end(self) -> None:
        loop = asyncio.get_running_loop()
        if self._stop_by is None:
            self._stop_by = loop.time() + self._settings.shutdown_timeout_s
        # Connections outlive their tasks until the last bytes are written.
        while (self.server_state.tasks or self.server_state.connections) and not self.force_exit:
            if loop.time() >= self._stop_by:
                return
            await asyncio.sleep(_TICK_S)  # noqa: TID251  connections tell nobody when they are gone


def _way_out(error: OSError) -> str:
    """`cozy dev` has no --host, and for a port that is taken none is needed."""
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "Choose another port with --port; --port 0 takes a free one."
    return "Name an address of this machine: `cozy serve --host`, or server.host in the settings."


def _bound(family: int, address: object) -> socket.socket:
    # asyncio turns off Nagle's algorithm only where the protocol is named; with it each answer may wait 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
