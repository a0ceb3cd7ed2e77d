"""What is audited."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from cozy_domain.ids import OwnerId, PersonaId, SessionId, TurnId

Level = Literal["info", "warning", "error"]
ToolOutcome = Literal[
    "ok", "failed", "timeout", "cancelled", "refused", "invalid_arguments", "unknown", "handed_over"
]
"""``timeout`` and ``cancelled`` (the turn was cut short) say that nobody waited for the end: what the tool had done by
then is done."""


class Degradation(msgspec.Struct, frozen=True):
    """An engine that was skipped. ``reason``: timeout, error, malformed, open_circuit."""

    engine: Literal["memory", "knowledge", "profile"]
    reason: str
    after_ms: int


class TurnAudited(msgspec.Struct, frozen=True, tag="turn"):
    """How a turn ended. Sizes in characters; ``model`` is ``provider/id`` or None when none was called."""

    state: str
    persona: PersonaId
    revision: int
    model: str | None
    engines: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    said_characters: int
    finish_reason: str | None = None
    error: str | None = None


class EngineDegraded(msgspec.Struct, frozen=True, tag="engine_degraded"):
    degradation: Degradation


class ToolCalled(msgspec.Struct, frozen=True, tag="tool_call"):
    """``arguments_mac`` lets someone who has the arguments prove they are the ones; it does not reveal them."""

    tool: str
    call: str
    effect: str
    outcome: ToolOutcome
    duration_ms: int
    arguments_bytes: int
    arguments_mac: str
    result_bytes: int


class AccessRefused(msgspec.Struct, frozen=True, tag="access_refused"):
    """``reason`` is an error code; ``route`` the route's template, never the path asked for."""

    reason: str
    route: str


class OperatorActed(msgspec.Struct, frozen=True, tag="operator"):
    """Something an admin or the command line changed: ``key.create``, ``session.delete``..."""

    action: str
    target: str


AuditEvent = TurnAudited | EngineDegraded | ToolCalled | AccessRefused | OperatorActed


class AuditRecord(msgspec.Struct, frozen=True):
    """``mac`` is the hex HMAC-SHA-256 of all other fields (see ``chain.sign``)."""

    id: UUID
    at: datetime
    event: AuditEvent
    level: Level = "info"
    account: str | None = None
    owner: OwnerId | None = None
    session: SessionId | None = None
    turn: TurnId | None = None
    request: str | None = None
    mac: str = ""
