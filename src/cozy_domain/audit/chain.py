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
from collections.abc import Collection, Iterable, Iterator, Sequence
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


class Link(msgspec.Struct, frozen=True):
    """A seal, and its record, unless that is gone."""

    seal: Seal
    record: AuditRecord | None


class Placed(msgspec.Struct, frozen=True):
    """A record, the position of its seal, and whether it waits for one: all three from one moment of the log."""

    record: AuditRecord
    position: int | None
    waiting: bool


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


class Progress(msgspec.Struct, frozen=True):
    """How far a check has come: `along` the chain first, then `beyond` its end. ``anchored``: the chain went through the
    anchor."""

    sealed: int = 0
    last: Seal | None = None
    unsealed: int = 0
    faults: tuple[Fault, ...] = ()
    anchored: bool = False


def along(key: bytes, so_far: Progress, links: Iterable[Link], anchor: Anchor | None = None) -> Progress:
    """After the next links, in order of position."""
    sealed, last, anchored = so_far.sealed, so_far.last, so_far.anchored
    faults = list(so_far.faults)
    for link in links:
        sealed += 1
        faults += _faults_of(key, link.record, link.seal, last.hash if last else GENESIS, sealed)
        last = link.seal
        anchored = anchored or (anchor is not None and anchor.seal == last)
    return replace(so_far, sealed=sealed, last=last, faults=tuple(faults), anchored=anchored)


def beyond(key: bytes, so_far: Progress, records: Iterable[Placed]) -> Progress:
    """After some records, whichever. Those whose seal the walk did not meet are the tail: it was set later, or is none."""
    end = so_far.last.position if so_far.last else 0
    tail = [it for it in records if it.position is None or not 1 <= it.position <= end]
    faults = [fault for it in tail for fault in _faults_in_tail(key, it)]
    return replace(so_far, unsealed=so_far.unsealed + len(tail), faults=(*so_far.faults, *faults))


def concluded(
    key: bytes, so_far: Progress, orphans: Iterable[UUID] = (), anchor: Anchor | None = None
) -> Verification:
    """The result; ``orphans`` wait for a seal, and their records are gone."""
    removed = tuple(Fault("removed", one) for one in orphans)
    end = _faults_at_the_end(key, anchor, reached=so_far.anchored)
    vouched = anchor.seal.position if anchor and is_genuine_anchor(key, anchor) else None
    return Verification(
        so_far.sealed, so_far.last, so_far.unsealed, (*so_far.faults, *removed, *end), vouched
    )


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
    twice = tuple(Fault("inserted", r.id) for r in records if by_id.setdefault(r.id, r) is not r)
    links = (Link(seal, by_id.get(seal.record)) for seal in seals)
    so_far = along(key, Progress(faults=twice), links, anchor)
    sealed = {seal.record for seal in seals}
    tail = (record for record in records if record.id not in sealed)
    so_far = beyond(
        key, so_far, (Placed(record, None, pending is None or record.id in pending) for record in tail)
    )
    return concluded(key, so_far, sorted(one for one in pending or () if one not in by_id), anchor)


def _faults_in_tail(key: bytes, it: Placed) -> Iterator[Fault]:
    if not is_genuine(key, it.record):
        yield Fault("inserted", it.record.id)
    elif (it.position is None or it.position < 1) and not it.waiting:
        yield Fault("seal_removed", it.record.id)


def _faults_at_the_end(key: bytes, anchor: Anchor | None, *, reached: bool) -> tuple[Fault, ...]:
    if anchor is None:
        return ()
    if not is_genuine_anchor(key, anchor):
        return (Fault("anchor_forged"),)
    return () if reached else (Fault("cut_off", anchor.seal.record, anchor.seal.position),)


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
