"""What a persona names that its server lacks: models and tools (pure)."""

from collections.abc import Iterator

import msgspec

from cozy_domain.nearest import nearest
from cozy_domain.persona.persona import Fault, Persona, server_of

Path = tuple[str | int, ...]


class Surroundings(msgspec.Struct, frozen=True):
    """What a server has: names of tools, aliases and providers. ``models`` are those that may be named without their
    provider; ``absent`` are providers that it has as soon as they run; ``servers`` are MCP servers, whose tools nobody
    knows before they are connected."""

    tools: tuple[str, ...]
    aliases: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()


def what_lacks(persona: Persona, around: Surroundings) -> Iterator[Fault]:
    """A route to nowhere is an error: its first message would fail. A tool may come with a later version."""
    if persona.model.route is not None:
        yield from _of_model(persona.model.route, ("model", "route"), "persona_model_route", around)
    for index, name in enumerate(persona.model.fallbacks):
        yield from _of_model(name, ("model", "fallbacks", index), "persona_model_fallbacks", around)
    for field in ("allow", "deny", "approval", "when_tainted", "cancel_on_barge_in"):
        for index, tool in enumerate(getattr(persona.tools, field)):
            yield from _of_tool(tool, ("tools", field, index), around)
    for tool in persona.tools.limits:
        yield from _of_tool(tool, ("tools", "limits", tool), around)
    for index, server in enumerate(persona.tools.mcp):
        if server not in around.servers:
            message = f"there is no MCP server '{server[:40]}' in the settings"
            near = _near(server, around.servers)
            yield Fault(("tools", "mcp", index), message, "persona_tool", warning=True, suggestion=near)


def _of_model(name: str, path: Path, code: str, around: Surroundings) -> Iterator[Fault]:
    provider, slash, model = name.partition("/")
    if name in around.aliases or name in around.models:
        return
    if not (provider and slash and model):
        message = f"'{name[:40]}' is neither an alias nor written provider/id"
        yield Fault(path, message, code, suggestion=_near(name, around.aliases))
    elif provider in around.absent and provider not in around.providers:
        yield Fault(path, f"the provider '{provider}' does not run", code, warning=True)
    elif provider not in around.providers:
        near = _near(provider, around.providers)
        message = f"there is no provider '{provider[:40]}'; there are: {', '.join(around.providers)}"
        yield Fault(path, message, code, suggestion=f"{near}/{model}" if near else "")


def _of_tool(name: str, path: Path, around: Surroundings) -> Iterator[Fault]:
    if name not in around.tools and server_of(name) not in around.servers:
        message = f"there is no tool '{name[:40]}'"
        yield Fault(path, message, "persona_tool", warning=True, suggestion=_near(name, around.tools))


def _near(name: str, known: tuple[str, ...]) -> str:
    return nearest(name, known) or ""
