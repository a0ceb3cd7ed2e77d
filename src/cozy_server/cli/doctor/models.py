"""Checks of who answers: providers, the model in force, personas, and whom the server calls."""

from collections.abc import AsyncIterator, Iterator
from difflib import get_close_matches

from cozy_domain.errors import ConfigError
from cozy_domain.routing.default import OFFLINE, Default, Listing, choose_default
from cozy_domain.tools.tool import ToolServerState
from cozy_server.cli.doctor import machine
from cozy_server.cli.doctor.finding import Finding, fail, ok, warn
from cozy_server.cli.doctor.places import provider_origin, shown
from cozy_server.cli.persona import examined
from cozy_server.container.container import Container
from cozy_server.container.tools import tool_server_states
from cozy_server.data_folder import postgres_url
from cozy_server.model_choice import LiveConfiguration
from cozy_server.settings.load import Loaded
from cozy_server.settings.tree import ProviderSettings, Settings, is_chosen, kind_of

DEFAULT = ("models", "default")
OWN_HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}
"""Of providers that are configured without an address."""
TOOL_SERVERS_S = 15.0
"""For all of them at once; a package runner may have to download its server first."""
SHOWN = 5
"""Models that are named where one is not listed."""


async def providers(
    loaded: Loaded, container: Container, personas: tuple[str, ...]
) -> AsyncIterator[Finding]:
    """Each provider is asked for its models, which shows its address and its key to be right and costs nothing."""
    try:
        configuration: LiveConfiguration = container.configuration()
    except ConfigError as error:
        yield fail("provider", "provider_unbuilt", fix=error.hint, told=error.message)
        return
    listings = await configuration.listings()
    for listing in listings:
        yield _provider(listing, loaded)
    try:
        yield _default(loaded, configuration, listings, personas)
    except ConfigError as error:
        yield fail("model", "model_wrong", loaded.origin(DEFAULT), error.hint, told=error.message)


async def characters(loaded: Loaded) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The personas' ids, and what was found about them."""
    try:
        found = await examined(loaded)
    except ConfigError as error:
        return (), (fail("personas", "personas_unchecked", fix=error.hint, told=error.message),)
    findings = tuple(
        (fail if it.severity == "error" else warn)(
            "personas", "persona_wrong" if it.severity == "error" else "persona_doubtful", told=str(it)
        )
        for it in found.problems
    )
    ids = tuple(it.id for it in found.personas)
    if any(finding.level == "fail" for finding in findings):
        return ids, findings
    return ids, (*findings, ok("personas", "personas_ok", ids=", ".join(ids)))


async def tool_servers(loaded: Loaded, container: Container) -> AsyncIterator[Finding]:
    """Each MCP server is connected to, asked for its tools, and left."""
    if not loaded.settings.tools.mcp:
        return
    try:
        states = await tool_server_states(container.settings().tools, TOOL_SERVERS_S)
    except ConfigError:
        return  # that its client is not installed was told before
    for state in states:
        yield _tool_server(state, loaded)


def egress(settings: Settings) -> Iterator[Finding]:
    """Whatever the operator configured is trusted, so it is listed (settled question 21)."""
    places = [
        place for name, provider in settings.models.providers.items() for place in _host(name, provider)
    ]
    if url := postgres_url(settings):
        places.append(shown(url, 5432))
    places.extend(shown(server.url.reveal()) for server in settings.tools.mcp.values() if server.url)
    if settings.redis.url:
        places.append(shown(settings.redis.url.reveal(), 6379))
    listed = ", ".join(dict.fromkeys(places))
    yield ok("egress", "egress", places=listed) if listed else ok("egress", "egress_none")


def _provider(listing: Listing, loaded: Loaded) -> Finding:
    if not listing.problem:
        return ok("provider", "provider_ok", found=listing.found, number=len(listing.models))
    values = {"found": listing.found, "told": listing.problem, "provider": listing.provider}
    provider = loaded.settings.models.providers.get(listing.provider)
    if provider is None:
        return warn("provider", "provider_unused", **values)
    kind = kind_of(listing.provider, provider)
    needless = not is_chosen(listing.provider, provider) and kind in machine.missing_extras()
    written = provider_origin(loaded, listing.provider, "base_url", "api_key")
    if needless:
        return warn("provider", "provider_unused", written, **values)
    return fail("provider", "provider_failed", written, **values)


def _tool_server(state: ToolServerState, loaded: Loaded) -> Finding:
    values = {"name": state.name, "address": state.address, "number": len(state.tools)}
    if state.state != "connected":
        told = state.cause or f"it did not answer within {TOOL_SERVERS_S:g} s"
        mcp = ("tools", "mcp", state.name)
        origins = (loaded.origin((*mcp, key)) for key in ("command", "url"))
        written = next((origin for origin in origins if origin != "default"), None)
        return Finding("tools", "fail", "mcp_failed", {**values, "told": told}, written)
    if state.withheld:
        return Finding("tools", "warn", "mcp_withheld", {**values, "told": "; ".join(state.withheld)})
    return Finding("tools", "ok", "mcp_ok", values)


def _default(
    loaded: Loaded,
    configuration: LiveConfiguration,
    listings: tuple[Listing, ...],
    personas: tuple[str, ...],
) -> Finding:
    """
    Raises:
        ConfigError: the model that is named cannot be.
    """
    models = loaded.settings.models
    if models.default is None:
        return _chosen(choose_default(listings, models.preferred))
    default = configuration.named(models.default, personas)
    listed = next((it.models for it in listings if it.provider == default.model.provider), ())
    if listed and default.model.id not in listed:
        near = get_close_matches(default.model.id, listed, n=SHOWN, cutoff=0.4) or listed[:SHOWN]
        return warn(
            "model",
            "model_unlisted",
            loaded.origin(DEFAULT),
            provider=default.model.provider,
            model=default.model.id,
            near=", ".join(near),
        )
    return _chosen(default) if default.model != OFFLINE else _model(default)


def _chosen(default: Default) -> Finding:
    if default.model == OFFLINE:
        return warn("model", "model_offline", reason=default.reason)
    return _model(default)


def _model(default: Default) -> Finding:
    return ok("model", "model_ok", model=default.model, reason=default.reason)


def _host(name: str, provider: ProviderSettings) -> Iterator[str]:
    kind = kind_of(name, provider)
    if provider.base_url:
        yield shown(provider.base_url)
    elif kind in OWN_HOSTS:
        yield OWN_HOSTS[kind]
