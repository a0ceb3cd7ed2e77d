"""Postgres, for any number of processes.

A transaction runs statement by statement on a connection of the pool; the statements are the same that SQLite runs,
compiled once. asyncpg is used directly: opening and closing a turn costs 0.9 ms of CPU in this process, and 3.2 to 3.8 ms
through SQLAlchemy's asyncio engine (measured side by side, Python 3.11).

Writes are READ COMMITTED: rows that a decision depends on are locked, and unique keys stand behind the rest. A transaction
is a function without effects of its own, so one that is known to have left nothing (its connection was lost before COMMIT,
it met another in a deadlock, its key was taken meanwhile) is simply run again. That is also why a connection is not tried
before each use: a restarted server is found out by the first statement.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

import asyncpg
import msgspec
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine import Dialect

from cozy_adapters.sql.engine import Role, Row, Step, Transaction
from cozy_adapters.sql.postgres_failures import BROKEN, Tries, kind_of, named, said_by
from cozy_adapters.sql.postgres_pool import ConnectionPool
from cozy_adapters.sql.postgres_schema import bring_up_to_date
from cozy_domain.errors import ConfigError, StorageUnavailableError

P = ParamSpec("P")
T = TypeVar("T")

DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call]
"""Its words are those of Postgres with numbered placeholders, as asyncpg takes them."""
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"  # whatever the server is set to
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FAILURES = (asyncpg.PostgresError, *BROKEN)
_LOOK = "See that it runs, and what database.url (COZY_DATABASE__URL) says; `cozy doctor` checks both."


class PostgresLimits(msgspec.Struct, frozen=True):
    """Seconds. ``patience_s`` bounds a whole call, and is less than the 5 s that a turn gives its store; the server gives
    up a statement, and sooner a lock, a little earlier than we do. ``wait_s`` is for a free connection, ``connect_s`` for a
    new one. A connection that was idle for ``rested_s`` must first answer within ``ping_s``."""

    pool_size: int = 10
    patience_s: float = 4.5
    statement_s: float = 4.0
    lock_s: float = 3.0
    wait_s: float = 2.0
    connect_s: float = 3.0
    rested_s: float = 30.0
    ping_s: float = 1.0


LIMITS = PostgresLimits()


class PostgresDatabase:
    """The database that ``url`` names (``postgresql://...``, with libpq's parameters).

    ``role``: a ``server`` creates and migrates the schema, however many start at once; a ``guest`` (a command line) takes
    it as it is; a ``reader`` only reads.
    """

    def __init__(self, url: str, *, role: Role = "server", limits: PostgresLimits = LIMITS) -> None:
        self._url = url
        self._role = role
        self._limits = limits
        self._pool: ConnectionPool | None = None
        self._of_many_statements: WeakSet[Callable[..., Any]] = WeakSet()

    async def aopen(self) -> None:
        """Connects, and as a ``server`` brings the schema up to date.

        Raises:
            ConfigError: the URL cannot be read.
            StorageUnavailableError: it cannot be reached, does not let us in, or a newer version of this program wrote it.
        """
        pool = _pool(self._connect, self._limits)
        try:
            async with pool.connection() as connection:
                if self._role == "server":
                    await bring_up_to_date(connection, self.connect)
        except BaseException as error:
            await pool.aclose()
            if isinstance(error, _FAILURES):
                raise named(error) from error
            raise
        self._pool = pool

    async def aclose(self) -> None:
        """Waits for what is under way, then closes; later calls raise ``StorageUnavailableError``."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._settled(lambda: self._written(lambda: transaction(*args, **kwargs)))

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """One statement is a snapshot in itself. When a second one comes, all is begun again in a transaction, which is
        the first thing to try the next time."""

        def start() -> Transaction[T]:
            return transaction(*args, **kwargs)

        if transaction not in self._of_many_statements:
            done, value = await self._settled(lambda: self._read_at_once(start))
            if done:
                return value  # type: ignore[return-value]  # it is None only when not done
            self._of_many_statements.add(transaction)
        return await self._settled(lambda: self._read_on_snapshot(start))

    async def _settled(self, once: Callable[[], Awaitable[T]]) -> T:
        """Runs it until it is done, or not worth another try."""
        try:
            async with asyncio.timeout(self._limits.patience_s):
                return await self._tried(once)
        except TimeoutError:
            raise StorageUnavailableError(
                f"the database does not answer: nothing came for {self._limits.patience_s:g} s"
            ) from None

    async def _tried(self, once: Callable[[], Awaitable[T]]) -> T:
        tries = Tries()
        while True:
            try:
                return await once()
            except _FAILURES as error:
                if not tries.again(error):
                    raise named(error) from error

    async def _written(self, start: Callable[[], Transaction[T]]) -> T:
        async with self._connections().connection() as connection:
            await connection.execute(BEGIN)
            value = await _run(connection, start())
            await _commit(connection)
        return value

    async def _read_at_once(self, start: Callable[[], Transaction[T]]) -> tuple[bool, T | None]:
        """Whether one statement was enough, and then the answer."""
        transaction = start()
        try:
            step = next(transaction)
            if not step.statement.only_reads:
                return False, None
            async with self._connections().connection() as connection:
                rows = await _execute(connection, step)
            transaction.send(rows)
        except StopIteration as end:
            return True, end.value
        return False, None

    async def _read_on_snapshot(self, start: Callable[[], Transaction[T]]) -> T:
        async with self._connections().connection() as connection:
            await connection.execute(SNAPSHOT)
            value = await _run(connection, start())
            await connection.execute("COMMIT")
        return value

    def _connections(self) -> ConnectionPool:
        if self._pool is None:
            raise StorageUnavailableError("the database is closed")
        return self._pool

    async def _connect(self) -> asyncpg.Connection:
        limits = self._limits
        settings = {
            "statement_timeout": f"{limits.statement_s * 1000:.0f}",
            "lock_timeout": f"{limits.lock_s * 1000:.0f}",
            # One of ours that stands still must not keep its locks.
            "idle_in_transaction_session_timeout": f"{2 * limits.patience_s * 1000:.0f}",
        }
        if self._role == "reader":
            settings["default_transaction_read_only"] = "on"
        return await self._connected(settings)

    async def connect(self) -> asyncpg.Connection:
        """A connection beside the pool, whose statements may take their time; the caller closes it.

        Raises:
            ConfigError: the URL cannot be read.
            StorageUnavailableError: it cannot be reached.
        """
        return await self._connected({})

    async def _connected(self, settings: dict[str, str]) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                self._url,
                timeout=self._limits.connect_s,
                server_settings={"application_name": "cozy", **settings},
            )
        except ValueError:  # asyncpg cannot read it; what it says may be a piece of the password
            raise ConfigError(
                "database.url is not of the form postgresql://USER:PASSWORD@HOST:PORT/NAME",
                hint="Signs like @ : / in a password are written as %40 %3A %2F.",
            ) from None
        except TimeoutError:
            said = f"no connection within {self._limits.connect_s:g} s"
            raise StorageUnavailableError(f"the database cannot be reached: {said}", hint=_LOOK) from None
        except _FAILURES as error:
            if isinstance(error, asyncpg.PostgresError) and kind_of(error) == "lost":
                raise  # thrown out at the door: worth another try, unlike a door that is closed
            raise StorageUnavailableError(
                f"the database cannot be reached: {said_by(error)}", hint=_LOOK
            ) from error


