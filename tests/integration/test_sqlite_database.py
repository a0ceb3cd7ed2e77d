"""The SQLite file: group commit, errors, closing, and who may use it."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from cozy_adapters.sql.engine import Statement, Transaction
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.tables import audit_pending
from cozy_domain.errors import MissingError, StorageConflictError, StorageUnavailableError
from tests.fixtures.turns import number

PATIENCE_S = 60  # bounds a wait on a thread; reached only when something hangs

ADD = Statement(insert(audit_pending))
ALL = Statement(select(audit_pending.c.record).order_by(audit_pending.c.record))


def add(*values: int) -> Transaction[int]:
    for value in values:
        yield ADD(record=number(value))
    return len(values)


def add_then_refuse(value: int) -> Transaction[None]:
    yield ADD(record=number(value))
    raise MissingError("after writing")


def stored() -> Transaction[list[int]]:
    rows = yield ALL()
    return [row[0].int & 0xFFFF for row in rows]


class Gate:
    """Holds the writer inside a transaction until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def transaction(self, value: int) -> Transaction[None]:
        yield ADD(record=number(value))
        self.entered.set()
        assert self.open.wait(PATIENCE_S)


async def hold(database: SqliteDatabase, gate: Gate, value: int) -> "asyncio.Task[None]":
    """The task whose transaction the writer is in now."""
    task = asyncio.create_task(database.write(gate.transaction, value))
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    return task


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "data" / "cozy.db")
    await database.aopen()
    yield database
    await database.aclose()


# Group commit


async def test_what_waits_while_a_commit_runs_shares_the_next_one(database: SqliteDatabase) -> None:
    gate = Gate()
    first = await hold(database, gate, 0)
    waiting = [asyncio.create_task(database.write(add, value)) for value in range(1, 101)]
    await asyncio.sleep(0)  # each hands its transaction over
    before = database.commits
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert database.commits - before == 1
    assert await database.read(stored) == list(range(101))


async def test_one_that_fails_in_a_shared_commit_spoils_nothing_and_leaves_nothing(
    database: SqliteDatabase,
) -> None:
    gate = Gate()
    first = await hold(database, gate, 0)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(database.write(add, 1)),
        asyncio.create_task(database.write(add_then_refuse, 2)),
        asyncio.create_task(database.write(add, 3, 3)),
        asyncio.create_task(database.write(add, 4)),
    ]
    await asyncio.sleep(0)
    before = database.commits
    gate.open.set()
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert database.commits - before == 1
    assert (answers[0], answers[3]) == (1, 1)
    assert isinstance(answers[1], MissingError)
    assert isinstance(answers[2], StorageConflictError)
    assert await database.read(stored) == [0, 1, 4]


async def test_a_transaction_that_fails_alone_leaves_nothing(database: SqliteDatabase) -> None:
    with pytest.raises(MissingError):
        await database.write(add_then_refuse, 1)
    with pytest.raises(StorageConflictError):
        await database.write(add, 2, 2)
    assert await database.read(stored) == []


async def test_an_error_that_ends_the_shared_transaction_fails_all_of_it(database: SqliteDatabase) -> None:
    """As SQLite does on some full disks and read errors: it rolls everything back by itself."""

    def break_down() -> Transaction[None]:
        yield Statement(text("ROLLBACK"))()
        yield Statement(text("SELECT * FROM nowhere"))()

    gate = Gate()
    first = await hold(database, gate, 0)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(database.write(add, 1)),
        asyncio.create_task(database.write(break_down)),
        asyncio.create_task(database.write(add, 2)),
    ]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageUnavailableError] * 3
    assert "nowhere" in str(answers[0])
    assert await database.read(stored) == [0]
    assert await database.write(add, 3) == 1


async def test_nobody_is_answered_before_the_commit(database: SqliteDatabase, tmp_path: Path) -> None:
    gate = Gate()
    first = await hold(database, gate, 1)
    with sqlite3.connect(tmp_path / "data" / "cozy.db") as outside:
        assert outside.execute("SELECT count(*) FROM audit_pending").fetchone() == (0,)
    outside.close()
    assert not first.done()
    gate.open.set()
    await first
    assert await database.read(stored) == [1]


# Cancelling


async def test_a_call_cancelled_while_it_waits_is_never_run(database: SqliteDatabase) -> None:
    gate = Gate()
    first = await hold(database, gate, 0)
    second = asyncio.create_task(database.write(add, 1))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    gate.open.set()
    await first
    assert await database.write(add, 2) == 1
    assert await database.read(stored) == [0, 2]


