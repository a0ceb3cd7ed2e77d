"""What opening and closing one turn costs on SQLite, and how near that is to the floor.

Run: ``nox -s bench -- turns``. The floor is raw ``sqlite3`` in one thread, executing the same statements
with the same values in the same transactions. CPU is that of the process without waiting for the disk: ``synchronous=OFF``
on both sides, because a virtual disk may burn CPU in ``fsync`` that a real one does not.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from cozy_adapters.sql import sqlite
from cozy_adapters.sql.engine import Row, Step
from cozy_adapters.sql.schema import creation
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.turns import SqlTurnStore
from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AuditRecord, TurnAudited
from cozy_domain.ids import PersonaId
from cozy_domain.messages import AssistantMessage, Usage, UserMessage
from cozy_domain.sessions.turn import Timings, TurnClosed, TurnOpened, TurnOutcome
from tests.fixtures.turns import ANNA, AUDIT_KEY, at, closed, demand, number, opened

ROUNDS = 5
AT_ONCE = 16
REPLY = AssistantMessage("A reply of a few sentences, as a persona gives it. " * 6)


def turns(first: int, count: int) -> list[tuple[TurnOpened, TurnClosed]]:
    """Turns of sessions of ten turns each, every one audited and to be learned from."""
    return [_turn(number) for number in range(first, first + count)]


def _turn(which: int) -> tuple[TurnOpened, TurnClosed]:
    asked = UserMessage("What shall we do tomorrow, if the weather is good?")
    event = TurnAudited("completed", PersonaId("anna"), 1, "openai/gpt", ("memory",), 900, 80, 300, "stop")
    audit = sign(
        AUDIT_KEY, AuditRecord(number(10_000_000 + which), at(which), event, account="acme", owner=ANNA.id)
    )
    outcome = TurnOutcome(
        finish=("stop",),
        answers=(REPLY,),
        usage=Usage(900, 80, known=True),
        model="openai/gpt",
        timings=Timings(4.25, 300.5, 900.125),
    )
    session = which // 10
    return (
        opened(which, session=session, when=at(which), messages=(asked,)),
        closed(
            which,
            when=at(which),
            messages=(REPLY,),
            outcome=outcome,
            audit=(audit,),
            jobs=(demand(str(session), after=at(which + 60), by=at(which + 600)),),
            title="Tomorrow",
        ),
    )


async def one_after_another(store: SqlTurnStore, work: list[tuple[TurnOpened, TurnClosed]]) -> None:
    for start, end in work:
        await store.open(start)
        await store.close(end)


async def many_at_once(store: SqlTurnStore, work: list[tuple[TurnOpened, TurnClosed]]) -> None:
    await asyncio.gather(*(one_after_another(store, work[lane::AT_ONCE]) for lane in range(AT_ONCE)))


Work = list[tuple[TurnOpened, TurnClosed]]
Load = Callable[[SqlTurnStore, Work], Awaitable[None]]
Statements = list[tuple[str, tuple[object, ...]]]


class WithoutWaiting(SqliteDatabase):
    """The database without its waiting for the disk."""

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.execute("PRAGMA synchronous=OFF")
        return connection


async def cost_of(load: Load, count: int, folder: Path) -> tuple[float, float]:
    """CPU milliseconds and commits for each turn, the median of the rounds."""
    database = WithoutWaiting(folder / "cozy.db")
    await database.aopen()
    store = SqlTurnStore(database)
    await load(store, turns(0, 100))  # compiles the statements
    before_all = database.commits
    rounds = [await cpu_of(load, store, turns(1_000_000 * (one + 1), count)) for one in range(ROUNDS)]
    commits = (database.commits - before_all) / (ROUNDS * count)
    await database.aclose()
    return median(rounds), commits


async def cpu_of(load: Load, store: SqlTurnStore, work: Work) -> float:
    before = time.process_time()
    await load(store, work)
    return (time.process_time() - before) * 1_000 / len(work)


async def statements_of(count: int, folder: Path) -> list[Statements]:
    """What the store makes of the turns: the statements of each transaction."""
    said: list[Statements] = []
    execute = sqlite._execute

    def listen(connection: sqlite3.Connection, step: Step) -> list[Row]:
        statement = step.statement.compiled(sqlite.DIALECT)
        said[-1].append((statement.sql, statement.parameters(step.values)))
        return execute(connection, step)

    database = WithoutWaiting(folder / "said.db")
    await database.aopen()
    store = SqlTurnStore(database)
    sqlite._execute = listen
    for start, end in turns(0, count):
        said.append([])
        await store.open(start)
        said.append([])
        await store.close(end)
    sqlite._execute = execute
    await database.aclose()
    return said


def floor_of(transactions: list[Statements], folder: Path) -> float:
    """CPU milliseconds for each turn when nothing but these statements runs."""
    rounds = []
    for one in range(ROUNDS):
        connection = sqlite3.connect(folder / f"floor-{one}.db", isolation_level=None, cached_statements=256)
        for line in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=OFF",
            "PRAGMA foreign_keys=ON",
            *creation(),
        ):
            connection.execute(line)
        before = time.process_time()
        for statements in transactions:
            connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                connection.execute(sql, values).fetchall()
            connection.execute("COMMIT")
        rounds.append((time.process_time() - before) * 2_000 / len(transactions))
        connection.close()
    return median(rounds)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = asyncio.run(statements_of(count, Path(folder)))
        floor = floor_of(said, Path(folder))
    say(f"{sum(map(len, said)) / count:.1f} statements a turn; floor {floor:.3f} ms CPU")
    for name, load in (("one after another", one_after_another), (f"{AT_ONCE} at once", many_at_once)):
        with tempfile.TemporaryDirectory() as folder:
            ours, commits = asyncio.run(cost_of(load, count, Path(folder)))
        say(f"{name}: {ours:.3f} ms CPU, {ours / floor:.1f} x the floor, {commits:.2f} commits a turn")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
