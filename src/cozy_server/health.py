"""How it is: for a supervisor (`/livez`), a load balancer (`/readyz`) and people (`/health`, `/health/engines`).

All but the engines are public and therefore say little. Providers and engines never make a process unready: without them
it degrades, but without its store it cannot keep its promises.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec
from litestar import HttpMethod, Response, get, route
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation

from cozy_domain.clock import Clock
from cozy_domain.errors import StorageError
from cozy_domain.routing.circuit import Circuit
from cozy_domain.tools.tool import ToolServerState
from cozy_server.auth import ADMIN, PUBLIC

STORE_PATIENCE_S = 2.0
"""A probe that waits longer has usually been given up."""
_PROBED = (HttpMethod.GET, HttpMethod.HEAD)
"""Some load balancers and uptime checks ask for the head alone."""

Overall = Literal["ok", "degraded", "unusable"]
Breaker = Literal["closed", "open", "half_open"]


class Vitals:
    """What the process knows of itself. ``draining`` is set when it begins to stop."""

    def __init__(
        self,
        ask_store: Callable[[], Awaitable[object]],
        circuits: Callable[[], Mapping[str, Circuit]],
        clock: Clock,
        standing_in: Callable[[], bool] = lambda: False,
        tool_servers: Callable[[], tuple[ToolServerState, ...]] = lambda: (),
    ) -> None:
        """``standing_in``: whether something answers in the place of what should: the offline model where another cannot be
        reached, or the personas from before where new ones have a mistake."""
        self.draining = False
        self._ask_store = ask_store
        self._circuits = circuits
        self._clock = clock
        self._standing_in = standing_in
        self.tool_servers = tool_servers

    async def store_answers(self) -> bool:
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                await self._ask_store()
        except (StorageError, TimeoutError):
            return False
        return True

    def breakers(self) -> dict[str, Breaker]:
        """By engine (``memory``) and model (``provider/id``), as far as they were asked."""
        now = self._clock.monotonic_ns()
        return {name: _breaker(circuit, now) for name, circuit in sorted(self._circuits().items())}

    async def overall(self) -> Overall:
        if not await self.store_answers():
            return "unusable"
        broken = any(breaker != "closed" for breaker in self.breakers().values())
        lacking = not all(server.well for server in self.tool_servers())
        return "degraded" if broken or lacking or self._standing_in() else "ok"


class Status(msgspec.Struct, frozen=True):
    status: str


class Health(msgspec.Struct, frozen=True):
    """``degraded``: it answers, without some engine or model."""

    status: Overall


class ToolServer(msgspec.Struct, frozen=True):
    """An MCP server: `cause` is why it is not connected, `withheld` are tools that are not offered, with the reason."""

    state: Literal["connecting", "connected", "failed"]
    address: str
    cause: str | None
    tools: tuple[str, ...]
    withheld: tuple[str, ...]


class Breakers(msgspec.Struct, frozen=True):
    """The breaker of each engine and model that was asked since the start: open means it is left alone for now. And the MCP
    servers, by name."""

    engines: dict[str, Breaker]
    tool_servers: dict[str, ToolServer]


@route("/livez", http_method=_PROBED, opt=PUBLIC, tags=["Health"], sync_to_thread=False)
def livez() -> Status:
    """Whether the process runs; it is restarted when not."""
    return Status("ok")


@route(
    "/readyz",
    http_method=_PROBED,
    opt=PUBLIC,
    tags=["Health"],
    responses={503: ResponseSpec(Status, description="`draining` or `store_unavailable`.")},
)
async def readyz(vitals: NamedDependency[SkipValidation[Vitals]]) -> Response[Status]:
    """Whether to send requests here: 503 while it stops, and while its store does not answer."""
    if vitals.draining:
        return Response(Status("draining"), status_code=503)
    if not await vitals.store_answers():
        return Response(Status("store_unavailable"), status_code=503)
    return Response(Status("ready"))


@route("/health", http_method=_PROBED, opt=PUBLIC, tags=["Health"])
async def health(vitals: NamedDependency[SkipValidation[Vitals]]) -> Health:
    """The state of the whole, in a word."""
    return Health(await vitals.overall())


@get("/health/engines", opt=ADMIN, tags=["Health"], sync_to_thread=False)
def engine_health(vitals: NamedDependency[SkipValidation[Vitals]]) -> Breakers:
    """The state of each engine, model and MCP server."""
    servers = {
        it.name: ToolServer(it.state, it.address, it.cause, it.tools, it.withheld)
        for it in vitals.tool_servers()
    }
    return Breakers(vitals.breakers(), servers)


routes = (livez, readyz, health, engine_health)


def _breaker(circuit: Circuit, now_ns: int) -> Breaker:
    if circuit.open_until_ns is None:
        return "closed"
    return "open" if now_ns < circuit.open_until_ns else "half_open"
