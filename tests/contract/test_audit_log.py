"""What every AuditLog promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_adapters.inmemory.audit_anchor import InMemoryAuditAnchor
from cozy_domain.audit.chain import Link, Placed, Seal, seal, verify
from cozy_domain.audit.check import check
from cozy_domain.audit.events import (
    AccessRefused,
    AuditEvent,
    AuditRecord,
    Degradation,
    EngineDegraded,
    ToolCalled,
    TurnAudited,
)
from cozy_domain.audit.sealer import seal_once
from cozy_domain.ids import PersonaId
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import ANNA, AUDIT_KEY, at, closed, number, opened, record, session_id, turn_id

EVENTS: tuple[AuditEvent, ...] = (
    TurnAudited("completed", PersonaId("anna"), 2, "openai/gpt", ("memory",), 10, 20, 30, "stop", None),
    EngineDegraded(Degradation("memory", "timeout", 400)),
    ToolCalled("clock", "c1", "read", "ok", 3, 2, "a" * 64, 5),
    AccessRefused("invalid_api_key", "/v1/chat/completions"),
)


class AuditLogContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    @pytest.mark.parametrize("event", EVENTS)
    async def test_every_kind_of_record_comes_back_genuine(self, stores: Stores, event: AuditEvent) -> None:
        whole = AuditRecord(
            number(1), at(0), event, "warning", "acme", ANNA.id, session_id(1), turn_id(1), "req_1", "mac"
        )
        await stores.audit.write((whole,))
        assert await stores.audit.read() == ((whole,), ())

    async def test_a_record_that_is_there_stays_as_it_is(self, stores: Stores) -> None:
        await stores.audit.write((record(1), record(2)))
        await stores.audit.write((record(1, when=at(9)), record(3)))
        records, _ = await stores.audit.read()
        assert records == (record(1), record(2), record(3))

    async def test_records_come_oldest_first(self, stores: Stores) -> None:
        await stores.audit.write((record(1, when=at(3)), record(2, when=at(1)), record(3, when=at(2))))
        records, _ = await stores.audit.read()
        assert [one.at for one in records] == [at(1), at(2), at(3)]

    async def test_records_of_a_turn_are_there_when_it_is_closed(self, stores: Stores) -> None:
        await stores.turns.open(opened(1))
        await stores.turns.close(closed(1, audit=(record(1), record(2))))
        assert await stores.audit.unsealed(10) == ((record(1), record(2)), None)

    async def test_unsealed_records_come_by_id_and_bounded(self, stores: Stores) -> None:
        await stores.audit.write((record(3), record(1), record(2)))
        records, last = await stores.audit.unsealed(2)
        assert (records, last) == ((record(1), record(2)), None)

    async def test_sealed_records_are_unsealed_no_more(self, stores: Stores) -> None:
        await stores.audit.write((record(1), record(2), record(3)))
        seals = seal(AUDIT_KEY, None, (record(1), record(2)))
        assert await stores.audit.seal(seals)
        assert await stores.audit.unsealed(10) == ((record(3),), seals[-1])

    async def test_a_chain_goes_on_where_it_ended(self, stores: Stores) -> None:
        first = seal(AUDIT_KEY, None, (record(1),))
        second = seal(AUDIT_KEY, first[-1], (record(2),))
        await stores.audit.write((record(1), record(2)))
        assert await stores.audit.seal(first)
        assert await stores.audit.seal(second)
        assert await stores.audit.read() == ((record(1), record(2)), first + second)

    @pytest.mark.parametrize("position", [1, 2, 4])
    async def test_a_seal_at_a_place_that_is_not_free_or_not_next_writes_nothing(
        self, stores: Stores, position: int
    ) -> None:
        await stores.audit.write((record(1), record(2), record(3), record(4)))
        taken = seal(AUDIT_KEY, None, (record(1), record(2)))
        assert await stores.audit.seal(taken)
        late = (Seal(position, record(3).id, "b" * 64), Seal(position + 1, record(4).id, "c" * 64))
        assert not await stores.audit.seal(late)
        assert (await stores.audit.read())[1] == taken
        assert (await stores.audit.unsealed(10))[0] == (record(3), record(4))

    async def test_sealing_nothing_is_fine(self, stores: Stores) -> None:
        assert await stores.audit.seal(())
        assert await stores.audit.unsealed(10) == ((), None)

    async def test_the_chain_is_read_in_pages_with_its_records(self, stores: Stores) -> None:
        assert await stores.audit.links(0, 10) == ()
        records = tuple(record(n) for n in range(1, 6))
        await stores.audit.write(records)
        seals = seal(AUDIT_KEY, None, records[:4][::-1])
        await stores.audit.seal(seals)
        links = tuple(Link(seal, record) for seal, record in zip(seals, records[:4][::-1], strict=True))
        assert await stores.audit.links(0, 10) == links
        assert await stores.audit.links(1, 2) == links[1:3]
        assert await stores.audit.links(4, 2) == ()

    async def test_all_records_are_read_in_pages_with_their_places(self, stores: Stores) -> None:
        assert await stores.audit.placed(None, 10) == ()
        records = tuple(record(n, when=at(9 - n)) for n in range(1, 6))
        await stores.audit.write(records)
        await stores.audit.seal(seal(AUDIT_KEY, None, (records[3], records[0])))
        whole = (
            Placed(records[0], 2, waiting=False),
            Placed(records[1], None, waiting=True),
            Placed(records[2], None, waiting=True),
            Placed(records[3], 1, waiting=False),
            Placed(records[4], None, waiting=True),
        )
        assert await stores.audit.placed(None, 10) == whole
        assert await stores.audit.placed(records[0].id, 3) == whole[1:4]
        assert await stores.audit.placed(records[4].id, 3) == ()
        assert await stores.audit.orphans(10) == ()

    @pytest.mark.parametrize("page", [1, 2, 3, 100])
    async def test_pages_of_any_size_lead_to_the_same_result(self, stores: Stores, page: int) -> None:
        await stores.audit.write(tuple(record(n) for n in range(1, 8)))
        await seal_once(stores.audit, AUDIT_KEY, 4)
        found = await check(stores.audit, InMemoryAuditAnchor(), AUDIT_KEY, page)
        assert found == verify(AUDIT_KEY, *await stores.audit.read())
        assert (found.sealed, found.unsealed) == (4, 3)

    async def test_a_seal_is_found_by_its_position(self, stores: Stores) -> None:
        await stores.audit.write((record(1), record(2)))
        seals = seal(AUDIT_KEY, None, (record(1), record(2)))
        await stores.audit.seal(seals)
        assert [await stores.audit.seal_at(place) for place in (0, 1, 2, 3)] == [None, *seals, None]

    async def test_a_log_that_is_checked_while_it_is_sealed_has_no_fault(self, stores: Stores) -> None:
        async def sealed() -> None:
            for n in range(1, 31):
                await stores.audit.write((record(n),))
                await seal_once(stores.audit, AUDIT_KEY, 7)

        sealing = asyncio.create_task(sealed())
        while not sealing.done():
            assert (await check(stores.audit, InMemoryAuditAnchor(), AUDIT_KEY, 3)).faults == ()
            await asyncio.wait((sealing,), timeout=0)
        await sealing

    async def test_two_sealers_at_once_make_one_chain(self, stores: Stores) -> None:
        await stores.audit.write(tuple(record(n) for n in range(1, 41)))
        await asyncio.gather(*(seal_once(stores.audit, AUDIT_KEY, 7) for _ in range(12)))
        while await seal_once(stores.audit, AUDIT_KEY, 7):
            pass
        found = verify(AUDIT_KEY, *await stores.audit.read())
        assert (found.sealed, found.unsealed, found.faults) == (40, 0, ())

    # Reading a part

    async def test_since_includes_its_moment_and_brings_only_the_seals_of_what_it_shows(
        self, stores: Stores
    ) -> None:
        records = tuple(record(n, when=at(n)) for n in range(1, 6))
        await stores.audit.write(records)
        seals = seal(AUDIT_KEY, None, records[:4])
        await stores.audit.seal(seals)
        assert await stores.audit.read(since=at(3)) == (records[2:], seals[2:])

    async def test_a_limit_shows_the_newest(self, stores: Stores) -> None:
        records = tuple(record(n, when=at(n)) for n in range(1, 6))
        await stores.audit.write(records)
        await stores.audit.seal(seal(AUDIT_KEY, None, records))
        shown, seals = await stores.audit.read(limit=2)
        assert shown == records[3:]
        assert [one.position for one in seals] == [4, 5]
        assert (await stores.audit.read(since=at(5), limit=2))[0] == records[4:]
        assert (await stores.audit.read(limit=99))[0] == records


class TestInMemoryAuditLog(AuditLogContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteAuditLog(AuditLogContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresAuditLog(AuditLogContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
