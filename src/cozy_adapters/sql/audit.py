"""The audit log: records and seals are only ever added."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from cozy_adapters.sql.engine import Database, Row, Statement, Transaction
from cozy_adapters.sql.tables import audit_pending, audit_records, audit_seals
from cozy_domain.audit.chain import Link, Placed, Seal
from cozy_domain.audit.events import AuditRecord, OperatorActed
from cozy_domain.errors import StorageConflictError

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(AuditRecord).decode

_INSERT = Statement(insert(audit_records))
_INSERT_PENDING = Statement(insert(audit_pending))
_FIND = Statement(select(audit_records.c.id).where(audit_records.c.id == bindparam("record")))
_RECORD = select(audit_records.c.id, audit_records.c.at, audit_records.c.body)
_BY_TIME = (audit_records.c.at, audit_records.c.id)
_ALL = Statement(_RECORD.order_by(*_BY_TIME))
_SINCE = Statement(_RECORD.where(audit_records.c.at >= bindparam("since")).order_by(*_BY_TIME))
_NEWEST_FIRST = tuple(column.desc() for column in _BY_TIME)
_NEWEST = Statement(_RECORD.order_by(*_NEWEST_FIRST).limit(bindparam("limit")))
_NEWEST_SINCE = Statement(
    _RECORD.where(audit_records.c.at >= bindparam("since")).order_by(*_NEWEST_FIRST).limit(bindparam("limit"))
)
_PENDING = Statement(
    _RECORD.join(audit_pending, audit_pending.c.record == audit_records.c.id)
    .order_by(audit_pending.c.record)
    .limit(bindparam("limit"))
)
_SEAL = select(audit_seals.c.position, audit_seals.c.record, audit_seals.c.hash)
_SEALS = Statement(_SEAL.order_by(audit_seals.c.position))
_SEAL_OF = Statement(_SEAL.where(audit_seals.c.record == bindparam("record")))
_SEAL_AT = Statement(_SEAL.where(audit_seals.c.position == bindparam("at_position")))
_LAST_SEAL = Statement(_SEAL.order_by(audit_seals.c.position.desc()).limit(1))
_INSERT_SEAL = Statement(insert(audit_seals))
_CHAIN = Statement(
    _SEAL.add_columns(audit_records.c.id, audit_records.c.at, audit_records.c.body)
    .join_from(audit_seals, audit_records, audit_records.c.id == audit_seals.c.record, isouter=True)
    .where(audit_seals.c.position > bindparam("after"))
    .order_by(audit_seals.c.position)
    .limit(bindparam("limit"))
)
_PLACES = Statement(
    _RECORD.add_columns(audit_seals.c.position, audit_pending.c.record)
    .join_from(audit_records, audit_seals, audit_seals.c.record == audit_records.c.id, isouter=True)
    .join(audit_pending, audit_pending.c.record == audit_records.c.id, isouter=True)
    .where(audit_records.c.id > bindparam("after"))
    .order_by(audit_records.c.id)
    .limit(bindparam("limit"))
)
_ORPHANS = Statement(
    select(audit_pending.c.record)
    .join(audit_records, audit_records.c.id == audit_pending.c.record, isouter=True)
    .where(audit_records.c.id.is_(None))
    .order_by(audit_pending.c.record)
    .limit(bindparam("limit"))
)
_BEFORE_ALL = UUID(int=0)
_DELETE_PENDING = Statement(delete(audit_pending).where(audit_pending.c.record == bindparam("sealed")))


class SqlAuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, records: tuple[AuditRecord, ...]) -> None:
        await self._database.write(append, records)

    async def unsealed(self, limit: int) -> tuple[tuple[AuditRecord, ...], Seal | None]:
        return await self._database.read(_unsealed, limit)

    async def seal(self, seals: tuple[Seal, ...]) -> bool:
        if not seals:
            return True
        try:
            return await self._database.write(_seal, seals)
        except StorageConflictError:
            return False  # two sealers at once: the position is the primary key

    async def read(
        self, *, since: datetime | None = None, limit: int | None = None
    ) -> tuple[tuple[AuditRecord, ...], tuple[Seal, ...]]:
        if since is None and limit is None:
            return await self._database.read(_everything)
        return await self._database.read(_some, since, limit)

    async def links(self, after: int, limit: int) -> tuple[Link, ...]:
        return await self._database.read(_links, after, limit)

    async def placed(self, after: UUID | None, limit: int) -> tuple[Placed, ...]:
        return await self._database.read(_placed, after, limit)

    async def orphans(self, limit: int) -> tuple[UUID, ...]:
        return await self._database.read(_orphans, limit)

    async def seal_at(self, position: int) -> Seal | None:
        return await self._database.read(_at, position)


def append(records: tuple[AuditRecord, ...]) -> Transaction[None]:
    """Part of a transaction: adds the records that are not there yet."""
    for record in records:
        if not (yield _FIND(record=record.id)):
            yield from add(record)


def add(record: AuditRecord) -> Transaction[None]:
    """Part of a transaction: the record is new."""
    yield _INSERT(id=record.id, at=record.at, body=_ENCODE(record).decode())
    yield _INSERT_PENDING(record=record.id)


def _unsealed(limit: int) -> Transaction[tuple[tuple[AuditRecord, ...], Seal | None]]:
    last = yield _LAST_SEAL()
    rows = yield _PENDING(limit=limit)
    return tuple(_record(row) for row in rows), _seal_of(last[0]) if last else None


def _seal(seals: tuple[Seal, ...]) -> Transaction[bool]:
    last = yield _LAST_SEAL()
    free = _seal_of(last[0]).position + 1 if last else 1
    if seals[0].position != free:
        return False
    yield _INSERT_SEAL.many([{"position": s.position, "record": s.record, "hash": s.hash} for s in seals])
    yield _DELETE_PENDING.many([{"sealed": seal.record} for seal in seals])
    return True


def _everything() -> Transaction[tuple[tuple[AuditRecord, ...], tuple[Seal, ...]]]:
    rows = yield _ALL()
    seals = yield _SEALS()
    return tuple(_record(row) for row in rows), tuple(_seal_of(row) for row in seals)


def _links(after: int, limit: int) -> Transaction[tuple[Link, ...]]:
    rows = yield _CHAIN(after=after, limit=limit)
    return tuple(Link(_seal_of(row[:3]), None if row[3] is None else _record(row[3:])) for row in rows)


def _placed(after: UUID | None, limit: int) -> Transaction[tuple[Placed, ...]]:
    rows = yield _PLACES(after=after or _BEFORE_ALL, limit=limit)
    return tuple(Placed(_record(row[:3]), row[3], row[4] is not None) for row in rows)


def _orphans(limit: int) -> Transaction[tuple[UUID, ...]]:
    rows = yield _ORPHANS(limit=limit)
    return tuple(row[0] for row in rows)


def _at(position: int) -> Transaction[Seal | None]:
    rows = yield _SEAL_AT(at_position=position)
    return _seal_of(rows[0]) if rows else None


def _some(
    since: datetime | None, limit: int | None
) -> Transaction[tuple[tuple[AuditRecord, ...], tuple[Seal, ...]]]:
    if limit is None:
        rows = yield _SINCE(since=since)
    else:
        newest = yield (_NEWEST_SINCE(since=since, limit=limit) if since else _NEWEST(limit=limit))
        rows = newest[::-1]
    seals: list[Seal] = []
    for row in rows:
        seals += [_seal_of(found) for found in (yield _SEAL_OF(record=row[0]))]
    return tuple(_record(row) for row in rows), tuple(sorted(seals, key=lambda seal: seal.position))


def _record(row: Row) -> AuditRecord:
    """The stored record. One that cannot be read any more, or does not belong to its row, is stood in for by a record
    without a mac, so that ``verify`` reports it."""
    own_id, at, body = row
    try:
        record = _DECODE(body)
    except (msgspec.MsgspecError, TypeError):
        record = None
    if record is None or (record.id, record.at) != (own_id, at):
        return AuditRecord(own_id, at, OperatorActed("unreadable", str(own_id)), level="error")
    return record


def _seal_of(row: Row) -> Seal:
    return Seal(*row)
