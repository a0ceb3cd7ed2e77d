"""Leases jobs and runs them, one at a time; start several for more."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError, StorageUnavailableError
from cozy_domain.jobs import MAX_ATTEMPTS, Job, JobQueue, retry_at

LEASE = timedelta(seconds=60)
"""How long a worker that died keeps its job from the others."""
LONGEST_RUN_S = 50.0
"""A run is cut off here, before its lease ends: only the holder of a lease may work on its job."""
POLL_S = 1.0

Run = Callable[[Job], Awaitable[None]]


class Worker:
    """Runs each job with what is registered for its kind. A run that raises is tried again later, in the end parked."""

    def __init__(self, queue: JobQueue, runs: Mapping[str, Run], clock: Clock) -> None:
        self._queue = queue
        self._runs = runs
        self._clock = clock

    async def run_once(self) -> bool:
        """Runs the due job that has waited longest; False when none is due.

        Raises:
            StorageUnavailableError: the queue does not answer; a job that ran may run again.
        """
        now = self._clock.now()
        job = await self._queue.lease(now, now + LEASE, tuple(self._runs))
        if job is None:
            return False
        reason = await self._attempt(job)
        if reason is None:
            await self._queue.finish(job)
        else:
            await self._queue.fail(job, reason, retry_at(self._clock.now(), job.attempts + 1))
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Runs jobs until ``stop`` is set; a job that runs then is finished first. Looks for new ones every second."""
        while not stop.is_set():
            if not await self._run_if_possible():
                await _wait(stop)

    async def _run_if_possible(self) -> bool:
        try:
            return await self.run_once()
        except StorageUnavailableError:
            return False  # the store's own health check tells people; the jobs are still there

    async def _attempt(self, job: Job) -> str | None:
        """Why the run failed, as an error code; None when it did not."""
        if job.attempts >= MAX_ATTEMPTS:
            return "lease_lost"  # every attempt took its worker along; this one shall live
        try:
            async with asyncio.timeout(LONGEST_RUN_S):
                await self._runs[job.kind](job)
        except TimeoutError:
            return "job_timeout"
        except CozyError as error:
            return error.code
        except Exception as error:  # noqa: BLE001 - a top loop: one bad job must not stop the others
            return type(error).__name__
        return None


async def _wait(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_S):
            await stop.wait()
    except TimeoutError:
        pass
