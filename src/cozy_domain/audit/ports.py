"""Ports to the audit log, and to what vouches for it from outside."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from cozy_domain.audit.chain import Anchor, Link, Placed, Seal
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

    async def links(self, after: int, limit: int) -> tuple[Link, ...]:
        """The chain behind position ``after``, in order."""
        ...

    async def placed(self, after: UUID | None, limit: int) -> tuple[Placed, ...]:
        """All records by id, from behind ``after`` on; the page is of one moment."""
        ...

    async def orphans(self, limit: int) -> tuple[UUID, ...]:
        """Ids that wait for the sealer though their records are gone, in order."""
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
