"""What a value must mean, where its type does not say it."""

from ipaddress import ip_network
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cozy_server.settings.shape import Path


def meaningless(path: Path, value: object) -> str | None:
    """What is wrong with a value of the right type; None when nothing is."""
    match path, value:
        case ("server", "timezone"), str(zone) if not _is_zone(zone):
            return "is not an IANA time zone such as Asia/Shanghai"
        case ("models", "providers", _, "base_url"), str(url) if not _can_be_called(url):
            return "is not an address that begins with http:// or https:// and a host"
        case ("server", "trusted_proxies"), tuple(networks) if wrong := _no_network(networks):
            return f"has {wrong!r}, which is no address or network such as 10.0.0.0/8"
    return None


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
