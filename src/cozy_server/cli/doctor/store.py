"""Checks of what is stored: the database, the audit key, Redis."""

import asyncio
import stat
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import msgspec

from cozy_domain.errors import ConfigError, StorageError
from cozy_server.cli.doctor.finding import Finding, fail, ok, warn
from cozy_server.cli.doctor.places import shown
from cozy_server.container.container import Container
from cozy_server.container.store import StoreState
from cozy_server.data_folder import AUDIT_KEY, audit_key, folder, postgres_url
from cozy_server.settings.load import Loaded

CHECK_S = 5.0
REDIS_S = 3.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_URL = ("database", "url")


class Known(msgspec.Struct, frozen=True):
    """What other checks want to know of the store."""

    exists: bool = False
    keys_alive: int = 0
    newest: datetime | None = None


async def database(loaded: Loaded, container: Container) -> AsyncIterator[Finding]:
    try:
        state: StoreState = await container.maintenance().look(CHECK_S)
    except ConfigError as error:
        yield fail("database", "store_unusable", loaded.origin(_URL), error.hint, told=error.message)
        return
    except StorageError as error:
        url = postgres_url(loaded.settings)
        told = f"{shown(url, 5432)}: {error.message}" if url else error.message
        yield fail("database", "store_unusable", loaded.origin(_URL), told=told)
        return
    yield of_state(state)


def of_state(state: StoreState) -> Finding:
    """What the state of a store means."""
    if not state.exists:
        return ok("database", "store_none", place=state.place)
    if state.damage:
        return fail("database", "store_damaged", place=state.place, damage=state.damage[0])
    if not state.is_current:
        revision = state.revision or "-"
        return warn("database", "store_behind", place=state.place, revision=revision, head=state.head)
    if state.kind == "sqlite" and not state.checked:
        return warn("database", "store_unchecked", place=state.place, seconds=f"{CHECK_S:g}")
    return ok(
        "database",
        "store_served" if state.in_use else "store_ok",
        place=state.place,
        kind="SQLite" if state.kind == "sqlite" else "PostgreSQL",
        version=state.version,
        revision=state.revision,
    )


async def known(container: Container) -> Known:
    """As far as the store can be read."""
    try:
        if not (await container.maintenance().look(0.0)).is_current:
            return Known()
        database = container.database()
        await database.aopen()
    except (ConfigError, StorageError):
        return Known()
    try:
        keys = await container.key_store().list()
        records, _ = await container.audit().read(limit=1)
    except StorageError:
        return Known(exists=True)
    finally:
        await database.aclose()
    now = container.clock().now()
    alive = [it for it in keys if it.revoked_at is None and (it.expires_at is None or now < it.expires_at)]
    return Known(True, len(alive), records[-1].at if records else None)


def audit(loaded: Loaded, store: Known) -> Iterator[Finding]:
    """A key that is gone is worse than one that was never made."""
    file = folder(loaded.settings) / AUDIT_KEY
    configured = loaded.settings.audit.key is not None
    if not configured and not file.exists():
        if store.newest is not None:
            yield fail("audit", "audit_key_lost", file=file)
        else:
            yield warn("audit", "audit_key_none", file=file)
        return
    try:
        audit_key(loaded.settings, generate=False)
    except ConfigError as error:
        yield fail("audit", "audit_key_wrong", loaded.origin(("audit", "key")), told=error.message)
        return
    mode = 0 if configured else stat.S_IMODE(file.stat().st_mode)
    if mode & _OTHERS:
        yield warn("audit", "audit_key_open", file=file, mode=f"{mode:o}")
    else:
        yield ok("audit", "audit_key_ok")


async def redis(loaded: Loaded, container: Container) -> AsyncIterator[Finding]:
    url = loaded.settings.redis.url
    origin = loaded.origin(("redis", "url"))
    if url is None:
        yield ok("redis", "redis_none")
        return
    place = shown(url.reveal(), 6379)
    try:
        ping = container.redis_ping()
        async with asyncio.timeout(REDIS_S):
            if ping is not None:
                await ping()
    except ConfigError as error:
        yield fail("redis", "redis_unusable", origin, error.hint, told=error.message)
    except StorageError as error:
        yield fail("redis", "redis_unusable", origin, told=f"{place}: {error.message}")
    except TimeoutError:
        told = f"{place} did not answer within {REDIS_S:g} s"
        yield fail("redis", "redis_unusable", origin, told=told)
    else:
        yield ok("redis", "redis_ok", place=place)
    if loaded.settings.limits.processes == 1 and container.rates().any:
        yield warn("redis", "redis_shared_by_one", origin)
