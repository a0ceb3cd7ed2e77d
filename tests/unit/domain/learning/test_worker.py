"""The worker of the job queue."""

import asyncio
from datetime import timedelta

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_adapters.inmemory.jobs import InMemoryJobQueue
from cozy_domain.errors import ProviderTimeoutError, StorageUnavailableError
from cozy_domain.jobs import MAX_ATTEMPTS, Job
from cozy_domain.learning.flush import LEARN, flush
from cozy_domain.learning.worker import LONGEST_RUN_S, Run, Worker
from tests.fixtures.turns import T0, demand, turn_id


class House:
    """A queue, a clock and what ran."""

    def __init__(self) -> None:
        self.conversations = InMemoryConversations()
        self.queue = InMemoryJobQueue(self.conversations)
        self.clock = InMemoryClock(T0)
        self.ran: list[str] = []

    def ask(self, *keys: str, kind: str = LEARN) -> None:
        for key in keys:
            self.conversations.demand(turn_id(1), demand(key, kind=kind, after=self.clock.now()))

    async def note(self, job: Job) -> None:
        self.ran.append(job.key)

    def worker(self, run: Run | None = None) -> Worker:
        return Worker(self.queue, {LEARN: run or self.note}, self.clock)


async def test_a_job_that_ran_is_gone() -> None:
    house = House()
    house.ask("s1")
    assert await house.worker().run_once()
    assert house.ran == ["s1"]
    assert await house.queue.list() == ()


async def test_with_nothing_due_nothing_runs() -> None:
    house = House()
    house.ask("other", kind="forget")
    assert not await house.worker().run_once()
    assert house.ran == []


async def test_a_job_that_failed_is_tried_again_and_parked_in_the_end() -> None:
    async def fail(_: Job) -> None:
        raise ProviderTimeoutError("slow", provider="openai")

    house = House()
    house.ask("s1")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert await house.worker(fail).run_once()
        (job,) = await house.queue.list()
        assert (job.attempts, job.reason) == (attempt, "provider_timeout")
        house.clock.advance(timedelta(hours=1))
    assert job.state == "parked"
    assert not await house.worker(fail).run_once()


async def test_an_unforeseen_error_is_named_by_its_class_and_hurts_no_other_job() -> None:
    async def stumble(job: Job) -> None:
        if job.key == "bad":
            raise KeyError("secret text of a user")
        house.ran.append(job.key)

    house = House()
    house.ask("bad", "good")
    worker = house.worker(stumble)
    assert await worker.run_once()
    assert await worker.run_once()
    (job,) = await house.queue.list()
    assert (job.key, job.reason) == ("bad", "KeyError")
    assert house.ran == ["good"]


async def test_a_job_that_kills_every_worker_is_parked_at_its_next_failure() -> None:
    house = House()
    house.ask("poison")
    for _ in range(MAX_ATTEMPTS):
        await house.queue.lease(house.clock.now(), house.clock.now() + timedelta(seconds=60), (LEARN,))
        house.clock.advance(timedelta(seconds=60))
    assert await house.worker().run_once()
    assert house.ran == []
    (job,) = await house.queue.list("parked")
    assert job.reason == "lease_lost"


@pytest.mark.virtual_time
async def test_a_run_that_hangs_is_cut_off_before_its_lease_ends() -> None:
    async def hang(_: Job) -> None:
        await asyncio.Event().wait()

    house = House()
    house.ask("s1")
    assert await house.worker(hang).run_once()
    assert asyncio.get_running_loop().time() == LONGEST_RUN_S
    (job,) = await house.queue.list()
    assert (job.state, job.reason) == ("queued", "job_timeout")


@pytest.mark.virtual_time
async def test_it_runs_what_comes_until_it_is_stopped() -> None:
    house, stop = House(), asyncio.Event()
    house.ask("s1", "s2")
    running = asyncio.create_task(house.worker().run(stop))
    await asyncio.sleep(0.1)
    assert sorted(house.ran) == ["s1", "s2"]
    house.ask("s3")
    await asyncio.sleep(1)
    assert house.ran[2:] == ["s3"]
    stop.set()
    await running
    assert asyncio.get_running_loop().time() == pytest.approx(1.1)


@pytest.mark.virtual_time
async def test_a_job_that_runs_when_it_is_stopped_is_finished_first() -> None:
    async def slow(job: Job) -> None:
        await asyncio.sleep(5)
        house.ran.append(job.key)

    house, stop = House(), asyncio.Event()
    house.ask("s1", "s2")
    running = asyncio.create_task(house.worker(slow).run(stop))
    await asyncio.sleep(1)
    stop.set()
    await running
    (left,) = await house.queue.list("queued")
    assert sorted([*house.ran, left.key]) == ["s1", "s2"]


@pytest.mark.virtual_time
async def test_it_goes_on_when_the_store_is_back() -> None:
    house, stop = House(), asyncio.Event()
    house.ask("s1")
    house.conversations.available = False
    running = asyncio.create_task(house.worker().run(stop))
    await asyncio.sleep(3)
    house.conversations.available = True
    await asyncio.sleep(1)
    assert house.ran == ["s1"]
    stop.set()
    await running


async def test_a_store_that_does_not_answer_is_told_to_who_runs_one_job() -> None:
    house = House()
    house.conversations.available = False
    with pytest.raises(StorageUnavailableError):
        await house.worker().run_once()


async def test_learning_has_nothing_to_do_yet_and_ends_its_job() -> None:
    house = House()
    house.ask("s1")
    assert await house.worker(flush).run_once()
    assert await house.queue.list() == ()
