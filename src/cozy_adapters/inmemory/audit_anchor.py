"""Audit anchor in memory: it vouches for a log in the same process."""

from cozy_domain.audit.chain import Anchor
from cozy_domain.errors import StorageUnavailableError


class InMemoryAuditAnchor:
    """With ``available`` False every call raises ``StorageUnavailableError``."""

    def __init__(self, *, available: bool = True) -> None:
        self.available = available
        self._held: Anchor | None = None

    async def read(self) -> Anchor | None:
        self._check()
        return self._held

    async def write(self, anchor: Anchor) -> None:
        self._check()
        self._held = anchor

    def _check(self) -> None:
        if not self.available:
            raise StorageUnavailableError("the in-memory anchor is switched off")
