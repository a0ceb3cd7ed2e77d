"""Puts committed audit records into the chain. Run it again and again, at most every 5 s; several at once are harmless."""

from cozy_domain.audit.chain import seal
from cozy_domain.audit.ports import AuditLog


async def seal_once(log: AuditLog, key: bytes, limit: int = 1_000) -> int:
    """Seals at most ``limit`` records that have no seal yet; tells how many it did.

    0 means that there was nothing to do, or that another sealer was faster; the next run finds what is left.

    Raises:
        StorageUnavailableError: nothing was sealed.
    """
    records, last = await log.unsealed(limit)
    seals = seal(key, last, records)
    return len(seals) if seals and await log.seal(seals) else 0
