"""An id for a persona that came without one (pure)."""

import re
from hashlib import sha256
from unicodedata import normalize

from cozy_domain.persona.persona import ID_PATTERN

_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])")
"""Names that Windows keeps for devices, with any ending (learn.microsoft.com, Naming Files, 2026-11)."""


def id_from(name: str) -> str:
    """``Seraphina (v2)`` gives ``seraphina-v2``. A name without Latin letters or digits gives ``card-`` and eight digits of
    its SHA-256, so that the same name always gives the same id."""
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    id = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].rstrip("-")
    if not id:
        return f"card-{sha256(name.encode()).hexdigest()[:8]}"
    return f"card-{id}" if _DEVICES.fullmatch(id) else id


def is_usable(id: str) -> bool:
    """Whether ``id`` is one, and a file may have its name on every system."""
    return bool(re.fullmatch(ID_PATTERN, id)) and not _DEVICES.fullmatch(id)
