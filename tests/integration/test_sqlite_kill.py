"""What SQLite acknowledged survives a kill at any moment."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_domain.audit.chain import is_genuine
from tests.fixtures.stores import sql_stores
from tests.fixtures.turns import (
    ANNA,
    AUDIT_KEY,
    LEASE,
    REPLY,
    at,
    closed,
    demand,
    opened,
    record,
    session_id,
    turn_id,
)

ROOT = Path(__file__).parents[2]
LANES = 8


async def write_turns(path: Path, first: int) -> None:
    """Opens and closes turns until killed; says the number of each when its close was answered."""
    database = SqliteDatabase(path)
    await database.aopen()
    stores = sql_stores(database)

    async def lane(turn: int) -> None:
        while True:
            await stores.turns.open(opened(turn, session=turn % LANES))
            end = closed(turn, audit=(record(turn),), jobs=(demand(str(turn)),))
            await stores.turns.close(end)
            print(turn, flush=True)  # noqa: T201 - the parent reads it
            turn += LANES

    await asyncio.gather(*(lane(first + number) for number in range(LANES)))


def acknowledged_before_the_kill(path: Path, first: int, after: int) -> Iterator[int]:
    """The turns that the child had an answer for; it is killed as soon as ``after`` of them were heard of."""
    command = [sys.executable, __file__, str(path), str(first)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    )
    assert child.stdout
    for count, line in enumerate(child.stdout, start=1):
        yield int(line)
        if count == after:
            child.kill()
    child.stdout.close()
    assert child.wait() == -9


@pytest.mark.parametrize("after", [[1, 7, 40]])
async def test_every_acknowledged_turn_is_whole_after_kills(tmp_path: Path, after: list[int]) -> None:
    path = tmp_path / "cozy.db"
    seen: set[int] = set()
    for life, count in enumerate(after):
        heard = await asyncio.to_thread(
            lambda life, count: list(acknowledged_before_the_kill(path, life * 10_000, count)), life, count
        )
        assert len(heard) >= count
        seen |= set(heard)
    database = SqliteDatabase(path)
    await database.aopen()
    stores = sql_stores(database)
    await stores.turns.reap(at(0) + LEASE)
    ended = {}
    for session in range(LANES):
        for turn in await stores.history.turns(ANNA, session_id(session), 0, 100_000):
            ended[turn.turn] = turn
    records, _ = await stores.audit.read()
    jobs = {job.key for job in await stores.jobs.list(limit=100_000)}
    await database.aclose()
    for number in seen:
        turn = ended[turn_id(number)]
        assert (turn.state, turn.messages[-1]) == ("completed", REPLY)
        assert str(number) in jobs
    assert {record(number).id for number in seen} <= {one.id for one in records if is_genuine(AUDIT_KEY, one)}


if __name__ == "__main__":
    asyncio.run(write_turns(Path(sys.argv[1]), int(sys.argv[2])))