async def _commit(connection: asyncpg.Connection) -> None:
    """
    Raises:
        StorageUnavailableError: it was lost meanwhile; nobody knows whether it is stored, so it must not be run twice.
    """
    try:
        await connection.execute("COMMIT")
    except _FAILURES as error:
        if kind_of(error) != "lost":
            raise
        connection.terminate()
        raise StorageUnavailableError("the database went away during a commit") from error


def _pool(connect: Callable[[], Awaitable[asyncpg.Connection]], limits: PostgresLimits) -> ConnectionPool:
    return ConnectionPool(
        connect,
        size=limits.pool_size,
        wait_s=limits.wait_s,
        rested_s=limits.rested_s,
        ping_s=limits.ping_s,
    )


async def _run(connection: asyncpg.Connection, transaction: Transaction[T]) -> T:
    rows: list[Row] | None = None
    while True:
        try:
            step = next(transaction) if rows is None else transaction.send(rows)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's own T
        rows = await _execute(connection, step)


async def _execute(connection: asyncpg.Connection, step: Step) -> list[Row]:
    statement = step.statement.compiled(DIALECT)
    if step.many is not None:
        await connection.executemany(statement.sql, [statement.parameters(values) for values in step.many])
        return []
    records = await connection.fetch(statement.sql, *statement.parameters(step.values))
    return statement.rows([tuple(record) for record in records]) if statement.columns else []
