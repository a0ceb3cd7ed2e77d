"""Audit log in memory."""

from datetime import datetime

from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_domain.audit.chain import Seal, Trail
from cozy_domain.audit.events import AuditRecord


class InMemoryAuditLog:
    def __init__(self, conversations: InMemoryConversations) -> None:
        self._all = conversations

    async def write(self, records: tuple[AuditRecord, ...]) -> None:
        self._all.check()
        self._all.append(records)

    async def unsealed(self, limit: int) -> tuple[tuple[AuditRecord, ...], Seal | None]:
        self._all.check()
        sealed = {seal.record for seal in self._all.seals}
        waiting = sorted(self._all.records.keys() - sealed)
        return tuple(self._all.records[record] for record in waiting[:limit]), self._last()

    async def seal(self, seals: tuple[Seal, ...]) -> bool:
        self._all.check()
        last = self._last()
        free = last.position + 1 if last else 1
        if seals and seals[0].position != free:
            return False
        self._all.seals += seals
        return True

    async def read(
        self, *, since: datetime | None = None, limit: int | None = None
    ) -> tuple[tuple[AuditRecord, ...], tuple[Seal, ...]]:
        self._all.check()
        if since is None and limit is None:
            return self._by_time(None), tuple(self._all.seals)
        records = self._by_time(since)
        records = records if limit is None else records[max(len(records) - limit, 0) :]
        ids = {record.id for record in records}
        return records, tuple(seal for seal in self._all.seals if seal.record in ids)

    async def trail(self) -> Trail:
        self._all.check()
        sealed = {seal.record for seal in self._all.seals}
        return Trail(
            self._by_time(None), tuple(self._all.seals), frozenset(self._all.records.keys() - sealed)
        )

    async def seal_at(self, position: int) -> Seal | None:
        self._all.check()
        return next((seal for seal in self._all.seals if seal.position == position), None)

    def _by_time(self, since: datetime | None) -> tuple[AuditRecord, ...]:
        records = sorted(self._all.records.values(), key=lambda record: (record.at, record.id))
        return tuple(record for record in records if since is None or record.at >= since)

    def _last(self) -> Seal | None:
        return self._all.seals[-1] if self._all.seals else None
