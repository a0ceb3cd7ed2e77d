"""HMACs of audit records, the chain over them, and its check (pure).

A record is signed when it is written, by any process that has the key. Later one sealer puts committed records in an
order: seal *n* is an HMAC over seal *n-1*, the position, and the record's id and mac. A changed record breaks its own mac, a
removed or moved one breaks the chain, an inserted one has no valid mac. What came after the last seal is the
unsealed tail: a record removed from there is not noticed, so the sealer runs every few seconds.

A chain cannot tell that its own end was cut off. Two things outside of it can: the list of records that wait for the
sealer, since a record that is neither there nor sealed has lost its seal; and an anchor, a signed copy of the last seal
that is kept outside of the store, since a chain that once was at that seal must still have it.
"""

import hmac
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cozy_domain.audit.events import AuditRecord

GENESIS = "0" * 64


class Seal(msgspec.Struct, frozen=True):
    """``position`` counts from 1 without gaps; ``hash`` is 64 hex digits."""

    position: int
    record: UUID
    hash: str


class Anchor(msgspec.Struct, frozen=True):
    """The seal that was the last one when this was written; ``mac`` is the hex HMAC-SHA-256 of it."""

    seal: Seal
    mac: str


UNREADABLE = Anchor(Seal(0, UUID(int=0), ""), "")
"""Stands in for an anchor that is there and cannot be read: it is not genuine."""


class Trail(msgspec.Struct, frozen=True):
    """All records, oldest first, all seals by position, and the ids of records that wait for theirs: one moment of a log."""

    records: tuple[AuditRecord, ...]
    seals: tuple[Seal, ...]
    pending: frozenset[UUID]


FaultKind = Literal[
    "changed", "removed", "inserted", "chain_broken", "seal_removed", "cut_off", "anchor_forged"
]


class Fault(msgspec.Struct, frozen=True):
    """``position`` is None for a record that has no seal. ``cut_off``: the chain was at ``position``, with ``record``, and
    is not any more. ``anchor_forged`` is about no record."""

    kind: FaultKind
    record: UUID | None = None
    position: int | None = None


class Verification(msgspec.Struct, frozen=True):
    """``last_sealed`` is the place up to which nothing can be missing, if there are no faults. ``anchored`` is the position
    that a genuine anchor vouches for; None: what was removed from the end together with its seals is not noticed."""

    sealed: int
    last_sealed: Seal | None
    unsealed: int
    faults: tuple[Fault, ...]
    anchored: int | None = None

    @property
    def intact(self) -> bool:
        return not self.faults


def mac_of(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, sha256).hexdigest()


def canonical(record: AuditRecord) -> bytes:
    """The record's JSON without its mac; field order is the Struct's, so equal records give equal bytes."""
    return msgspec.json.encode(replace(record, mac=""))


def sign(key: bytes, record: AuditRecord) -> AuditRecord:
    return replace(record, mac=mac_of(key, canonical(record)))


def is_genuine(key: bytes, record: AuditRecord) -> bool:
    return hmac.compare_digest(mac_of(key, canonical(record)), record.mac)


def seal(key: bytes, last: Seal | None, records: Iterable[AuditRecord]) -> tuple[Seal, ...]:
    """Seals for ``records``, in their order, that continue the chain after ``last``."""
    seals: list[Seal] = []
    for record in records:
        position = last.position + 1 if last else 1
        before = last.hash if last else GENESIS
        last = Seal(position, record.id, _link(key, before, position, record.id, record.mac))
        seals.append(last)
    return tuple(seals)


def anchor_at(key: bytes, last: Seal) -> Anchor:
    return Anchor(last, _anchor_mac(key, last))


def is_genuine_anchor(key: bytes, anchor: Anchor) -> bool:
    return hmac.compare_digest(_anchor_mac(key, anchor.seal), anchor.mac)


def verify(
    key: bytes,
    records: Sequence[AuditRecord],
    seals: Sequence[Seal],
    pending: Collection[UUID] | None = None,
    anchor: Anchor | None = None,
) -> Verification:
    """Checks all records against all seals; ``seals`` in order of position. ``pending`` are the ids of records that wait for
    the sealer; None: not known, then a record whose seal was removed looks like one of the tail."""
    by_id: dict[UUID, AuditRecord] = {}
    faults = [Fault("inserted", r.id) for r in records if by_id.setdefault(r.id, r) is not r]
    before = GENESIS
    for expected, link in enumerate(seals, start=1):
        faults += _faults_of(key, by_id.get(link.record), link, before, expected)
        before = link.hash
    sealed = {link.record for link in seals}
    tail = [record for record in records if record.id not in sealed]
    faults += [Fault("inserted", record.id) for record in tail if not is_genuine(key, record)]
    if pending is not None:
        faults += [Fault("removed", one) for one in sorted(pending) if one not in by_id]
        lost = (record for record in tail if record.id not in pending and is_genuine(key, record))
        faults += [Fault("seal_removed", record.id) for record in lost]
    faults += _faults_at_the_end(key, seals, anchor)
    vouched = anchor.seal.position if anchor and is_genuine_anchor(key, anchor) else None
    return Verification(len(seals), seals[-1] if seals else None, len(tail), tuple(faults), vouched)


def _faults_at_the_end(key: bytes, seals: Sequence[Seal], anchor: Anchor | None) -> list[Fault]:
    if anchor is None:
        return []
    if not is_genuine_anchor(key, anchor):
        return [Fault("anchor_forged")]
    return [] if anchor.seal in seals else [Fault("cut_off", anchor.seal.record, anchor.seal.position)]


def _faults_of(key: bytes, record: AuditRecord | None, link: Seal, before: str, expected: int) -> list[Fault]:
    if record is None:
        return [Fault("removed", link.record, link.position)]
    if not is_genuine(key, record):
        return [Fault("changed", record.id, link.position)]
    whole = link.position == expected and hmac.compare_digest(
        link.hash, _link(key, before, link.position, record.id, record.mac)
    )
    return [] if whole else [Fault("chain_broken", record.id, link.position)]


def _anchor_mac(key: bytes, last: Seal) -> str:
    return mac_of(key, f"anchor:{last.position}:{last.record}:{last.hash}".encode())


def _link(key: bytes, before: str, position: int, record: UUID, mac: str) -> str:
    return mac_of(key, f"{before}:{position}:{record}:{mac}".encode())
