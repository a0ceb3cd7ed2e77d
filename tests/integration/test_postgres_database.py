"""The Postgres store: reads and writes, errors, connections that break, and waiting that ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy import bindparam, insert, select, text

from cozy_adapters.sql.engine import Database, Statement, Transaction
from cozy_adapters.sql.postgres import PostgresDatabase, PostgresLimits
from cozy_adapters.sql.postgres_pool import ConnectionPool
from cozy_adapters.sql.tables import audit_pending
from cozy_domain.errors import (
    ConfigError,
    MissingError,
    StorageConflictError,
    StorageError,
    StorageUnavailableError,
)
from tests.fixtures.postgres import postgres_database, postgres_url
from tests.fixtures.promptness import SOON_S, soonest
from tests.fixtures.turns import number

PATIENCE_S = 60  # bounds a wait on another process; reached only when something hangs
GATE = 4_711
PATIENT = PostgresLimits(
    pool_size=2, patience_s=60.0, statement_s=59.0, lock_s=58.0, wait_s=60.0, connect_s=60.0, ping_s=60.0
)
"""None of them is met by a machine that stands still for a while."""

T = TypeVar("T")

ADD = Statement(insert(audit_pending))
ALL = Statement(select(audit_pending.c.record).order_by(audit_pending.c.record))
WAIT = Statement(text("SELECT pg_advisory_xact_lock_shared(:gate)").bindparams(bindparam("gate")))
SLEEP = Statement(text("SELECT pg_sleep(60)"))
LOCK = Statement(text("SELECT pg_advisory_xact_lock(:name)").bindparams(bindparam("name")))


def add(*values: int) -> Transaction[int]:
    for value in values:
        yield ADD(record=number(value))
    return len(values)


def add_at_the_gate(value: int) -> Transaction[int]:
    yield ADD(record=number(value))
    yield WAIT(gate=GATE)
    return value


def add_then_refuse(value: int) -> Transaction[None]:
    yield ADD(record=number(value))
    raise MissingError("after writing")


def stored() -> Transaction[list[int]]:
    rows = yield ALL()
    return [row[0].int & 0xFFFF for row in rows]


def stored_twice() -> Transaction[tuple[int, int]]:
    first = yield ALL()
    yield WAIT(gate=GATE)
    second = yield ALL()
    return len(first), len(second)


class Gate:
    """Holds transactions that come to it, until it is opened."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def open(self) -> None:
        await self.connection.execute(f"SELECT pg_advisory_unlock({GATE})")

    async def has(self, waiting: int) -> None:
        """Until so many of them stand there."""
        await self.until(self._waiting, waiting)

    async def terminate(self) -> int:
        """Ends every other connection to this database, as an administrator does; how many there were."""
        ended = await self.connection.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(ended)

    async def others(self) -> int:
        """Connections to this database beside this one."""
        return int(
            await self.connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    async def _waiting(self) -> int:
        return int(
            await self.connection.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )

    @staticmethod
    async def until(ask: Callable[[], Awaitable[int]], wanted: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await ask() != wanted:  # noqa: ASYNC110  another process's condition
                await asyncio.sleep(0.005)


@asynccontextmanager
async def outside(url: str) -> AsyncIterator[Gate]:
    """A closed gate."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({GATE})")
        yield Gate(connection)
    finally:
        await connection.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with postgres_url() as url:
        yield url


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    async with postgres_database(url) as database:
        yield database


@pytest.fixture
async def small(url: str) -> AsyncIterator[PostgresDatabase]:
    """Two connections, and locks that nobody waits for any more are given up after 2 s."""
    async with postgres_database(url, limits=replace(PATIENT, lock_s=2.0)) as database:
        yield database


@pytest.fixture
async def gate(url: str) -> AsyncIterator[Gate]:
    async with outside(url) as gate:
        yield gate


async def refused(work: Awaitable[object]) -> StorageError:
    with pytest.raises(StorageError) as error:
        await work
    return error.value


# Transactions


async def test_what_was_written_is_read_at_once(database: PostgresDatabase) -> None:
    for value in range(20):
        await database.write(add, value)
        assert len(await database.read(stored)) == value + 1


async def test_a_transaction_that_fails_leaves_nothing(database: PostgresDatabase) -> None:
    with pytest.raises(MissingError):
        await database.write(add_then_refuse, 1)
    with pytest.raises(StorageConflictError):
        await database.write(add, 2, 2)
    assert await database.read(stored) == []


async def test_a_refusal_names_the_rule_and_not_what_was_written(database: PostgresDatabase) -> None:
    await database.write(add, 7)
    error = await refused(database.write(add, 7))
    assert "pk_audit_pending" in str(error)
    assert str(number(7)) not in str(error)


async def test_an_error_of_ours_is_not_called_the_stores(database: PostgresDatabase) -> None:
    def wrong() -> Transaction[None]:
        yield ADD(record=number(1))
        raise KeyError("a bug")

    def misspelt() -> Transaction[None]:
        yield Statement(text("SELEKT 1"))()

    with pytest.raises(KeyError):
        await database.write(wrong)
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await database.write(misspelt)
    assert await database.read(stored) == []


async def test_a_read_of_several_statements_sees_one_moment(database: PostgresDatabase, gate: Gate) -> None:
    await gate.open()
    assert await database.read(stored_twice) == (0, 0)  # finds out that one statement is not enough
    await gate.connection.execute(f"SELECT pg_advisory_lock({GATE})")
    reading = asyncio.create_task(database.read(stored_twice))
    await gate.has(1)
    await database.write(add, 1)
    await gate.open()
    assert await reading == (0, 0)
    assert await database.read(stored_twice) == (1, 1)


@pytest.mark.parametrize("transaction", [lambda: add(1), lambda: add(1, 2)], ids=["one", "two"])
async def test_a_read_writes_nothing(
    database: PostgresDatabase, transaction: Callable[[], Transaction[int]]
) -> None:
    assert isinstance(await refused(database.read(transaction)), StorageUnavailableError)
    assert await database.read(stored) == []
    assert await database.write(add, 3) == 1


async def test_a_reader_reads_beside_the_server_and_writes_nothing(
    database: PostgresDatabase, url: str
) -> None:
    await database.write(add, 1)
    reader = PostgresDatabase(url, role="reader")
    await reader.aopen()
    try:
        assert await reader.read(stored) == [1]
        assert isinstance(await refused(reader.write(add, 2)), StorageUnavailableError)
    finally:
        await reader.aclose()
    assert await database.read(stored) == [1]


# What the server says


@pytest.mark.parametrize(
    "code",
    ["53100", "53200", "53300", "57P01", "57P02", "57P03", "57014", "55P03", "40001", "40P01", "08006",
     "25006", "58030", "XX001", "42P01"],
)  # fmt: skip
async def test_trouble_of_the_server_is_a_store_that_does_not_answer(
    database: PostgresDatabase, code: str
) -> None:
    def raised() -> Transaction[None]:
        yield ADD(record=number(1))
        yield Statement(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"))()

    assert isinstance(await refused(database.write(raised)), StorageUnavailableError)
    assert isinstance(await refused(database.read(raised)), StorageUnavailableError)
    assert await database.write(add, 2) == 1
    assert await database.read(stored) == [2]


async def test_two_in_each_others_way_both_get_through(database: PostgresDatabase, url: str) -> None:
    met = asyncio.Barrier(2)

    async def crosswise(database: Database, value: int) -> int:
        def locking() -> Transaction[int]:
            yield ADD(record=number(value))
            for name in (value, 3 - value):
                yield LOCK(name=name)
                yield Statement(text("SELECT pg_sleep(0.05)"))()
            return value

        await met.wait()
        return await database.write(locking)

    async with postgres_database(url) as other:
        assert sorted(await asyncio.gather(crosswise(database, 1), crosswise(other, 2))) == [1, 2]
    assert await database.read(stored) == [1, 2]


async def test_a_statement_without_end_is_given_up(url: str) -> None:
    def endless() -> Transaction[None]:
        yield SLEEP()

    async with postgres_database(url, limits=replace(PATIENT, statement_s=1.0)) as quick:
        assert "statement timeout" in str(await refused(quick.write(endless)))
        assert "statement timeout" in str(await refused(quick.read(endless)))
        assert await quick.write(add, 1) == 1


async def test_a_lock_that_somebody_keeps_is_given_up(url: str, gate: Gate) -> None:
    async with postgres_database(url, limits=replace(PATIENT, lock_s=1.0)) as quick:
        assert "lock timeout" in str(await refused(quick.write(add_at_the_gate, 1)))
        await gate.open()
        assert await quick.write(add_at_the_gate, 2) == 2
        assert await quick.read(stored) == [2]


async def test_many_statements_together_have_the_same_deadline(url: str) -> None:
    done = 0

    def slow() -> Transaction[None]:
        nonlocal done
        for done in range(100):  # noqa: B007  looked at below
            yield Statement(text("SELECT pg_sleep(0.1)"))()

    async with postgres_database(url, limits=replace(PATIENT, patience_s=2.0)) as quick:
        assert "2 s" in str(await refused(quick.write(slow)))
        assert done <= 20
        assert await quick.write(add, 1) == 1


# Connections that end


async def test_idle_connections_that_were_ended_are_not_noticed(
    database: PostgresDatabase, gate: Gate
) -> None:
    await asyncio.gather(*(database.write(add, value) for value in range(8)))
    assert await gate.terminate() > 1
    answers = await asyncio.gather(*(database.write(add, value) for value in range(8, 16)))
    assert answers == [1] * 8
    assert await gate.terminate() > 1
    assert await database.read(stored) == list(range(16))


async def test_a_transaction_whose_connection_was_ended_is_done_once_all_the_same(
    database: PostgresDatabase, gate: Gate
) -> None:
    writing = asyncio.create_task(database.write(add_at_the_gate, 1))
    await gate.has(1)
    assert await gate.terminate() == 1
    await gate.has(1)
    await gate.open()
    assert await writing == 1
    assert await database.read(stored) == [1]


async def test_a_transaction_that_is_ended_again_and_again_is_given_up(
    database: PostgresDatabase, gate: Gate
) -> None:
    writing = asyncio.create_task(database.write(add_at_the_gate, 1))
    for _ in range(3):
        await gate.has(1)
        await gate.terminate()
    assert isinstance(await refused(writing), StorageUnavailableError)
    await gate.open()
    assert await database.read(stored) == []


async def test_a_commit_that_nobody_answered_is_not_run_again(url: str) -> None:
    """The connection breaks between COMMIT and its answer: what is stored must be there once, and is said to be in doubt."""
    runs = []

    def once() -> Transaction[None]:
        runs.append(1)
        yield ADD(record=number(len(runs)))

    database = BreaksAtCommit(url)
    await database.aopen()
    try:
        assert "during a commit" in str(await refused(database.write(once)))
        assert await database.read(stored) == [1]
    finally:
        await database.aclose()
    assert len(runs) == 1


class BreaksAtCommit(PostgresDatabase):
    """Loses each answer to a COMMIT."""

    async def _connected(self, settings: dict[str, str]) -> asyncpg.Connection:
        return await asyncpg.connect(self._url, connection_class=DeafToCommit, server_settings=settings)


class DeafToCommit(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109
        told: str = await super().execute(query, *args, timeout=timeout)
        if query == "COMMIT":
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return told


# Connections that are all in use


async def test_who_finds_no_free_connection_is_told_soon_and_the_next_is_served(url: str, gate: Gate) -> None:
    async with postgres_database(url, limits=replace(PATIENT, wait_s=1.0)) as small:
        held = [asyncio.create_task(small.write(add_at_the_gate, value)) for value in (1, 2)]
        await gate.has(2)
        assert "all 2 connections" in str(await refused(small.write(add, 3)))
        assert "all 2 connections" in str(await refused(small.read(stored)))
        assert not any(it.done() for it in held)
        await gate.open()
        assert await asyncio.gather(*held) == [1, 2]
        assert await small.write(add, 4) == 1
        assert await small.read(stored) == [1, 2, 4]


async def test_there_are_never_more_connections_than_allowed(small: PostgresDatabase, gate: Gate) -> None:
    await gate.open()
    await asyncio.gather(*(small.write(add, value) for value in range(40)))
    assert await small.read(stored) == list(range(40))
    assert await gate.others() <= 2


# Cancelling


async def test_a_call_cancelled_in_the_middle_leaves_nothing_and_no_connection_behind(
    small: PostgresDatabase, gate: Gate
) -> None:
    async def cancel() -> float:
        writing = asyncio.create_task(small.write(add_at_the_gate, 1))
        await gate.has(1)
        writing.cancel()
        began = asyncio.get_running_loop().time()
        await asyncio.gather(writing, return_exceptions=True)
        took_s = asyncio.get_running_loop().time() - began
        assert writing.cancelled()
        await gate.has(0)  # the server has given up the lock that nobody waits for
        return took_s

    assert await soonest(cancel) < SOON_S
    await gate.open()
    assert await small.write(add, 9) == 1
    assert await small.read(stored) == [9]
    await gate.until(gate.others, 1)


async def test_calls_cancelled_at_any_moment_are_whole_or_undone(small: PostgresDatabase, gate: Gate) -> None:
    await gate.open()
    done = []
    for value in range(0, 60, 2):
        writing = asyncio.create_task(small.write(add, value, value + 1))
        for _ in range(value // 2):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0001 * value)
        writing.cancel()
        (answer,) = await asyncio.gather(writing, return_exceptions=True)
        if answer == 2:
            done += [value, value + 1]
    assert await small.write(add, 1_000) == 1
    found = await small.read(stored)
    assert set(done) <= set(found)
    assert {value ^ 1 for value in found if value < 1_000} == {value for value in found if value < 1_000}


async def test_a_call_cancelled_while_it_waits_for_a_connection_takes_none(
    small: PostgresDatabase, gate: Gate
) -> None:
    held = [asyncio.create_task(small.write(add_at_the_gate, value)) for value in (1, 2)]
    await gate.has(2)
    third = asyncio.create_task(small.write(add, 3))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.gather(third, *held, return_exceptions=True)
    await gate.open()
    assert sum(await asyncio.gather(small.write(add, 4), small.write(add, 5))) == 2
    assert await small.read(stored) == [4, 5]


# Rested connections


class Forgotten(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """What a firewall makes of a connection: nothing comes back, and nobody says so."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109
        await asyncio.get_running_loop().create_future()
        raise AssertionError


async def test_a_connection_that_rested_long_is_asked_before_it_is_used(url: str) -> None:
    classes = iter([Forgotten, asyncpg.Connection])
    pool = ConnectionPool(
        lambda: asyncpg.connect(url, connection_class=next(classes)),
        size=1,
        wait_s=60.0,
        rested_s=0.0,
        ping_s=1.0,
    )
    async with pool.connection() as first:
        pass
    async with pool.connection() as other:
        assert await other.fetchval("SELECT 1") == 1
    async with pool.connection() as again:
        assert again is other
    assert first.is_closed()
    await pool.aclose()


async def test_a_connection_that_was_used_just_now_is_not_asked(url: str) -> None:
    pool = ConnectionPool(
        lambda: asyncpg.connect(url, connection_class=Forgotten),
        size=1,
        wait_s=60.0,
        rested_s=600.0,
        ping_s=1.0,
    )
    async with pool.connection() as first:
        pass
    async with pool.connection() as again:
        assert again is first
    await pool.aclose()


# Opening and closing


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.rpartition("/")[0] + "/there_is_no_such", "does not exist"),
        (lambda url: "postgresql://postgres@127.0.0.1:1/cozy", "cannot be reached"),
        (lambda url: "postgresql://postgres@nowhere.invalid/cozy", "cannot be reached"),
        (lambda url: f"{url}?no_such_setting=1", "no_such_setting"),
    ],
    ids=["no database", "refused", "no host", "unknown parameter"],
)
async def test_what_cannot_be_reached_is_said(url: str, change: Callable[[str], str], said: str) -> None:
    assert said in str(await refused(PostgresDatabase(change(url)).aopen()))


