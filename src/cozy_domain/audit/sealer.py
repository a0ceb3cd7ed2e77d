"""Puts committed audit records into the chain, and anchors its end. Run both again and again, at most every 5 s; several
sealers at once are harmless.

The anchor follows the chain and may be behind it, never ahead. It stays where it is when the chain does not go through
it any more: otherwise the next seal would cover up that seals were removed.
"""

from typing import Literal

from cozy_domain.audit.chain import anchor_at, is_genuine_anchor, seal
from cozy_domain.audit.ports import AuditAnchor, AuditLog

Anchoring = Literal["kept", "made", "moved", "cut_off", "anchor_forged"]
"""``kept``: there was nothing to do. The last two are faults of ``chain.Fault``."""


async def seal_once(log: AuditLog, key: bytes, limit: int = 1_000) -> int:
    """Seals at most ``limit`` records that have no seal yet; tells how many it did.

    0 means that there was nothing to do, or that another sealer was faster; the next run finds what is left.

    Raises:
        StorageUnavailableError: nothing was sealed.
    """
    records, last = await log.unsealed(limit)
    seals = seal(key, last, records)
    return len(seals) if seals and await log.seal(seals) else 0


async def anchor_once(log: AuditLog, place: AuditAnchor, key: bytes) -> Anchoring:
    """Moves the anchor to the last seal, if the chain still goes through the anchor.

    Raises:
        StorageUnavailableError: log or place did not answer; the anchor is where it was.
    """
    held = await place.read()
    if held and not is_genuine_anchor(key, held):
        return "anchor_forged"
    if held and await log.seal_at(held.seal.position) != held.seal:
        return "cut_off"
    _, last = await log.unsealed(1)
    if last is None or (held and last.position <= held.seal.position):
        return "kept"
    await place.write(anchor_at(key, last))
    return "moved" if held else "made"
