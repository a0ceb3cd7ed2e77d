"""What a value must mean, where its type does not say it, and values that contradict each other."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cozy_server.settings.secret import Secret
from cozy_server.settings.shape import Path
from cozy_server.settings.tree import McpSettings, Settings

_SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
"""Without the ``__`` that stands between it and a tool's name, and short enough to leave room for that."""


def meaningless(path: Path, value: object) -> str | None:
    """What is wrong with a value of the right type; None when nothing is."""
    match path, value:
        case ("server", "timezone"), str(zone) if not _is_zone(zone):
            return "is not an IANA time zone such as Asia/Shanghai"
        case ("models", "providers", _, "base_url"), str(url) if not _can_be_called(url):
            return "is not an address that begins with http:// or https:// and a host"
        case ("models", "providers", _, "base_url"), str(url) if not _is_bare(url):
            return "holds a name or a password (the part before @); take it out, and write a key as api_key"
        case ("models", "providers", _, "api_key"), Secret() as key if not _fits_a_header(key.reveal()):
            return "has a blank or a character that is not ASCII; copy the key again, without what stands around it"
        case ("server", "trusted_proxies"), tuple(networks) if wrong := _no_network(networks):
            return f"has {wrong!r}, which is no address or network such as 10.0.0.0/8"
    return None


def contradictions(settings: Settings) -> Iterator[tuple[Path, str]]:
    """What is wrong with values together: where, and what."""
    for name, server in settings.tools.mcp.items():
        for field, complaint in _of_server(name, server):
            yield ("tools", "mcp", name, *field), complaint


def _of_server(name: str, server: McpSettings) -> Iterator[tuple[Path, str]]:
    if not _SERVER_NAME.fullmatch(name):
        yield (), "a name has 1 to 32 lower-case letters, digits and -, the first a letter or digit"
    if bool(server.command) == (server.url is not None):
        yield (), "needs either command (a program of this machine) or url (an address)"
    elif server.url is not None and not _is_bare(server.url.reveal()):
        yield (
            ("url",),
            "is not an address that begins with http:// or https://; a password belongs in headers",
        )
    elif server.command and server.headers:
        yield ("headers",), "are for a url"
    elif server.url and (server.env or server.cwd):
        yield ("env" if server.env else "cwd",), "is for a command"


def _is_bare(url: str) -> bool:
    return _can_be_called(url) and "@" not in urlsplit(url).netloc


def _fits_a_header(key: str) -> bool:
    """HTTP sends a key in a header: visible ASCII alone (RFC 9110, field values)."""
    return all("!" <= letter <= "~" for letter in key)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        # The first two are raised for paths out of the zones and for folders of them.
        return False
    return True


def _no_network(texts: tuple[str, ...]) -> str | None:
    """The first that is none."""
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError:
            return text
    return None


def _can_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False
