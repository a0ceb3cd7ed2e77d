"""A server as the settings name it."""

from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import urlsplit

import msgspec

from cozy_adapters.mcp.listing import Rules


class Configured(msgspec.Struct, frozen=True):
    """With ``command`` a child process, started in ``folder`` with ``environment`` beside the few variables that every
    program needs; else ``url``, asked with ``headers``. ``deadline_s`` (seconds) is that of one call."""

    name: str
    rules: Rules
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    folder: str | None = None
    url: str = ""
    headers: Mapping[str, str] = {}
    deadline_s: float = 30.0

    def __repr__(self) -> str:
        return f"Configured(name={self.name!r}, address={self.address!r})"

    @property
    def address(self) -> str:
        """The name of the program, or scheme, host and port: arguments and paths may hold secrets."""
        if self.command:
            return PurePath(self.command[0]).name
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self.environment.values(), *self.headers.values())


class Patience(msgspec.Struct, frozen=True):
    """Seconds. A package runner may download its server at the first start: ``start_s``. After a loss it is tried again
    after ``first_wait_s``, doubled each time up to ``longest_wait_s``, and from the beginning once a connection held for
    ``stable_s``. A list of tools is read again when the server says so, at most every ``relist_s``, and every
    ``look_s`` in any case. ``close_s``: how long an orderly end may take."""

    start_s: float = 60.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    stable_s: float = 60.0
    relist_s: float = 1.0
    look_s: float = 300.0
    list_s: float = 30.0
    close_s: float = 5.0
