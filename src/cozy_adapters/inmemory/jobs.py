"""Job queue in memory."""

from datetime import datetime

from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_domain.jobs import Job, JobState, failed, is_due, leased, merged


class InMemoryJobQueue:
    def __init__(self, conversations: InMemoryConversations) -> None:
        self._all = conversations

    async def lease(self, now: datetime, until: datetime, kinds: tuple[str, ...]) -> Job | None:
        self._all.check()
        due = [job for job in self._all.jobs.values() if job.kind in kinds and is_due(job, now)]
        if not due:
            return None
        job = leased(min(due, key=_soonest), until)
        self._all.jobs[job.id] = job
        return job

    async def finish(self, job: Job) -> None:
        self._all.check()
        if self._is_held(job):
            del self._all.jobs[job.id]

    async def fail(self, job: Job, reason: str, again_at: datetime | None) -> None:
        self._all.check()
        if not self._is_held(job):
            return
        failure = failed(job, reason, again_at)
        newer = self._all.queued(job.kind, job.key)
        if newer and failure.state == "queued":
            del self._all.jobs[job.id]
            self._all.jobs[newer.id] = merged(newer, failure)
        else:
            self._all.jobs[job.id] = failure

    async def list(self, state: JobState | None = None, limit: int = 100) -> tuple[Job, ...]:
        self._all.check()
        jobs = [job for job in self._all.jobs.values() if state in (None, job.state)]
        return tuple(sorted(jobs, key=_soonest)[:limit])

    def _is_held(self, job: Job) -> bool:
        """Whether the lease that the caller was given still stands."""
        stored = self._all.jobs.get(job.id)
        return stored is not None and (stored.state, stored.lease_until) == ("leased", job.lease_until)


def _soonest(job: Job) -> tuple[datetime, bytes]:
    return job.run_after, job.id.bytes