@pytest.mark.parametrize(
    "secret", ["hunter2", "hunter2/", "hunter2:", "[hunter2", "#hunter2", "%hunter2", "hunter2?"]
)
async def test_a_password_is_never_said(secret: str) -> None:
    with pytest.raises((StorageUnavailableError, ConfigError)) as error:
        await PostgresDatabase(f"postgresql://postgres:{secret}@127.0.0.1:1/cozy").aopen()
    assert "hunter2" not in f"{error.value} {error.value.hint}"


async def test_a_closed_database_says_so_and_can_be_closed_and_opened_again(
    database: PostgresDatabase,
) -> None:
    await database.aclose()
    await database.aclose()
    for call in (database.read, database.write):
        with pytest.raises(StorageUnavailableError, match="closed"):
            await call(stored)
    await database.aopen()
    assert await database.read(stored) == []


async def test_what_was_handed_over_before_closing_is_done(database: PostgresDatabase, gate: Gate) -> None:
    writes = [asyncio.create_task(database.write(add, value)) for value in range(30)]
    await asyncio.sleep(0)
    await database.aclose()
    assert await asyncio.gather(*writes) == [1] * 30
    await gate.until(gate.others, 0)


async def test_many_processes_may_serve_one_database(url: str) -> None:
    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(postgres_database(url)) for _ in range(3)]
        await asyncio.gather(*(each.write(add, value) for value, each in enumerate(several)))
        assert [await each.read(stored) for each in several] == [[0, 1, 2]] * 3
