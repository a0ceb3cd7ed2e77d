"""What limits: the rates, and the Redis that several processes share."""

from collections.abc import Awaitable, Callable

from cozy_domain.access.ports import LimitStore
from cozy_domain.clock import Clock
from cozy_domain.errors import ConfigError
from cozy_server.settings.tree import (
    LimitSettings,
    RedisSettings,
    Settings,
)
from cozy_server.throttle.rates import Rates, rates_of
from cozy_server.throttle.shared import SharedLimits


def shared_limits(settings: Settings, rates: Rates, own: LimitStore, clock: Clock) -> SharedLimits | None:
    """On what ``redis.url`` names; None without it, and where nothing is limited.

    Raises:
        ConfigError: it is no Redis, or its client is not installed.
    """
    url = settings.redis.url
    if url is None or not rates.any:
        return None
    try:
        from cozy_adapters.redis.connections import RedisConnections
        from cozy_adapters.redis.limits import RedisLimitStore
    except ModuleNotFoundError:
        raise ConfigError(
            "redis.url is set, and the client for Redis is not installed",
            hint="pip install 'cozy-engine[redis]'",
        ) from None
    shared = RedisLimitStore(RedisConnections(url.reveal()), prefix=settings.redis.prefix)
    processes = settings.limits.processes
    return SharedLimits(shared, own, clock, deadline_s=settings.redis.deadline_s, processes=processes)


def redis_ping(settings: RedisSettings) -> Callable[[], Awaitable[object]] | None:
    """Asks what ``redis.url`` names whether it is there; None where nothing is named.

    Raises:
        ConfigError: it is no address, or the client is not installed.
    """
    if settings.url is None:
        return None
    try:
        from cozy_adapters.redis.connections import RedisConnections, Script
    except ModuleNotFoundError:
        raise ConfigError(
            "redis.url is set, and the client for Redis is not installed",
            hint="pip install 'cozy-engine[redis]'",
        ) from None
    connections = RedisConnections(settings.url.reveal(), most=1)

    async def ping() -> object:
        try:
            return await connections.run(Script("return redis.call('PING')"), [], [])
        finally:
            await connections.aclose()

    return ping


def limits(own: LimitStore, shared: SharedLimits | None) -> LimitStore:
    return shared or own


def rates(settings: LimitSettings, *, development: bool) -> Rates:
    return rates_of(settings, development=development)
