"""What becomes known of a conversation beside its answers: words that no model was asked about are a turn of their own, an
answer of which less was heard than was told is cut short, and a question that was understood late is made whole. So the
history of a call holds what was said and heard in it, and no more.
"""

import msgspec

from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AuditRecord, TurnAudited
from cozy_domain.chat.close import TurnFacts
from cozy_domain.chat.deadline import LateStorageError
from cozy_domain.chat.ending import patiently, store_end
from cozy_domain.chat.opening import open_turn, undo_open
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import plan_turn
from cozy_domain.chat.request import ChatRequest
from cozy_domain.ids import TurnId
from cozy_domain.messages import AssistantMessage
from cozy_domain.sessions.session import PersonaPin
from cozy_domain.sessions.turn import TurnAmended, TurnOutcome


class KeptTurn(msgspec.Struct, frozen=True):
    """A turn that is stored, and who spoke in it."""

    turn: TurnId
    pin: PersonaPin


async def keep(parts: ChatParts, request: ChatRequest, heard: str, *, interrupted: bool) -> KeptTurn:
    """``request`` has the user's words, or none and is ``unasked``; ``heard`` are the persona's, or empty.

    Raises:
        InputError, MissingError: the request.
        StorageUnavailableError: it is not stored.
    """
    plan = await plan_turn(parts, request)
    try:
        await open_turn(parts, plan, over=lambda: None)
    except LateStorageError:
        await undo_open(parts, plan)
        raise
    said = (AssistantMessage(content=heard),) if heard else ()
    whole = bool(said) and not interrupted
    new = plan.conversation.new
    facts = TurnFacts(
        turn=plan.turn,
        request=request,
        speaker=plan.speaker,
        personalised=plan.personalised and bool(new),
        opening=new,
        state="completed" if whole else "interrupted",
        messages=said,
        outcome=TurnOutcome(finish=("stop",) if whole else (), answers=said),
    )
    await store_end(parts, facts)
    return KeptTurn(plan.turn, plan.pin)


async def amend(
    parts: ChatParts, request: ChatRequest, kept: KeptTurn, *, heard: str | None, said: str | None
) -> None:
    """``request`` is of the turn's owner; ``heard`` is the beginning of its answer, ``said`` all that the user said.

    Raises:
        MissingError: it is not stored.
        StorageUnavailableError: it stays as it was.
    """
    owner = request.owner
    record = AuditRecord(
        id=parts.ids.new(),
        at=parts.clock.now(),
        event=TurnAudited(
            state="amended",
            persona=kept.pin.persona,
            revision=kept.pin.revision,
            model=None,
            engines=(),
            prompt_tokens=0,
            completion_tokens=0,
            said_characters=len(heard or ""),
        ),
        account=owner.account,
        owner=owner.id,
        session=request.session,
        turn=kept.turn,
        request=request.request,
    )
    amended = TurnAmended(kept.turn, owner, heard, said, (sign(parts.audit_key, record),))
    await patiently(parts, lambda: parts.turns.amend(amended))
