"""The job queue: demands are written by the turn that makes them, in its transaction."""

from datetime import datetime
from functools import cache
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import and_, bindparam, delete, insert, literal_column, or_, select, update

from cozy_adapters.sql.engine import Database, Row, Statement, Transaction
from cozy_adapters.sql.tables import jobs
from cozy_adapters.sql.types import Instant
from cozy_domain.jobs import Job, JobDemand, JobState, debounced, failed, job_id, leased, merged

_QUEUED = jobs.c.state == literal_column("'queued'")
_LEASED = jobs.c.state == literal_column("'leased'")
_JOB = select(
    jobs.c.id,
    jobs.c.kind,
    jobs.c.key,
    jobs.c.run_after,
    jobs.c.max_at,
    jobs.c.state,
    jobs.c.attempts,
    jobs.c.lease_until,
    jobs.c.reason,
)
_BY_TIME = (jobs.c.run_after, jobs.c.id)

_INSERT = Statement(insert(jobs))
_STORE = Statement(
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values({column: bindparam(column.name) for column in jobs.c if column.name not in ("id", "kind", "key")})
)
_DELETE = Statement(delete(jobs).where(jobs.c.id == bindparam("job")))
_PUSH = Statement(update(jobs).where(jobs.c.id == bindparam("job")).values(run_after=bindparam("run_after")))
_FIND_QUEUED = Statement(
    _JOB.where(_QUEUED, jobs.c.kind == bindparam("kind"), jobs.c.key == bindparam("key")).with_for_update()
)
_FIND_HELD = Statement(
    _JOB.where(
        _LEASED, jobs.c.id == bindparam("job"), jobs.c.lease_until == bindparam("until")
    ).with_for_update()
)
_LIST = Statement(_JOB.order_by(*_BY_TIME).limit(bindparam("limit")))
_LIST_OF_STATE = Statement(
    _JOB.where(jobs.c.state == bindparam("state")).order_by(*_BY_TIME).limit(bindparam("limit"))
)


class SqlJobQueue:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(self, now: datetime, until: datetime, kinds: tuple[str, ...]) -> Job | None:
        return await self._database.write(_lease, now, until, kinds) if kinds else None

    async def finish(self, job: Job) -> None:
        await self._database.write(_finish, job)

    async def fail(self, job: Job, reason: str, again_at: datetime | None) -> None:
        await self._database.write(_fail, job, reason, again_at)

    async def list(self, state: JobState | None = None, limit: int = 100) -> tuple[Job, ...]:
        return await self._database.read(_list, state, limit)


def demand(turn: UUID, wanted: JobDemand) -> Transaction[None]:
    """Part of a transaction: adds the job, or pushes the one that is queued already."""
    found = yield _FIND_QUEUED(kind=wanted.kind, key=wanted.key)
    if found:
        queued = _job(found[0])
        yield _PUSH(job=queued.id, run_after=debounced(queued, wanted))
    else:
        job = Job(job_id(turn, wanted), wanted.kind, wanted.key, wanted.run_after, wanted.max_at, "queued")
        yield _INSERT(**asdict(job))


@cache
def _find_due(kinds: int) -> Statement:
    """The due job that has waited longest, of one of so many kinds; one that another worker is taking is passed over."""
    of_kind = or_(*(jobs.c.kind == bindparam(f"kind_{number}") for number in range(kinds)))
    now = bindparam("now", type_=Instant)
    free = or_(_QUEUED, and_(_LEASED, jobs.c.lease_until <= now))
    return Statement(
        _JOB.where(jobs.c.run_after <= now, free, of_kind)
        .order_by(*_BY_TIME)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _lease(now: datetime, until: datetime, kinds: tuple[str, ...]) -> Transaction[Job | None]:
    names = {f"kind_{number}": kind for number, kind in enumerate(kinds)}
    found = yield _find_due(len(kinds))(now=now, **names)
    if not found:
        return None
    job = leased(_job(found[0]), until)
    yield _STORE(job=job.id, **asdict(job))
    return job


def _finish(job: Job) -> Transaction[None]:
    if (yield _FIND_HELD(job=job.id, until=job.lease_until)):
        yield _DELETE(job=job.id)


def _fail(job: Job, reason: str, again_at: datetime | None) -> Transaction[None]:
    if not (yield _FIND_HELD(job=job.id, until=job.lease_until)):
        return
    failure = failed(job, reason, again_at)
    newer = yield _FIND_QUEUED(kind=job.kind, key=job.key)
    if newer and failure.state == "queued":
        yield _DELETE(job=job.id)
        failure = merged(_job(newer[0]), failure)
    yield _STORE(job=failure.id, **asdict(failure))


def _list(state: JobState | None, limit: int) -> Transaction[tuple[Job, ...]]:
    rows = yield (_LIST_OF_STATE(state=state, limit=limit) if state else _LIST(limit=limit))
    return tuple(_job(row) for row in rows)


def _job(row: Row) -> Job:
    return Job(*row)
