"""The sealer, and what it leaves outside of the log."""

import pytest

from cozy_adapters.inmemory.audit import InMemoryAuditLog
from cozy_adapters.inmemory.audit_anchor import InMemoryAuditAnchor
from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_domain.audit.chain import UNREADABLE, Fault, Seal, anchor_at, verify
from cozy_domain.audit.check import check
from cozy_domain.audit.events import AuditRecord
from cozy_domain.audit.ports import AuditLog
from cozy_domain.audit.sealer import anchor_once, seal_once
from cozy_domain.errors import StorageUnavailableError
from tests.fixtures.turns import AUDIT_KEY, record


class FasterSealer(InMemoryAuditLog):
    """A log on which another sealer always comes first."""

    async def seal(self, seals: tuple[Seal, ...]) -> bool:
        return False


def log_of(*records: AuditRecord, kind: type[InMemoryAuditLog] = InMemoryAuditLog) -> AuditLog:
    conversations = InMemoryConversations()
    conversations.append(records)
    return kind(conversations)


async def test_it_seals_what_is_unsealed_in_parts_that_make_one_chain() -> None:
    log = log_of(*(record(value) for value in range(1, 6)))
    assert [await seal_once(log, AUDIT_KEY, 2) for _ in range(4)] == [2, 2, 1, 0]
    found = verify(AUDIT_KEY, *await log.read())
    assert (found.sealed, found.unsealed, found.faults) == (5, 0, ())


async def test_it_tells_when_another_was_faster() -> None:
    assert await seal_once(log_of(record(1), kind=FasterSealer), AUDIT_KEY) == 0


async def test_it_tells_when_the_log_does_not_answer() -> None:
    conversations = InMemoryConversations(available=False)
    with pytest.raises(StorageUnavailableError):
        await seal_once(InMemoryAuditLog(conversations), AUDIT_KEY)


# The anchor


class Watched:
    """A log of five records, its store, and an anchor beside it."""

    def __init__(self) -> None:
        self.store = InMemoryConversations()
        self.store.append(tuple(record(value) for value in range(1, 6)))
        self.log = InMemoryAuditLog(self.store)
        self.anchor = InMemoryAuditAnchor()

    async def sealed(self, limit: int = 100) -> str:
        await seal_once(self.log, AUDIT_KEY, limit)
        return await anchor_once(self.log, self.anchor, AUDIT_KEY)

    def cut(self, kept: int) -> None:
        for one in self.store.seals[kept:]:
            del self.store.records[one.record]
        del self.store.seals[kept:]

    async def faults(self) -> tuple[Fault, ...]:
        return (await check(self.log, self.anchor, AUDIT_KEY)).faults


async def test_the_anchor_is_made_and_then_follows_the_chain() -> None:
    it = Watched()
    assert await anchor_once(it.log, it.anchor, AUDIT_KEY) == "kept"
    assert await it.anchor.read() is None
    assert [await it.sealed(3) for _ in range(3)] == ["made", "moved", "kept"]
    assert await it.anchor.read() == anchor_at(AUDIT_KEY, it.store.seals[-1])
    assert (await check(it.log, it.anchor, AUDIT_KEY)).anchored == 5


async def test_a_sealer_that_died_before_it_anchored_leaves_no_fault() -> None:
    it = Watched()
    await it.sealed(2)
    await seal_once(it.log, AUDIT_KEY)
    assert await it.faults() == ()
    assert await anchor_once(it.log, it.anchor, AUDIT_KEY) == "moved"


@pytest.mark.parametrize("kept", [0, 1, 4])
async def test_sealing_on_does_not_cover_up_that_the_chain_was_cut_off(kept: int) -> None:
    it = Watched()
    await it.sealed()
    last = it.store.seals[-1]
    it.cut(kept)
    assert await it.faults() == (Fault("cut_off", last.record, 5),)
    it.store.append(tuple(record(value) for value in range(6, 16)))
    assert await it.sealed() == "cut_off"
    assert len(it.store.seals) > 5
    assert await it.faults() == (Fault("cut_off", last.record, 5),)


async def test_an_anchor_that_was_forged_stays_for_everybody_to_see() -> None:
    it = Watched()
    await it.anchor.write(UNREADABLE)
    assert await it.sealed() == "anchor_forged"
    assert await it.anchor.read() == UNREADABLE
    assert await it.faults() == (Fault("anchor_forged"),)


async def test_an_anchor_that_does_not_answer_is_told_and_the_records_are_sealed() -> None:
    it = Watched()
    it.anchor.available = False
    with pytest.raises(StorageUnavailableError):
        await it.sealed()
    assert len(it.store.seals) == 5
    with pytest.raises(StorageUnavailableError):
        await it.faults()
