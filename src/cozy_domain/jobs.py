"""Work that a turn leaves behind: the queue's port, and the rules of when a job runs (pure).

A job is known by ``(kind, key)``. While one is queued, a new demand only pushes its ``run_after`` (debounce), but never
past ``max_at``; while it is leased, a new demand adds a new row, so that nothing said during the run is missed.
Handlers are idempotent: a job may run twice, when a worker dies after the work and before ``finish``.
"""

from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

JobState = Literal["queued", "leased", "parked"]

MAX_ATTEMPTS = 8
"""Then the job is parked, where an operator sees it. With the backoff below that is about 2 h of trying."""
FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=1)


class JobDemand(msgspec.Struct, frozen=True):
    """Asks for a run of ``(kind, key)`` no earlier than ``run_after``, and no later than ``max_at`` despite debounce."""

    kind: str
    key: str
    run_after: datetime
    max_at: datetime


class Job(msgspec.Struct, frozen=True):
    id: UUID
    kind: str
    key: str
    run_after: datetime
    max_at: datetime
    state: JobState
    attempts: int = 0
    lease_until: datetime | None = None
    reason: str | None = None
    """Why the last attempt failed: an error code, never user text."""


def debounced(queued: Job, demand: JobDemand) -> datetime:
    """When a queued job runs after one more demand: later, but not past the first demand's ``max_at``."""
    return min(max(queued.run_after, demand.run_after), queued.max_at)


def retry_at(now: datetime, attempts: int) -> datetime | None:
    """When to try again after ``attempts`` (>= 1) failures; None means park."""
    if attempts >= MAX_ATTEMPTS:
        return None
    return now + min(FIRST_RETRY * (1 << (attempts - 1)), LONGEST_RETRY)


def job_id(turn: UUID, demand: JobDemand) -> UUID:
    """The id of the job that ``turn`` demands, the same whenever it is asked for."""
    return uuid5(turn, f"{demand.kind}:{demand.key}")


def is_due(job: Job, now: datetime) -> bool:
    """Whether a worker may take the job: its time has come, or the worker that had it let its lease run out."""
    if job.state == "queued":
        return job.run_after <= now
    return job.state == "leased" and job.lease_until is not None and job.lease_until <= now


def leased(job: Job, until: datetime) -> Job:
    """The job in a worker's hands. A lease that ran out was an attempt too: a job that kills its worker must end."""
    lost = 1 if job.state == "leased" else 0
    return replace(job, state="leased", lease_until=until, attempts=job.attempts + lost)


def failed(job: Job, reason: str, again_at: datetime | None) -> Job:
    """The job after a failed attempt. ``max_at`` moves along, so that a new demand cannot undo the waiting."""
    attempts = job.attempts + 1
    if again_at is None:
        return replace(job, state="parked", attempts=attempts, lease_until=None, reason=reason)
    return replace(
        job,
        state="queued",
        run_after=again_at,
        max_at=max(job.max_at, again_at),
        attempts=attempts,
        lease_until=None,
        reason=reason,
    )


def merged(queued: Job, failure: Job) -> Job:
    """One job of two, when the key was demanded again while the failed attempt ran."""
    return replace(
        queued,
        run_after=max(queued.run_after, failure.run_after),
        max_at=max(queued.max_at, failure.max_at),
        attempts=failure.attempts,
        reason=failure.reason,
    )


class JobQueue(Protocol):
    """A durable queue. Demands of a turn are written by ``TurnStore.close``, in its transaction.

    Every method raises ``StorageUnavailableError`` when the store does not answer.
    """

    async def lease(self, now: datetime, until: datetime, kinds: tuple[str, ...]) -> Job | None:
        """The due job that has waited longest, marked as leased until ``until``; a job whose lease ran out counts as
        due again, with one attempt more. No two callers get the same one."""
        ...

    async def finish(self, job: Job) -> None:
        """Removes the leased job; does nothing when its lease was lost to another worker."""
        ...

    async def fail(self, job: Job, reason: str, again_at: datetime | None) -> None:
        """Queues the job again at ``again_at``, or parks it when that is None; counts the attempt. A job of the same key
        that was demanded meanwhile takes it in. Does nothing when the lease was lost to another worker."""
        ...

    async def list(self, state: JobState | None = None, limit: int = 100) -> tuple[Job, ...]:
        """Jobs by ``run_after``, soonest first."""
        ...
