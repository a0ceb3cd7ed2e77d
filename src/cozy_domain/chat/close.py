"""Step 5 of a turn: everything that is stored with its end, as one value (pure but for new ids)."""

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AuditEvent, AuditRecord, EngineDegraded, Level, TurnAudited
from cozy_domain.chat.request import ChatRequest
from cozy_domain.chat.title import title_of
from cozy_domain.ids import Ids, TurnId
from cozy_domain.jobs import JobDemand
from cozy_domain.messages import AssistantMessage, Message, UserMessage, text_of
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.sessions.turn import TurnClosed, TurnOutcome, TurnState
from cozy_domain.tools.invoke import audited
from cozy_domain.tools.tool import ToolResult

LEARN = "learn"
LONGEST_DEBOUNCE = timedelta(minutes=15)
"""A conversation that never pauses is learned from at least this often."""


class TurnFacts(msgspec.Struct, frozen=True):
    """What happened in a turn. ``messages`` are all that it added, in order; ``engines`` those that were asked."""

    turn: TurnId
    request: ChatRequest
    speaker: PublishedPersona
    personalised: bool
    opening: tuple[Message, ...]
    state: TurnState
    messages: tuple[Message, ...]
    outcome: TurnOutcome
    results: tuple[ToolResult, ...] = ()
    engines: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    history_from: int | None = None


def closing(facts: TurnFacts, *, key: bytes, ids: Ids, now: datetime) -> TurnClosed:
    """The transaction that ends the turn; ``key`` signs its audit records."""
    request = facts.request
    return TurnClosed(
        turn=facts.turn,
        owner=request.owner,
        state=facts.state,
        at=now,
        messages=facts.messages,
        outcome=facts.outcome,
        audit=audit_records(facts, key=key, ids=ids, now=now),
        jobs=learning_demands(facts, now),
        waiting_for=facts.waiting_for,
        history_from=facts.history_from,
        title=_title(facts.opening) if request.session else None,
    )


def unspeakable(facts: TurnFacts) -> TurnFacts:
    """The end of a turn whose words no store can hold: that it was, and what it cost."""
    outcome = replace(facts.outcome, answers=(), finish=(), error="server_error")
    return replace(facts, state="failed", messages=(), results=(), waiting_for=(), outcome=outcome)


def audit_records(facts: TurnFacts, *, key: bytes, ids: Ids, now: datetime) -> tuple[AuditRecord, ...]:
    """One signed record for the turn, one for each engine that was skipped and for each tool that was called."""
    degraded: list[AuditEvent] = [EngineDegraded(item) for item in facts.outcome.degraded]
    tools: list[AuditEvent] = [audited(result, key) for result in facts.results]
    return tuple(
        sign(
            key,
            AuditRecord(
                id=ids.new(),
                at=now,
                event=event,
                level=_level(event),
                account=facts.request.owner.account,
                owner=facts.request.owner.id,
                session=facts.request.session,
                turn=facts.turn,
                request=facts.request.request,
            ),
        )
        for event in (*degraded, *tools, _turn_audited(facts))
    )


def learning_demands(facts: TurnFacts, now: datetime) -> tuple[JobDemand, ...]:
    """The job that will learn from this turn; none when nothing was said, or nothing may be kept."""
    policy = facts.speaker.persona.memory.write
    if not (facts.personalised and policy.enabled) or facts.state == "failed":
        return ()
    key = f"session/{facts.request.session}" if facts.request.session else f"owner/{facts.request.owner.id}"
    run_after = now + timedelta(seconds=policy.debounce_s)
    return (JobDemand(LEARN, key, run_after, now + max(LONGEST_DEBOUNCE, run_after - now)),)


def _turn_audited(facts: TurnFacts) -> TurnAudited:
    outcome = facts.outcome
    return TurnAudited(
        state=facts.state,
        persona=facts.speaker.persona.id,
        revision=facts.speaker.revision,
        model=outcome.model,
        engines=facts.engines,
        prompt_tokens=outcome.usage.prompt_tokens,
        completion_tokens=outcome.usage.completion_tokens,
        said_characters=sum(
            len(text_of(message.content))
            for message in outcome.answers
            if isinstance(message, AssistantMessage)
        ),
        finish_reason=outcome.finish[0] if outcome.finish else None,
        error=outcome.error,
    )


def _level(event: AuditEvent) -> Level:
    match event:
        case EngineDegraded():
            return "warning"
        case TurnAudited(state="failed"):
            return "error"
        case _:
            return "info"


def _title(opening: tuple[Message, ...]) -> str | None:
    first = next((message for message in opening if isinstance(message, UserMessage)), None)
    return title_of(text_of(first.content)) if first else None
