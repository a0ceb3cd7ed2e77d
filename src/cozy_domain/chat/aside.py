"""What is said without asking a model, stored as a turn of its own: so the history of a call holds all that was heard."""

import msgspec

from cozy_domain.chat.close import TurnFacts
from cozy_domain.chat.deadline import LateStorageError
from cozy_domain.chat.ending import store_end
from cozy_domain.chat.opening import open_turn, undo_open
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import plan_turn
from cozy_domain.chat.request import ChatRequest
from cozy_domain.ids import TurnId
from cozy_domain.messages import AssistantMessage
from cozy_domain.sessions.session import PersonaPin
from cozy_domain.sessions.turn import TurnOutcome

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
