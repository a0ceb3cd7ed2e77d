"""Several processes on one Postgres, here as several pools: nothing is given twice, nothing gets lost between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cozy_adapters.sql.personas import SqlPersonaRevisions
from cozy_adapters.sql.postgres import PostgresLimits
from cozy_domain.audit.chain import verify
from cozy_domain.audit.sealer import seal_once
from cozy_domain.errors import InputError, StorageConflictError
from cozy_domain.ids import PersonaId
from cozy_domain.persona.persona import Persona
from cozy_domain.persona.resolve import canonical, fingerprint
from cozy_domain.sessions.turn import AlreadyFinished, AlreadyRunning, IdempotencyKey, Opened
from tests.fixtures.postgres import postgres_database, postgres_url
from tests.fixtures.stores import Stores, sql_stores
from tests.fixtures.turns import (
    ANNA,
    AUDIT_KEY,
    T0,
    at,
    closed,
    demand,
    opened,
    record,
    session_id,
    turn_id,
)

PROCESSES = 3
AT_ONCE = 24
KEY = IdempotencyKey("chat", "k", "digest")
LIMITS = PostgresLimits(pool_size=6)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with postgres_url() as url:
        yield url


@pytest.fixture
async def processes(url: str) -> AsyncIterator[list[Stores]]:
    async with AsyncExitStack() as stack:
        databases = [
            await stack.enter_async_context(postgres_database(url, limits=LIMITS)) for _ in range(PROCESSES)
        ]
        yield [sql_stores(database) for database in databases]


def one_of(processes: list[Stores], number: int) -> Stores:
    return processes[number % PROCESSES]


async def test_turns_opened_at_once_in_a_new_session_get_every_seq_once(processes: list[Stores]) -> None:
    openings = await asyncio.gather(
        *(one_of(processes, n).turns.open(opened(n, session=1)) for n in range(AT_ONCE))
    )
    seqs = [opening.seq for opening in openings if isinstance(opening, Opened)]
    assert sorted(seqs) == list(range(1, AT_ONCE + 1))
    (session,) = await processes[0].sessions.list(ANNA, 10)
    assert session.message_count == AT_ONCE


async def test_the_same_turn_opened_twice_is_stored_once(processes: list[Stores]) -> None:
    answers = await asyncio.gather(
        *(one.turns.open(opened(1, session=1)) for one in processes), return_exceptions=True
    )
    assert sum(isinstance(answer, Opened) for answer in answers) == 1
    assert sum(isinstance(answer, StorageConflictError) for answer in answers) == PROCESSES - 1


async def test_of_many_with_one_idempotency_key_one_runs(processes: list[Stores]) -> None:
    answers = await asyncio.gather(
        *(one_of(processes, n).turns.open(opened(n, session=n, key=KEY)) for n in range(AT_ONCE))
    )
    (winner,) = [n for n, answer in enumerate(answers) if isinstance(answer, Opened)]
    assert {answer for answer in answers if not isinstance(answer, Opened)} == {
        AlreadyRunning(turn_id(winner))
    }
    assert len(await processes[0].sessions.list(ANNA, 100)) == 1


async def test_a_key_that_a_dead_turn_freed_is_taken_by_one(processes: list[Stores]) -> None:
    await processes[0].turns.open(opened(1_000, key=KEY))
    await processes[0].turns.close(closed(1_000, state="failed"))
    answers = await asyncio.gather(
        *(one_of(processes, n).turns.open(opened(n, key=KEY)) for n in range(AT_ONCE))
    )
    (winner,) = [n for n, answer in enumerate(answers) if isinstance(answer, Opened)]
    await processes[1].turns.close(closed(winner))
    again = await processes[2].turns.open(opened(2_000, key=KEY))
    assert isinstance(again, AlreadyFinished)
    assert again.record.turn == turn_id(winner)
    with pytest.raises(InputError):
        await processes[0].turns.open(opened(3_000, key=IdempotencyKey("chat", "k", "other")))


async def test_a_job_goes_to_one_worker(processes: list[Stores]) -> None:
    await processes[0].turns.open(opened(1))
    await processes[0].turns.close(closed(1, jobs=tuple(demand(str(n)) for n in range(AT_ONCE))))
    taken = await asyncio.gather(
        *(one_of(processes, n).jobs.lease(at(1), at(61), ("learn",)) for n in range(2 * AT_ONCE))
    )
    keys = sorted(int(job.key) for job in taken if job)
    assert keys == list(range(AT_ONCE))
    back = [job for job in taken if job]
    await asyncio.gather(*(one_of(processes, n).jobs.finish(job) for n, job in enumerate(back)))
    assert await processes[0].jobs.list() == ()


async def test_demands_for_one_key_at_once_become_one_job(processes: list[Stores]) -> None:
    for n in range(AT_ONCE):
        await processes[0].turns.open(opened(n))
    await asyncio.gather(
        *(
            one_of(processes, n).turns.close(closed(n, jobs=(demand("s", after=at(n), by=at(600)),)))
            for n in range(AT_ONCE)
        )
    )
    (job,) = await processes[0].jobs.list()
    assert job.run_after == at(AT_ONCE - 1)


async def test_jobs_are_demanded_and_worked_off_at_once_and_none_is_forgotten(
    processes: list[Stores],
) -> None:
    """While a worker holds the job of a key, a demand must add another one; while it is queued, it must not."""
    turns, keys = 40, 4

    async def talk(lane: int) -> None:
        for n in range(lane, turns, PROCESSES):
            await processes[lane].turns.open(opened(n))
            await processes[lane].turns.close(closed(n, jobs=(demand(str(n % keys)),)))

    talking = asyncio.gather(*(talk(lane) for lane in range(PROCESSES)))
    held: set[str] = set()
    worked = 0

    async def work(lane: int) -> None:
        nonlocal worked
        while not talking.done() or await processes[lane].jobs.list("queued"):
            job = await processes[lane].jobs.lease(at(1), at(61), ("learn",))
            if job is None:
                continue
            held.add(job.key)
            worked += 1
            await processes[lane].jobs.finish(job)

    await asyncio.gather(talking, *(work(lane) for lane in range(PROCESSES)))
    assert held == {str(key) for key in range(keys)}
    assert worked >= keys
    assert await processes[0].jobs.list() == ()


async def test_a_turn_whose_process_died_is_reaped_once(processes: list[Stores]) -> None:
    for n in range(AT_ONCE):
        await processes[0].turns.open(opened(n, session=n % 3))
    reaped = await asyncio.gather(*(one_of(processes, n).turns.reap(at(60)) for n in range(9)))
    assert sorted(turn.turn for some in reaped for turn in some) == [turn_id(n) for n in range(AT_ONCE)]


async def test_a_turn_that_is_closed_while_it_is_reaped_ends_whole(processes: list[Stores]) -> None:
    for n in range(AT_ONCE):
        await processes[0].turns.open(opened(n, session=1))
    await asyncio.gather(
        *(processes[1].turns.reap(at(60)) for _ in range(4)),
        *(processes[n % 2].turns.close(closed(n)) for n in range(AT_ONCE)),
        *(processes[2].turns.checkpoint(((turn_id(n), "half"),), at(90)) for n in range(AT_ONCE)),
    )
    past = await processes[2].history.turns(ANNA, session_id(1), 0, 1_000)
    assert [turn.state for turn in past] == ["completed"] * AT_ONCE
    assert all(len(turn.messages) == 2 for turn in past)
    (session,) = await processes[0].sessions.list(ANNA, 10)
    assert session.message_count == 2 * AT_ONCE


async def test_sealers_at_once_make_one_chain_while_turns_are_closed(processes: list[Stores]) -> None:
    async def talk(lane: int) -> None:
        for n in range(lane, 60, PROCESSES):
            await processes[lane].audit.write((record(n),))

    async def sealed(lane: int) -> None:
        for _ in range(12):
            await seal_once(processes[lane].audit, AUDIT_KEY, 7)

    await asyncio.gather(
        *(talk(lane) for lane in range(PROCESSES)), *(sealed(lane) for lane in range(PROCESSES))
    )
    while await seal_once(processes[0].audit, AUDIT_KEY, 7):
        pass
    found = verify(AUDIT_KEY, *await processes[1].audit.read())
    assert (found.sealed, found.unsealed, found.faults) == (60, 0, ())


async def test_a_record_written_twice_at_once_is_there_once(processes: list[Stores]) -> None:
    await asyncio.gather(*(one.audit.write((record(1), record(2))) for one in processes))
    assert await processes[0].audit.read() == ((record(1), record(2)), ())


async def test_processes_that_start_with_the_same_personas_publish_them_once(url: str) -> None:
    async with AsyncExitStack() as stack:
        stores = [
            SqlPersonaRevisions(await stack.enter_async_context(postgres_database(url, limits=LIMITS)))
            for _ in range(PROCESSES)
        ]
        document = canonical(Persona(id=PersonaId("anna"), name="Anna"))
        published = await asyncio.gather(
            *(store.publish(PersonaId("anna"), fingerprint(document), document, T0) for store in stores * 4)
        )
    assert {one.revision for one in published} == {1}
