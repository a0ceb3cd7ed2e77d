"""Places as findings show them: addresses without passwords, and where settings are written (pure)."""

from urllib.parse import urlsplit

from cozy_server.settings.load import DEFAULT, Loaded


def shown(url: str, port: int | None = None) -> str:
    """Host and port; ``port`` is the protocol's own, for an address that names none."""
    try:
        parts = urlsplit(url)
        host, named = parts.hostname or "localhost", parts.port or port
    except ValueError:
        return "?"
    return f"{host}:{named}" if named else host


def provider_origin(loaded: Loaded, name: str, *keys: str) -> str | None:
    """Where the first of ``keys`` that somebody set of the provider ``name`` is written."""
    origins = (loaded.origin(("models", "providers", name, key)) for key in keys)
    return next((origin for origin in origins if origin != DEFAULT), None)
