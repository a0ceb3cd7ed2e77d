"""Audit log in memory."""

from datetime import datetime
from uuid import UUID

from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_domain.audit.chain import Link, Placed, Seal
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

    async def links(self, after: int, limit: int) -> tuple[Link, ...]:
        self._all.check()
        seals = [seal for seal in self._all.seals if seal.position > after][:limit]
        return tuple(Link(seal, self._all.records.get(seal.record)) for seal in seals)

    async def placed(self, after: UUID | None, limit: int) -> tuple[Placed, ...]:
        """What has no seal waits for one here: there is no list of those that do."""
        self._all.check()
        places = {seal.record: seal.position for seal in self._all.seals}
        ids = sorted(one for one in self._all.records if after is None or one > after)[:limit]
        return tuple(Placed(self._all.records[one], places.get(one), one not in places) for one in ids)

    async def orphans(self, limit: int) -> tuple[UUID, ...]:  # noqa: ARG002  # see `placed`
        self._all.check()
        return ()

    async def seal_at(self, position: int) -> Seal | None:
        self._all.check()
        return next((seal for seal in self._all.seals if seal.position == position), None)

    def _by_time(self, since: datetime | None) -> tuple[AuditRecord, ...]:
        records = sorted(self._all.records.values(), key=lambda record: (record.at, record.id))
        return tuple(record for record in records if since is None or record.at >= since)

    def _last(self) -> Seal | None:
        return self._all.seals[-1] if self._all.seals else None
