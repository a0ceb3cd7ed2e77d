"""One SQLite file: one writer thread with group commit, a few readers.

A transaction is handed to the writer as a whole. What waits while the writer commits goes into its next commit together.
When one of them fails, all are run again, each in a savepoint of its own, so that it leaves the others alone. Answers are
given only after the commit, which waits for the disk (WAL, ``synchronous=FULL``): what was answered survives a kill and a
power cut.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, ParamSpec, TypeVar

from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect

from cozy_adapters.sql import lock
from cozy_adapters.sql.engine import Role, Row, Step, Transaction
from cozy_adapters.sql.schema import bring_up_to_date
from cozy_domain.errors import StorageConflictError, StorageUnavailableError

P = ParamSpec("P")
T = TypeVar("T")

READERS = 2
LARGEST_COMMIT = 256
"""Transactions in one commit; bounds how long the first of them waits for the others."""
BUSY_MS = 5_000
"""How long a command-line program may hold the write lock before the server's write fails."""
STATEMENTS_KEPT = 256
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

DIALECT: Dialect = sqlite.dialect(paramstyle="qmark")


class _Order(NamedTuple):
    """A transaction on its way, and who waits for it. ``start`` makes it anew from ``kind``, the function behind it."""

    kind: Callable[..., Transaction[Any]]
    start: Callable[[], Transaction[Any]]
    answer: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class _ManyStatementsError(Exception):
    """A transaction wants more than one statement."""


class _Outcome(NamedTuple):
    order: _Order
    value: object
    error: BaseException | None = None


