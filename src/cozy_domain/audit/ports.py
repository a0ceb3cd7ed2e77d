"""Ports to the audit log, and to what vouches for it from outside."""

from datetime import datetime
from typing import Protocol

from cozy_domain.audit.chain import Anchor, Seal, Trail
from cozy_domain.audit.events import AuditRecord


class AuditLog(Protocol):
    """Append-only records and their seals. Records of a turn are written by ``TurnStore.close`` instead, in its transaction.

    Every method raises ``StorageUnavailableError`` when the store does not answer.
    """

    async def write(self, records: tuple[AuditRecord, ...]) -> None:
        """Appends records that are already signed; one whose id exists is left as it is."""
        ...

    async def unsealed(self, limit: int) -> tuple[tuple[AuditRecord, ...], Seal | None]:
        """Committed records without a seal, by id, and the last seal."""
        ...

    async def seal(self, seals: tuple[Seal, ...]) -> bool:
        """Appends seals in one transaction; False, and nothing written, when another sealer took a position first."""
        ...

    async def read(
        self, *, since: datetime | None = None, limit: int | None = None
    ) -> tuple[tuple[AuditRecord, ...], tuple[Seal, ...]]:
        """Records from ``since`` on, oldest first (with ``limit``: the newest so many), and their seals in order."""
        ...

    async def trail(self) -> Trail:
        """Everything, as of one moment: a sealer at work takes nothing out of it."""
        ...

    async def seal_at(self, position: int) -> Seal | None: ...


class AuditAnchor(Protocol):
    """One place outside of the store that holds one anchor. Checking it is the caller's."""

    async def read(self) -> Anchor | None:
        """None when there is none yet; ``chain.UNREADABLE`` for what is no anchor any more.

        Raises:
            StorageUnavailableError: the place cannot be read.
        """
        ...

    async def write(self, anchor: Anchor) -> None:
        """Puts it in the place of the one before, whole or not at all.

        Raises:
            StorageUnavailableError: the one before is still there.
        """
        ...
