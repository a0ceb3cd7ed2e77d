"""The audit log on SQLite: accidents cannot happen, and tampering with the file is found."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_adapters.inmemory.audit_anchor import InMemoryAuditAnchor
from cozy_adapters.sql.audit import SqlAuditLog
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_domain.audit.chain import Verification
from cozy_domain.audit.check import check
from cozy_domain.audit.sealer import seal_once
from tests.fixtures.turns import AUDIT_KEY, number, record

TRIGGERS = (
    "audit_records_no_update",
    "audit_records_no_delete",
    "audit_seals_no_update",
    "audit_seals_no_delete",
)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqlAuditLog]:
    """Five sealed records and one that is not."""
    database = SqliteDatabase(tmp_path / "cozy.db")
    await database.aopen()
    log = SqlAuditLog(database)
    await log.write(tuple(record(value) for value in range(1, 6)))
    assert await seal_once(log, AUDIT_KEY) == 5
    await log.write((record(6),))
    yield log
    await database.aclose()


def tamper(folder: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "cozy.db")
    for trigger in TRIGGERS:
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(sql, values)
    connection.commit()
    connection.close()


async def verified(log: SqlAuditLog) -> Verification:
    return await check(log, InMemoryAuditAnchor(), AUDIT_KEY, page=2)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_records SET body = ''",
        "DELETE FROM audit_records",
        "UPDATE audit_seals SET hash = ''",
        "DELETE FROM audit_seals",
    ],
)
async def test_audit_rows_cannot_be_changed_by_accident(log: SqlAuditLog, tmp_path: Path, sql: str) -> None:
    connection = sqlite3.connect(tmp_path / "cozy.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
    connection.close()
    found = await verified(log)
    assert (found.sealed, found.unsealed, found.faults) == (5, 1, ())


async def test_a_changed_record_is_found_by_its_place(log: SqlAuditLog, tmp_path: Path) -> None:
    sql = "UPDATE audit_records SET body = replace(body, 'key 3', 'key 7') WHERE id = ?"
    tamper(tmp_path, sql, number(3).bytes)
    (fault,) = (await verified(log)).faults
    assert (fault.kind, fault.record, fault.position) == ("changed", number(3), 3)


@pytest.mark.parametrize("body", ["", "{}", "no json", None, b"\xff\xfe", 17])
async def test_a_record_that_became_unreadable_is_found_by_its_place(
    log: SqlAuditLog, tmp_path: Path, body: object
) -> None:
    tamper(
        tmp_path,
        "UPDATE OR IGNORE audit_records SET body = coalesce(?, x'') WHERE id = ?",
        body,
        number(3).bytes,
    )
    (fault,) = (await verified(log)).faults
    assert (fault.kind, fault.record, fault.position) == ("changed", number(3), 3)


async def test_a_removed_record_is_found_by_its_place(log: SqlAuditLog, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM audit_records WHERE id = ?", number(3).bytes)
    (fault,) = (await verified(log)).faults
    assert (fault.kind, fault.record, fault.position) == ("removed", number(3), 3)


@pytest.mark.parametrize("own_id", [True, False])
async def test_an_inserted_record_is_found(log: SqlAuditLog, tmp_path: Path, own_id: bool) -> None:
    sql = "INSERT INTO audit_records SELECT ?, at, replace(body, ?, ?) FROM audit_records WHERE id = ?"
    new_id = str(number(99)) if own_id else str(number(3))
    tamper(tmp_path, sql, number(99).bytes, str(number(3)), new_id, number(3).bytes)
    (fault,) = (await verified(log)).faults
    assert (fault.kind, fault.record) == ("inserted", number(99))


async def test_a_record_moved_in_time_is_found(log: SqlAuditLog, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE audit_records SET at = at - 1 WHERE id = ?", number(3).bytes)
    (fault,) = (await verified(log)).faults
    assert (fault.kind, fault.record, fault.position) == ("changed", number(3), 3)


async def test_a_removed_seal_is_found(log: SqlAuditLog, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM audit_seals WHERE position = 2")
    assert "chain_broken" in [fault.kind for fault in (await verified(log)).faults]


async def test_the_chain_goes_on_after_a_restart(log: SqlAuditLog, tmp_path: Path) -> None:
    assert await seal_once(log, AUDIT_KEY) == 1
    assert await seal_once(log, AUDIT_KEY) == 0
    found = await verified(log)
    assert (found.sealed, found.unsealed, found.faults) == (6, 0, ())


async def test_a_seal_that_was_moved_before_the_first_place_is_found(
    log: SqlAuditLog, tmp_path: Path
) -> None:
    tamper(
        tmp_path,
        "UPDATE audit_seals SET position = -1 WHERE position = (SELECT max(position) FROM audit_seals)",
    )
    assert [fault.kind for fault in (await verified(log)).faults] == ["seal_removed"]


async def test_what_waits_for_the_sealer_and_is_gone_was_removed(log: SqlAuditLog, tmp_path: Path) -> None:
    await log.write((record(9),))
    tamper(tmp_path, "DELETE FROM audit_records WHERE id = ?", record(9).id.bytes)
    assert [fault.kind for fault in (await verified(log)).faults] == ["removed"]
