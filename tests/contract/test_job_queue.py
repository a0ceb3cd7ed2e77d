"""What every JobQueue promises, and what a turn's demands become."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from cozy_domain.jobs import Job, JobDemand
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import at, closed, demand, opened

LEARN = ("learn",)


class JobQueueContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    # Demands

    async def test_a_demand_becomes_a_queued_job(self, stores: Stores) -> None:
        await _demand(stores, demand("s1", after=at(60), by=at(600)))
        (job,) = await stores.jobs.list()
        assert (job.kind, job.key, job.state, job.attempts) == ("learn", "s1", "queued", 0)
        assert (job.run_after, job.max_at, job.lease_until, job.reason) == (at(60), at(600), None, None)

    async def test_a_new_demand_pushes_the_queued_job_but_not_past_its_end(self, stores: Stores) -> None:
        await _demand(stores, demand(after=at(60), by=at(100)))
        (first,) = await stores.jobs.list()
        await _demand(stores, demand(after=at(90), by=at(700)))
        assert [(job.id, job.run_after, job.max_at) for job in await stores.jobs.list()] == [
            (first.id, at(90), at(100))
        ]
        await _demand(stores, demand(after=at(120), by=at(700)))
        assert [job.run_after for job in await stores.jobs.list()] == [at(100)]

    async def test_demands_of_other_keys_and_kinds_are_jobs_of_their_own(self, stores: Stores) -> None:
        await _demand(stores, demand("s1"), demand("s2"), demand("s1", kind="forget"))
        assert {(job.kind, job.key) for job in await stores.jobs.list()} == {
            ("learn", "s1"),
            ("learn", "s2"),
            ("forget", "s1"),
        }

    async def test_a_demand_while_the_job_is_leased_is_a_new_job(self, stores: Stores) -> None:
        await _demand(stores, demand(after=at(0)))
        running = await _lease(stores, 0)
        await _demand(stores, demand(after=at(50)))
        jobs = await stores.jobs.list()
        assert [(job.state, job.run_after) for job in jobs] == [("leased", at(0)), ("queued", at(50))]
        await stores.jobs.finish(running)
        assert [job.state for job in await stores.jobs.list()] == ["queued"]

    # Leasing

    async def test_a_job_is_due_at_its_time_and_not_before(self, stores: Stores) -> None:
        await _demand(stores, demand(after=at(60)))
        assert await stores.jobs.lease(at(59.9), at(120), LEARN) is None
        job = await stores.jobs.lease(at(60), at(120), LEARN)
        assert job is not None
        assert (job.state, job.lease_until, job.attempts) == ("leased", at(120), 0)
        assert await stores.jobs.list("leased") == (job,)

    async def test_the_job_that_has_waited_longest_comes_first(self, stores: Stores) -> None:
        await _demand(stores, demand("b", after=at(2)), demand("a", after=at(3)), demand("c", after=at(1)))
        keys = [(await _lease(stores, 10)).key for _ in range(3)]
        assert keys == ["c", "b", "a"]

    async def test_a_leased_job_is_nobody_elses(self, stores: Stores) -> None:
        await _demand(stores, demand())
        await _lease(stores, 0)
        assert await stores.jobs.lease(at(1), at(61), LEARN) is None

    async def test_many_workers_at_once_share_the_jobs_without_meeting(self, stores: Stores) -> None:
        await _demand(stores, *(demand(f"s{n}") for n in range(8)))
        taken = await asyncio.gather(*(stores.jobs.lease(at(1), at(61), LEARN) for _ in range(12)))
        assert sorted(job.key for job in taken if job) == [f"s{n}" for n in range(8)]

    async def test_only_the_kinds_asked_for_are_leased(self, stores: Stores) -> None:
        await _demand(stores, demand("a", kind="learn"), demand("b", kind="forget"))
        assert await stores.jobs.lease(at(1), at(61), ()) is None
        assert await stores.jobs.lease(at(1), at(61), ("other",)) is None
        forget = await stores.jobs.lease(at(1), at(61), ("forget", "other"))
        assert forget is not None
        assert forget.kind == "forget"

    async def test_a_lease_that_ran_out_is_given_again_with_one_attempt_more(self, stores: Stores) -> None:
        await _demand(stores, demand())
        lost = await stores.jobs.lease(at(0), at(60), LEARN)
        assert await stores.jobs.lease(at(59), at(119), LEARN) is None
        again = await stores.jobs.lease(at(60), at(120), LEARN)
        assert lost is not None
        assert again is not None
        assert (again.id, again.attempts) == (lost.id, 1)

    # Ending

    async def test_a_finished_job_is_gone(self, stores: Stores) -> None:
        await _demand(stores, demand())
        await stores.jobs.finish(await _lease(stores, 0))
        assert await stores.jobs.list() == ()

    async def test_a_failed_job_waits_and_comes_back_with_its_reason(self, stores: Stores) -> None:
        await _demand(stores, demand(by=at(10)))
        await stores.jobs.fail(await _lease(stores, 0), "provider_timeout", at(30))
        (job,) = await stores.jobs.list("queued")
        assert (job.run_after, job.attempts, job.reason) == (at(30), 1, "provider_timeout")
        assert await stores.jobs.lease(at(29), at(90), LEARN) is None
        again = await _lease(stores, 30)
        assert again.attempts == 1

    async def test_a_new_demand_does_not_shorten_the_wait_after_a_failure(self, stores: Stores) -> None:
        await _demand(stores, demand(after=at(0), by=at(10)))
        await stores.jobs.fail(await _lease(stores, 0), "provider_timeout", at(30))
        await _demand(stores, demand(after=at(5), by=at(15)))
        assert [job.run_after for job in await stores.jobs.list()] == [at(30)]

    async def test_a_parked_job_stays_until_somebody_looks(self, stores: Stores) -> None:
        await _demand(stores, demand())
        await stores.jobs.fail(await _lease(stores, 0), "provider_refused", None)
        (job,) = await stores.jobs.list("parked")
        assert (job.attempts, job.reason, job.lease_until) == (1, "provider_refused", None)
        assert await stores.jobs.lease(at(9999), at(10059), LEARN) is None
        await _demand(stores, demand(after=at(5)))
        assert sorted(job.state for job in await stores.jobs.list()) == ["parked", "queued"]

    async def test_a_job_that_fails_after_a_new_demand_joins_it(self, stores: Stores) -> None:
        await _demand(stores, demand(after=at(0), by=at(100)))
        running = await _lease(stores, 0)
        await _demand(stores, demand(after=at(20), by=at(200)))
        (newer,) = await stores.jobs.list("queued")
        await stores.jobs.fail(running, "provider_timeout", at(30))
        (job,) = await stores.jobs.list()
        assert (job.id, job.run_after, job.max_at) == (newer.id, at(30), at(200))
        assert (job.attempts, job.reason) == (1, "provider_timeout")

    async def test_a_job_that_is_parked_leaves_a_new_demand_alone(self, stores: Stores) -> None:
        await _demand(stores, demand())
        running = await _lease(stores, 0)
        await _demand(stores, demand(after=at(20)))
        (newer,) = await stores.jobs.list("queued")
        await stores.jobs.fail(running, "provider_refused", None)
        assert await stores.jobs.list("queued") == (newer,)
        assert [job.id for job in await stores.jobs.list("parked")] == [running.id]

    async def test_who_lost_the_lease_can_neither_finish_nor_fail_the_job(self, stores: Stores) -> None:
        await _demand(stores, demand())
        lost = await stores.jobs.lease(at(0), at(60), LEARN)
        assert lost is not None
        held = await stores.jobs.lease(at(60), at(120), LEARN)
        await stores.jobs.finish(lost)
        await stores.jobs.fail(lost, "late", None)
        assert await stores.jobs.list() == (held,)

    async def test_a_finished_job_cannot_fail_afterwards(self, stores: Stores) -> None:
        await _demand(stores, demand())
        job = await _lease(stores, 0)
        await stores.jobs.finish(job)
        await stores.jobs.finish(job)
        await stores.jobs.fail(job, "late", at(30))
        assert await stores.jobs.list() == ()

    async def test_the_list_is_by_time_and_bounded(self, stores: Stores) -> None:
        await _demand(stores, *(demand(f"s{n}", after=at(10 - n)) for n in range(5)))
        jobs = await stores.jobs.list(limit=3)
        assert [job.run_after for job in jobs] == [at(6), at(7), at(8)]


_turns = count(1)


async def _demand(stores: Stores, *demands: JobDemand) -> None:
    turn = next(_turns)
    await stores.turns.open(opened(turn))
    await stores.turns.close(closed(turn, jobs=demands))


async def _lease(stores: Stores, now: float) -> Job:
    job = await stores.jobs.lease(at(now), at(now + 60), LEARN)
    assert job is not None
    return job


class TestInMemoryJobQueue(JobQueueContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteJobQueue(JobQueueContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresJobQueue(JobQueueContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