class SqliteDatabase:
    """The database in the file ``path``.

    ``role``: a ``server`` creates and migrates the file and is alone with it; a ``guest`` (a command line) writes beside
    the server and waits for its lock; a ``reader`` only reads. The last two need an existing file.
    """

    def __init__(self, path: Path, *, role: Role = "server", busy_ms: int = BUSY_MS) -> None:
        self._path = path
        self._role = role
        self._busy_ms = busy_ms
        self._writes: SimpleQueue[_Order | None] = SimpleQueue()
        self._reads: SimpleQueue[_Order | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._of_many_statements: set[Callable[..., Transaction[Any]]] = set()
        self._open = False
        self._lock: int | None = None
        self.commits = 0
        """Commits so far; transactions beyond it were spared one."""

    async def aopen(self) -> None:
        """Creates the file (mode 0600, its folder 0700) or brings it up to date, and starts the threads.

        Raises:
            StorageUnavailableError: the file is not a database, cannot be reached, or has another server.
        """
        connections = await asyncio.to_thread(self._prepare)
        writer, *readers = connections
        self._start("writer", self._write_until_closed, writer)
        for reader in readers:
            self._start("reader", self._read_until_closed, reader)
        self._open = True

    async def aclose(self) -> None:
        """Finishes what was handed over, then closes; later calls raise ``StorageUnavailableError``."""
        if not self._open:
            return
        self._open = False
        self._writes.put(None)
        for _ in range(READERS):
            self._reads.put(None)
        await asyncio.to_thread(self._stop)

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._hand_to(self._writes, transaction, *args, **kwargs)

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._hand_to(self._reads, transaction, *args, **kwargs)

    async def _hand_to(
        self,
        queue: "SimpleQueue[_Order | None]",
        transaction: Callable[P, Transaction[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if not self._open:
            raise StorageUnavailableError("the database is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        queue.put(_Order(transaction, lambda: transaction(*args, **kwargs), answer, loop))
        return await answer

    def _prepare(self) -> list[sqlite3.Connection]:
        connections: list[sqlite3.Connection] = []
        try:
            if self._role == "server":
                self._claim()
            while len(connections) < 1 + READERS:
                connections.append(self._connect())
            if self._role == "server":
                bring_up_to_date(connections[0], self._path)
        except BaseException as error:
            for connection in connections:
                connection.close()
            self._release()
            if isinstance(error, sqlite3.Error | OSError):
                raise StorageUnavailableError(f"{self._path}: {error}") from error
            raise
        return connections

    def _claim(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock.take(self._path)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        self._path.chmod(0o600)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_KEPT,
        )
        try:
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _start(
        self, name: str, run: Callable[[sqlite3.Connection], None], connection: sqlite3.Connection
    ) -> None:
        thread = threading.Thread(target=run, args=(connection,), name=f"sqlite-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _stop(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._release()

    def _read_until_closed(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only=ON")
        with closing(connection):
            while order := self._reads.get():
                if order.answer.cancelled():
                    continue
                _settle_all([self._read_one(connection, order)])

    def _read_one(self, connection: sqlite3.Connection, order: _Order) -> _Outcome:
        """One statement is a snapshot in itself, and as much work as the BEGIN and the COMMIT around it. When a second one
        comes, all is begun again in a transaction, which is the first thing to try the next time."""
        if order.kind not in self._of_many_statements:
            try:
                return _Outcome(order, _run_one(connection, order.start()))
            except _ManyStatementsError:
                self._of_many_statements.add(order.kind)
            except BaseException as error:  # noqa: BLE001 - handed to the caller, who waits in another thread
                return _Outcome(order, None, _named(error))
        return _alone(connection, order, "BEGIN")

    def _write_until_closed(self, connection: sqlite3.Connection) -> None:
        if self._role == "reader":
            connection.execute("PRAGMA query_only=ON")
        with closing(connection):
            closed = False
            while not closed:
                orders = [self._writes.get()]
                while len(orders) < LARGEST_COMMIT and orders[-1] is not None:
                    try:
                        orders.append(self._writes.get_nowait())
                    except Empty:
                        break
                closed = orders[-1] is None
                self._commit(
                    connection, [order for order in orders if order and not order.answer.cancelled()]
                )

    def _commit(self, connection: sqlite3.Connection, orders: list[_Order]) -> None:
        if not orders:
            return
        self.commits += 1
        if len(orders) == 1:
            _settle_all([_alone(connection, orders[0], "BEGIN IMMEDIATE")])
        else:
            _settle_all(_together(connection, orders))


def _alone(connection: sqlite3.Connection, order: _Order, begin: str) -> _Outcome:
    try:
        connection.execute(begin)
        value = _run(connection, order.start())
        connection.execute("COMMIT")
    except BaseException as error:  # noqa: BLE001 - handed to the caller, who waits in another thread
        _roll_back(connection)
        return _Outcome(order, None, _named(error))
    return _Outcome(order, value)


def _together(connection: sqlite3.Connection, orders: list[_Order]) -> list[_Outcome]:
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = _all_well(connection, orders)
        if outcomes is None:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_in_savepoint(connection, order) for order in orders]
        connection.execute("COMMIT")
    except BaseException as error:  # noqa: BLE001 - handed to the callers
        _roll_back(connection)
        said = f"the database does not answer: {error}"
        return [_Outcome(order, None, StorageUnavailableError(said)) for order in orders]
    return outcomes


def _all_well(connection: sqlite3.Connection, orders: list[_Order]) -> list[_Outcome] | None:
    """Runs them with nothing between one and the next. None when one failed, and everything is undone: then a savepoint
    around each says which, but two statements more for each cost as much as a third of the others."""
    try:
        return [_Outcome(order, _run(connection, order.start())) for order in orders]
    except BaseException:  # noqa: BLE001 - the orders are run again, and what fails then is told
        _roll_back(connection)
        return None


def _in_savepoint(connection: sqlite3.Connection, order: _Order) -> _Outcome:
    """Runs one of several. An error that ended the whole transaction (a full disk may) is raised: it failed them all."""
    connection.execute("SAVEPOINT one")
    try:
        value = _run(connection, order.start())
    except BaseException as error:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return _Outcome(order, None, _named(error))
    connection.execute("RELEASE one")
    return _Outcome(order, value)


def _run(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    rows: list[Row] | None = None
    while True:
        try:
            step = next(transaction) if rows is None else transaction.send(rows)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's own T
        rows = _execute(connection, step)


def _run_one(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """
    Raises:
        _ManyStatementsError: its first statement is not its last.
    """
    try:
        transaction.send(_execute(connection, next(transaction)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the generator's own T
    raise _ManyStatementsError


def _execute(connection: sqlite3.Connection, step: Step) -> list[Row]:
    statement = step.statement.compiled(DIALECT)
    if step.many is not None:
        connection.executemany(statement.sql, [statement.parameters(values) for values in step.many])
        return []
    cursor = connection.execute(statement.sql, statement.parameters(step.values))
    return statement.rows(cursor.fetchall()) if statement.columns else []


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _named(error: BaseException) -> BaseException:
    """The domain's name for what SQLite says; anything else is a rule of the transaction, or a fault of ours."""
    if isinstance(error, sqlite3.IntegrityError):
        return StorageConflictError(f"the database refused: {error}")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return error
    if isinstance(error, sqlite3.Error):
        return StorageUnavailableError(f"the database does not answer: {error}")
    return error


def _settle_all(outcomes: list[_Outcome]) -> None:
    """Answers in the callers' own loops; one wake-up for each loop."""
    for loop in {outcome.order.loop for outcome in outcomes}:
        mine = [outcome for outcome in outcomes if outcome.order.loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, mine)
        except RuntimeError:
            pass  # that loop is closed: nobody waits any more


def _settle(outcomes: list[_Outcome]) -> None:
    for order, value, error in outcomes:
        if order.answer.done():
            continue  # the caller went away; the transaction stands as it is
        if error is None:
            order.answer.set_result(value)
        else:
            order.answer.set_exception(error)