async def test_a_call_cancelled_while_it_runs_is_whole(database: SqliteDatabase) -> None:
    gate = Gate()
    first = await hold(database, gate, 0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    gate.open.set()
    await database.write(add, 1)
    assert await database.read(stored) == [0, 1]


# What can go wrong


async def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "cozy.db")
    await database.aopen()
    small = SmallDisk(tmp_path / "cozy.db", role="guest")
    await small.aopen()
    try:
        with pytest.raises(StorageUnavailableError, match="full"):
            await small.write(add, *range(1, 20_000))
        answers = await asyncio.gather(
            *(small.write(add, *range(n * 20_000, (n + 1) * 20_000)) for n in (1, 2)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [StorageUnavailableError] * 2
        assert await small.write(add, 1) == 1
        assert await database.read(stored) == [1]
    finally:
        await small.aclose()
        await database.aclose()


class SmallDisk(SqliteDatabase):
    """A database that may not grow by more than a few pages."""

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 4}")
        return connection


async def test_a_file_that_another_program_keeps_locked_is_said_and_survived(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "cozy.db", busy_ms=20)
    await database.aopen()
    other = sqlite3.connect(tmp_path / "cozy.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StorageUnavailableError, match="locked"):
            await database.write(add, 1)
        assert await database.read(stored) == []
        other.execute("ROLLBACK")
        assert await database.write(add, 1) == 1
    finally:
        other.close()
        await database.aclose()


async def test_what_is_no_database_cannot_be_opened_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    path.write_bytes(b"this is a letter, not a database" * 100)
    with pytest.raises(StorageUnavailableError, match="not a database"):
        await SqliteDatabase(path).aopen()
    assert path.read_bytes().startswith(b"this is a letter")


async def test_a_damaged_page_is_a_store_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    database = SqliteDatabase(path)
    await database.aopen()
    await database.write(add, *range(1, 2_000))
    await database.aclose()
    overwrite_pages_of("audit_pending", path)
    await database.aopen()
    try:
        with pytest.raises(StorageUnavailableError):
            await database.read(stored)
    finally:
        await database.aclose()


def overwrite_pages_of(table: str, path: Path) -> None:
    """With rubbish: the table's first page and those of its indexes."""
    connection = sqlite3.connect(path)
    roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ?", (table,)).fetchall()
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * size)
            file.write(b"\xff" * size)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_an_error_of_ours_is_not_called_the_stores(database: SqliteDatabase) -> None:
    def wrong() -> Transaction[None]:
        yield ADD(record=number(1))
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await database.write(wrong)
    assert await database.read(stored) == []


# Opening and closing


async def test_the_file_and_its_folder_are_for_their_user_alone(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    await database.write(add, 1)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == dict.fromkeys(("cozy.db", "cozy.db-wal", "cozy.db-shm", "cozy.db.lock"), 0o600)


async def test_the_disk_is_waited_for(database: SqliteDatabase) -> None:
    connection = database._connect()
    settings = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    ]
    keys = connection.execute("PRAGMA foreign_keys").fetchone()[0]
    connection.close()
    assert (settings, keys) == (["wal", 2], 1)  # 2 is FULL


async def test_what_was_handed_over_before_closing_is_done(database: SqliteDatabase, tmp_path: Path) -> None:
    writes = [asyncio.create_task(database.write(add, value)) for value in range(50)]
    await asyncio.sleep(0)
    await database.aclose()
    assert await asyncio.gather(*writes) == [1] * 50
    await database.aopen()
    assert await database.read(stored) == list(range(50))


async def test_a_closed_database_says_so_and_can_be_closed_again(database: SqliteDatabase) -> None:
    await database.aclose()
    await database.aclose()
    for call in (database.read, database.write):
        with pytest.raises(StorageUnavailableError, match="closed"):
            await call(stored)


async def test_closing_ends_the_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    database = SqliteDatabase(tmp_path / "cozy.db")
    await database.aopen()
    ours = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("sqlite-")]
    assert len(ours) == 3
    await database.aclose()
    assert not any(thread.is_alive() for thread in ours)


async def test_a_file_has_one_server(database: SqliteDatabase, tmp_path: Path) -> None:
    second = SqliteDatabase(tmp_path / "data" / "cozy.db")
    with pytest.raises(StorageUnavailableError) as refused:
        await second.aopen()
    assert refused.value.code == "storage_in_use"
    await database.aclose()
    await second.aopen()
    await second.aclose()


async def test_a_failed_start_leaves_the_file_to_others(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StorageUnavailableError):
        await SqliteDatabase(path).aopen()
    path.unlink()
    database = SqliteDatabase(path)
    await database.aopen()
    await database.aclose()


async def test_a_guest_writes_and_a_reader_reads_beside_the_server(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "cozy.db"
    await database.write(add, 1)
    guest, reader = SqliteDatabase(path, role="guest"), SqliteDatabase(path, role="reader")
    await guest.aopen()
    await reader.aopen()
    try:
        await guest.write(add, 2)
        assert await reader.read(stored) == await database.read(stored) == [1, 2]
        with pytest.raises(StorageUnavailableError):
            await reader.write(add, 3)
    finally:
        await reader.aclose()
        await guest.aclose()


async def test_only_a_server_makes_a_file(tmp_path: Path) -> None:
    for database in (
        SqliteDatabase(tmp_path / "no.db", role="guest"),
        SqliteDatabase(tmp_path / "no.db", role="reader"),
    ):
        with pytest.raises(StorageUnavailableError):
            await database.aopen()
    assert names_in(tmp_path) == []


async def test_what_was_written_is_read_at_once(database: SqliteDatabase) -> None:
    for value in range(100):
        await database.write(add, value)
        assert len(await database.read(stored)) == value + 1


async def test_what_several_statements_read_is_of_one_moment(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "cozy.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:

        def read_twice() -> Transaction[tuple[int, int]]:
            before = yield ALL()
            other.execute("INSERT INTO audit_pending VALUES (randomblob(16))")
            after = yield ALL()
            return len(before), len(after)

        for _ in range(3):
            before, after = await database.read(read_twice)
            assert before == after
