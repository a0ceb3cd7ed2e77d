"""The sealer."""

import pytest

from cozy_adapters.inmemory.audit import InMemoryAuditLog
from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_domain.audit.chain import Seal, verify
from cozy_domain.audit.events import AuditRecord
from cozy_domain.audit.ports import AuditLog
from cozy_domain.audit.sealer import seal_once
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
