"""Checks an audit log as it is now, also while it is written, sealed and anchored; a page at a time, however long it is."""

from uuid import UUID

from cozy_domain.audit.chain import Progress, Verification, along, beyond, concluded
from cozy_domain.audit.ports import AuditAnchor, AuditLog

PAGE = 1_000
"""Records in memory at a time, some 1 MB."""


async def check(log: AuditLog, place: AuditAnchor, key: bytes, page: int = PAGE) -> Verification:
    """
    Raises:
        StorageUnavailableError: log or anchor cannot be read.
    """
    # The anchor first: it is never ahead of a chain that is read after it.
    anchor = await place.read()
    so_far = Progress()
    while links := await log.links(so_far.last.position if so_far.last else 0, page):
        so_far = along(key, so_far, links, anchor)
    after: UUID | None = None
    while records := await log.placed(after, page):
        so_far = beyond(key, so_far, records)
        after = records[-1].record.id
    return concluded(key, so_far, await log.orphans(page), anchor)
