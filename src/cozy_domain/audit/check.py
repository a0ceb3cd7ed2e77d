"""Checks an audit log as it is now, also while it is written, sealed and anchored."""

from cozy_domain.audit.chain import Verification, verify
from cozy_domain.audit.ports import AuditAnchor, AuditLog


async def check(log: AuditLog, place: AuditAnchor, key: bytes) -> Verification:
    """
    Raises:
        StorageUnavailableError: log or anchor cannot be read.
    """
    # The anchor first: it is never ahead of a chain that is read after it.
    anchor = await place.read()
    trail = await log.trail()
    return verify(key, trail.records, trail.seals, trail.pending, anchor)
