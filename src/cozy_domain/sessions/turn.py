"""One turn: a message of the user and all that follows until the answer ends."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cozy_domain.audit.events import AuditRecord, Degradation
from cozy_domain.ids import Owner, PersonaId, SessionId, TurnId
from cozy_domain.jobs import JobDemand
from cozy_domain.messages import AssistantMessage, FinishReason, Message, Usage, UserMessage
from cozy_domain.sessions.blobs import Blob

TurnState = Literal["started", "waiting", "completed", "interrupted", "failed"]
"""``waiting``: the answer asks the client to run tools; ``interrupted``: cut short, what was said is kept;
``failed``: nothing was said."""

IDEMPOTENCY_KEPT = timedelta(hours=24)
"""How long a turn holds its idempotency key, counted from its opening."""


class IdempotencyKey(msgspec.Struct, frozen=True):
    """``digest`` is the SHA-256 of the request's body, in hex. Kept 24 h per owner and route."""

    route: str
    key: str
    digest: str


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds since the turn began. ``first_token`` is None when none came."""

    context_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0


class TurnOpened(msgspec.Struct, frozen=True):
    """What is stored before a model is called. ``messages`` are the new ones only, and ``blobs`` the bytes that they refer
    to; ``model`` is the name asked for.

    With a ``session`` that does not exist yet, it is created with ``persona`` and ``revision``.
    """

    turn: TurnId
    owner: Owner
    persona: PersonaId
    revision: int
    model: str
    messages: tuple[Message, ...]
    at: datetime
    lease_until: datetime
    request: str
    session: SessionId | None = None
    idempotency: IdempotencyKey | None = None
    blobs: tuple[Blob, ...] = ()


class TurnRecord(msgspec.Struct, frozen=True):
    """A finished turn, as a repeated request sees it."""

    turn: TurnId
    session: SessionId | None
    persona: PersonaId
    revision: int
    state: TurnState
    at: datetime
    outcome: "TurnOutcome"


class TurnOutcome(msgspec.Struct, frozen=True):
    """How a turn ended. ``finish`` by choice; ``answers`` the assistant's words that were sent out, by choice, without the
    server's own tool calls. ``service_tier`` and ``fingerprint`` are the provider's words, of the last round."""

    finish: tuple[FinishReason, ...] = ()
    answers: tuple[Message, ...] = ()
    usage: Usage = Usage()
    model: str | None = None
    degraded: tuple[Degradation, ...] = ()
    timings: Timings = Timings()
    error: str | None = None
    service_tier: str | None = None
    fingerprint: str | None = None


class Opened(msgspec.Struct, frozen=True):
    """The turn is stored as ``started``; ``seq`` is its place in the session (from 1; 0 without a session)."""

    seq: int


class AlreadyRunning(msgspec.Struct, frozen=True):
    """The idempotency key belongs to a turn that has not ended."""

    turn: TurnId


class AlreadyFinished(msgspec.Struct, frozen=True):
    record: TurnRecord


Opening = Opened | AlreadyRunning | AlreadyFinished


class TurnClosed(msgspec.Struct, frozen=True):
    """What is stored, in one transaction, before the last frame leaves. ``messages`` are all that the turn added after the
    opening ones: assistant messages, tool results, in order."""

    turn: TurnId
    owner: Owner
    state: TurnState
    at: datetime
    messages: tuple[Message, ...]
    outcome: TurnOutcome
    audit: tuple[AuditRecord, ...] = ()
    jobs: tuple[JobDemand, ...] = ()
    waiting_for: tuple[str, ...] = ()
    """Ids of the tool calls the client has to answer, when ``state`` is ``waiting``."""
    history_from: int | None = None
    title: str | None = None


class TurnAmended(msgspec.Struct, frozen=True):
    """What became known after the turn had ended: that of its answer only ``heard`` was heard, and what the user really
    ``said``; None of what was right."""

    turn: TurnId
    owner: Owner
    heard: str | None = None
    said: str | None = None
    audit: tuple[AuditRecord, ...] = ()


def shortened(said: tuple[Message, ...], heard: str) -> tuple[Message, ...] | None:
    """The messages of a turn of whose last answer only ``heard`` was heard; None where that is all of it, or not its
    beginning. A message of which nothing remains is gone, unless it calls tools."""
    for at in reversed(range(len(said))):
        message = said[at]
        if not isinstance(message, AssistantMessage) or not isinstance(message.content, str):
            continue
        if heard == message.content or not message.content.startswith(heard):
            return None
        kept = (replace(message, content=heard or None),) if heard or message.tool_calls else ()
        return (*said[:at], *kept, *said[at + 1 :])
    return None


def corrected(opening: tuple[Message, ...], said: str) -> tuple[Message, ...] | None:
    """The messages that a turn was opened with, the user's last one in these words; None where it has them, or there is
    none."""
    for at in reversed(range(len(opening))):
        message = opening[at]
        if isinstance(message, UserMessage):
            if message.content == said:
                return None
            return (*opening[:at], replace(message, content=said), *opening[at + 1 :])
    return None


class ReapedTurn(msgspec.Struct, frozen=True):
    """A turn whose process died; it is ``interrupted`` now, with the text of its last checkpoint."""

    turn: TurnId
    owner_id: UUID
    account: str
    session: SessionId | None
    persona: PersonaId
    revision: int
    said_characters: int


class WaitingRound(msgspec.Struct, frozen=True):
    """The last round of a ``waiting`` turn: the assistant message with all of its calls, and the server's own results."""

    turn: TurnId
    messages: tuple[Message, ...]
