"""What a value must mean, where its type does not say it."""

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
    return None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        # The first two are raised for paths out of the zones and for folders of them.
        return False
    return True


def _can_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False
