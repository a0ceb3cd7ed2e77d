"""All configured servers as one tool box."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from cozy_adapters.mcp.configured import Configured, Patience
from cozy_adapters.mcp.server import McpServer
from cozy_domain.errors import MissingError
from cozy_domain.persona.persona import server_of
from cozy_domain.tools.tool import ToolContext, ToolServerState, ToolSpec


class McpToolBox:
    """A ``ToolBox``. Inside ``running`` each server is looked after by a task of its own; nothing waits for them: a tool is
    there once its server is."""

    def __init__(self, servers: Sequence[Configured] = (), patience: Patience | None = None) -> None:
        self._servers = {it.name: McpServer(it, patience or Patience()) for it in servers}
        self._close_s = (patience or Patience()).close_s

    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(spec for name in sorted(self._servers) for spec in self._servers[name].specs())

    async def run(self, name: str, arguments: msgspec.Raw, context: ToolContext) -> str:  # noqa: ARG002  no server learns whose turn it is
        server = self._servers.get(server_of(name) or "")
        if server is None:
            raise MissingError(f"there is no tool {name!r}")
        return await server.call(name, arguments)

    def states(self) -> tuple[ToolServerState, ...]:
        """How the servers are now, by name."""
        return tuple(self._servers[name].state for name in sorted(self._servers))

    async def tried(self) -> None:
        """Returns when each server is connected, or could not be for the first time."""
        for server in self._servers.values():
            await server.tried()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connects inside, and leaves no connection and no process behind."""
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(server.run(stop), name=f"tool server {name}")
            for name, server in self._servers.items()
        ]
        try:
            yield
        finally:
            stop.set()
            for server in self._servers.values():
                server.wake()
            await self._ended(tasks)

    async def _ended(self, tasks: list[asyncio.Task[None]]) -> None:
        """A server that is just being started, or does not let go, is cut; that ends its process too."""
        if tasks:
            await asyncio.wait(tasks, timeout=self._close_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
