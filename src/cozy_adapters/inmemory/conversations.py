"""What the in-memory stores of one application share: a turn's end writes messages, audit records and jobs at once."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from cozy_domain.audit.chain import Seal
from cozy_domain.audit.events import AuditRecord
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.ids import OwnerId, SessionId, TurnId
from cozy_domain.jobs import Job, JobDemand, debounced, job_id
from cozy_domain.messages import Message
from cozy_domain.sessions.blobs import Blob
from cozy_domain.sessions.session import Session
from cozy_domain.sessions.turn import TurnClosed, TurnOpened, TurnState

KeyScope = tuple[OwnerId, str, str]
"""Owner, route and key: what an idempotency key is unique in."""


@dataclass
class TurnCell:
    """One stored turn. ``seq`` as in ``Opened``; ``said`` with the time of each message; ``reaped``: a late close wins."""

    opened: TurnOpened
    seq: int
    said: list[tuple[Message, datetime]]
    lease_until: datetime
    state: TurnState = "started"
    checkpoint: str = ""
    reaped: bool = False
    closed: TurnClosed | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(message for message, _ in self.said)


@dataclass
class SessionCell:
    session: Session
    turns: list[TurnCell] = field(default_factory=list)
    deleted_at: datetime | None = None


@dataclass
class InMemoryConversations:
    """Everything stored, and a switch: with ``available`` False every store on it raises ``StorageUnavailableError``."""

    available: bool = True
    sessions: dict[SessionId, SessionCell] = field(default_factory=dict)
    turns: dict[TurnId, TurnCell] = field(default_factory=dict)
    keys: dict[KeyScope, TurnId] = field(default_factory=dict)
    records: dict[UUID, AuditRecord] = field(default_factory=dict)
    seals: list[Seal] = field(default_factory=list)
    jobs: dict[UUID, Job] = field(default_factory=dict)
    blobs: dict[tuple[OwnerId, str], Blob] = field(default_factory=dict)
    uses: dict[tuple[OwnerId, str], set[TurnId]] = field(default_factory=dict)
    """Which turns have a blob."""

    def check(self) -> None:
        if not self.available:
            raise StorageUnavailableError("the in-memory store is switched off")

    def is_hidden(self, cell: TurnCell) -> bool:
        """Whether its session was deleted."""
        session = cell.opened.session
        return session is not None and self.sessions[session].deleted_at is not None

    def keep(self, turn: TurnOpened) -> None:
        """Stores the blobs of a turn."""
        for blob in turn.blobs:
            place = (turn.owner.id, blob.sha256)
            self.blobs.setdefault(place, blob)
            self.uses.setdefault(place, set()).add(turn.turn)

    def append(self, records: tuple[AuditRecord, ...]) -> None:
        for record in records:
            self.records.setdefault(record.id, record)

    def demand(self, turn: TurnId, demand: JobDemand) -> None:
        queued = self.queued(demand.kind, demand.key)
        if queued:
            self.jobs[queued.id] = replace(queued, run_after=debounced(queued, demand))
            return
        job = Job(job_id(turn, demand), demand.kind, demand.key, demand.run_after, demand.max_at, "queued")
        self.jobs[job.id] = job

    def queued(self, kind: str, key: str) -> Job | None:
        jobs = self.jobs.values()
        return next((job for job in jobs if (job.kind, job.key, job.state) == (kind, key, "queued")), None)
