"""Step 2 of a turn: it is stored as started, before a model is asked."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from cozy_domain.chat.close import TurnFacts
from cozy_domain.chat.deadline import stored
from cozy_domain.chat.ending import store_end
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import TurnPlan, no_such_session
from cozy_domain.errors import CozyError, MissingError, StorageUnavailableError
from cozy_domain.sessions.turn import AlreadyFinished, AlreadyRunning, Opened, TurnOutcome

_log = logging.getLogger("cozy.chat")
_POLL_S = 0.1
"""How often a request whose idempotency key is in use looks again."""


async def open_turn(
    parts: ChatParts, plan: TurnPlan, *, over: Callable[[], CozyError | None]
) -> Opened | AlreadyFinished:
    """Waits while another turn holds the idempotency key, and looks each time whether it is ``over`` for the caller.

    Raises:
        CozyError: what ``over`` gave.
        MissingError: the session is another owner's, or was deleted.
        LateStorageError: the store did not answer in time; the turn may yet be stored.
        StorageUnavailableError: the store is away, or the other turn did not end.
    """
    now = asyncio.get_running_loop().time
    give_up = now() + parts.limits.turn_s
    while True:
        opening = await _tried(parts, plan)
        if not isinstance(opening, AlreadyRunning):
            return opening
        if (reason := over()) is not None:
            raise reason
        if (left_s := give_up - now()) <= 0:
            raise StorageUnavailableError("The first request with this Idempotency-Key has not ended.")
        await asyncio.sleep(min(_POLL_S, left_s))  # noqa: TID251  the other turn may be another process's


async def undo_open(parts: ChatParts, plan: TurnPlan) -> None:
    """After an `open_turn` that came too late: if it was stored all the same, it ends as failed, so that the next try of the
    same words is not the second in the history."""
    facts = TurnFacts(
        turn=plan.turn,
        request=plan.request,
        speaker=plan.speaker,
        personalised=False,
        opening=plan.conversation.new,
        state="failed",
        messages=(),
        outcome=TurnOutcome(error="storage_unavailable"),
    )
    try:
        await store_end(parts, facts)
    except MissingError:
        return
    except Exception:  # noqa: BLE001  nobody waits for this, and the reaper does it too
        _log.warning("turn %s may be stored as started; it will be reaped", plan.turn, exc_info=True)


async def _tried(parts: ChatParts, plan: TurnPlan) -> Opened | AlreadyRunning | AlreadyFinished:
    lease_until = parts.clock.now() + timedelta(seconds=parts.limits.lease_s)
    try:
        return await stored(parts.turns.open(plan.opened(lease_until)), parts.limits.storage_s)
    except MissingError:
        raise no_such_session() from None
