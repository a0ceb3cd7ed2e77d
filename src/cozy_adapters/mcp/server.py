"""One server over time: connected, lost, connected again."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Literal

import anyio
import msgspec

from cozy_adapters.mcp.configured import Configured, Patience
from cozy_adapters.mcp.listing import Offered, offered
from cozy_adapters.mcp.watch import Watch
from cozy_domain.errors import MissingError, ToolError
from cozy_domain.tools.tool import ToolServerState, ToolSpec

if TYPE_CHECKING:
    from cozy_adapters.mcp.session import Session

Connect = Callable[[Configured, Watch], AbstractAsyncContextManager["Session"]]
CauseOf = Callable[[BaseException, Configured, Watch], str]
_log = logging.getLogger("cozy.mcp")
_NAMED = 10


class McpServer:
    """``run`` keeps it connected; calls come from any task. While it is away its tools stay offered, and calls of them say
    that it is away: a turn that may use them does not fail, and the prompt stays the same."""

    def __init__(self, configured: Configured, patience: Patience) -> None:
        self._configured = configured
        self._patience = patience
        self._session: Session | None = None
        self._watch = Watch(self.wake)
        self._offered = Offered()
        self._state: Literal["connecting", "connected", "failed"] = "connecting"
        self._cause: str | None = None
        self._told: str | None = None
        self._tried = asyncio.Event()
        self._wake = asyncio.Event()

    @property
    def name(self) -> str:
        return self._configured.name

    @property
    def state(self) -> ToolServerState:
        return ToolServerState(
            name=self.name,
            address=self._configured.address,
            state=self._state,
            cause=self._cause,
            tools=tuple(spec.name for spec in self._offered.specs),
            withheld=self._offered.withheld,
        )

    def specs(self) -> tuple[ToolSpec, ...]:
        return self._offered.specs

    async def tried(self) -> None:
        """Returns when it is connected, or could not be for the first time."""
        await self._tried.wait()

    async def call(self, name: str, arguments: msgspec.Raw) -> str:
        """
        Raises:
            ToolError: the tool failed, or its server is not there.
            MissingError: it has no tool of that name.
        """
        try:
            async with asyncio.timeout(self._configured.deadline_s):
                return await self._call(name, arguments)
        except TimeoutError:
            raise ToolError(f"the tool did not answer within {self._configured.deadline_s:g} s") from None

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set and `wake` was called."""
        connect, cause_of = await asyncio.to_thread(_client)
        loop, wait_s = asyncio.get_running_loop(), self._patience.first_wait_s
        while not stop.is_set():
            began = loop.time()
            await self._once(stop, connect, cause_of)
            if loop.time() - began >= self._patience.stable_s:
                wait_s = self._patience.first_wait_s
            with anyio.move_on_after(wait_s):
                await stop.wait()
            wait_s = min(wait_s * 2, self._patience.longest_wait_s)

    def wake(self) -> None:
        self._wake.set()

    async def _call(self, name: str, arguments: msgspec.Raw) -> str:
        if self._session is not None:
            # A tool that is just being changed is not called before it was read.
            await self._watch.fresh.wait()
        if self._session is None:
            raise ToolError(f"the tool's server {self.name!r} is not connected; it is tried again")
        original = self._offered.originals.get(name)
        if original is None:
            raise MissingError(f"there is no tool {name!r}")
        return await self._session.call(original, arguments)

    async def _once(self, stop: asyncio.Event, connect: Connect, cause_of: CauseOf) -> None:
        """One connection, from its beginning to its end."""
        self._watch = watch = Watch(self.wake, self._configured.secrets)
        try:
            await self._connection(stop, connect, watch)
            cause = watch.lost
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  whatever it was, it is tried again
            cause = cause_of(error, self._configured, watch)
        if not stop.is_set():
            self._lost(cause or "it ended the connection", watch)

    async def _connection(self, stop: asyncio.Event, connect: Connect, watch: Watch) -> None:
        loop = asyncio.get_running_loop()
        # Not anyio's timeout: the client opens scopes inside that outlive the start.
        async with (
            asyncio.timeout(self._patience.start_s) as limit,
            connect(self._configured, watch) as session,
        ):
            await self._list(session, watch)
            limit.reschedule(None)
            self._session, self._state, self._cause = session, "connected", None
            self._told = None
            self._tried.set()
            _log.info("tool_server_connected", extra={"server": self.name, "tools": len(self._offered.specs)})
            try:
                await self._look_after(session, watch, stop)
            finally:  # at once: to end a connection may take seconds, and to know why
                self._session, self._state, self._cause = None, "failed", watch.lost
                watch.end()
            limit.reschedule(loop.time() + self._patience.close_s)

    async def _look_after(self, session: "Session", watch: Watch, stop: asyncio.Event) -> None:
        """Until it is lost, or ``stop`` is set."""
        while not stop.is_set() and watch.lost is None:
            self._wake.clear()
            if watch.stale:
                await self._list(session, watch)
                with anyio.move_on_after(self._patience.relist_s):
                    await stop.wait()
                continue
            with anyio.move_on_after(self._patience.look_s):
                await self._wake.wait()
                continue
            watch.stale = True  # it is asked from time to time, to see that it still answers

    async def _list(self, session: "Session", watch: Watch) -> None:
        watch.stale = False
        async with asyncio.timeout(self._patience.list_s):
            listed, whole = await session.tools()
        self._offered = offered(listed, self._configured.rules, self._offered.pins, whole=whole)
        watch.listed()
        if self._offered.changed:
            extra = {"server": self.name, "told": ", ".join(self._offered.changed[:_NAMED])}
            _log.warning("tools_changed", extra=extra)

    def _lost(self, cause: str, watch: Watch) -> None:
        """The same cause is told once: it is tried again for as long as this process runs."""
        if cause != self._told:
            self._told = cause
            extra = {"server": self.name, "reason": cause, "stderr": watch.grumbled}
            _log.warning("tool_server_lost", extra=extra)
        self._state, self._cause = "failed", cause
        self._tried.set()


def _client() -> tuple[Connect, CauseOf]:
    """Imported on first use, which takes most of a second."""
    from cozy_adapters.mcp.session import cause_of, connected

    return connected, cause_of
