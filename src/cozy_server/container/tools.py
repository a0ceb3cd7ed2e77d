"""The tool box of the MCP servers."""

import asyncio
from collections.abc import Callable

from cozy_adapters.mcp.configured import Configured
from cozy_adapters.mcp.listing import Rules
from cozy_adapters.mcp.toolbox import McpToolBox
from cozy_domain.errors import ConfigError
from cozy_domain.tools.ports import ToolBox
from cozy_domain.tools.tool import Effect, ToolServerState
from cozy_server.container.installed import is_installed
from cozy_server.settings.tree import (
    McpSettings,
    ToolSettings,
)


def mcp_servers(settings: ToolSettings) -> McpToolBox:
    """One tool box of all MCP servers of the settings.

    Raises:
        ConfigError: the client is not installed.
    """
    if settings.mcp and not is_installed("mcp"):
        raise ConfigError(
            "tools.mcp names MCP servers, and the client is not installed",
            hint="pip install 'cozy-engine[mcp]'",
        )
    return McpToolBox([_configured(name, server) for name, server in settings.mcp.items()])


async def tool_server_states(settings: ToolSettings, within_s: float = 15.0) -> tuple[ToolServerState, ...]:
    """Connects to the MCP servers of the settings, waits for at most ``within_s`` seconds, tells how they are, by name, and
    leaves them. For checks beside a server: one that runs tells how its own are at ``/health/engines``.

    Raises:
        ConfigError: the client is not installed.
    """
    servers = mcp_servers(settings)
    async with servers.running():
        try:
            async with asyncio.timeout(within_s):
                await servers.tried()
        except TimeoutError:
            pass  # some are still "connecting", and are told so
        return servers.states()


def tool_names(toolbox: ToolBox) -> Callable[[], tuple[str, ...]]:
    return lambda: tuple(tool.name for tool in toolbox.specs())


def _configured(name: str, server: McpSettings) -> Configured:
    effects = {tool: Effect(effect) for tool, effect in server.effects.items()}
    return Configured(
        name=name,
        rules=Rules(name, Effect(server.effect), effects, server.allow, server.pinned, server.trusted),
        command=server.command,
        environment={variable: value.reveal() for variable, value in server.env.items()},
        folder=server.cwd,
        url=server.url.reveal() if server.url else "",
        headers={header: value.reveal() for header, value in server.headers.items()},
        deadline_s=server.deadline_s,
    )
