"""What may be shown of an address that may hold a password (pure)."""

from urllib.parse import urlsplit


def shown(url: str, port: int | None = None) -> str:
    """Host and port; ``port`` is the protocol's own, for an address that names none."""
    try:
        parts = urlsplit(url)
        host, named = parts.hostname or "localhost", parts.port or port
    except ValueError:
        return "?"
    return f"{host}:{named}" if named else host
