"""Storing how a turn ended, with the patience that takes."""

import asyncio
from collections.abc import Awaitable, Callable

from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AuditRecord, TurnAudited
from cozy_domain.chat.close import TurnFacts, closing
from cozy_domain.chat.deadline import stored
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import TurnPlan
from cozy_domain.chat.progress import Progress
from cozy_domain.errors import StorageUnavailableError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
"""Between two tries."""


async def store_end(parts: ChatParts, facts: TurnFacts) -> None:
    """One transaction, tried again while the store does not answer.

    Raises:
        StorageUnavailableError: it did not for the whole of ``limits.close_s``.
        MissingError: there is no such turn.
    """
    closed = closing(facts, key=parts.audit_key, ids=parts.ids, now=parts.clock.now())
    await patiently(parts, lambda: parts.turns.close(closed))


async def patiently(parts: ChatParts, store: Callable[[], Awaitable[None]]) -> None:
    """Tries again while the store does not answer; twice must be the same as once.

    Raises:
        StorageUnavailableError: it did not for the whole of ``limits.close_s``.
    """
    loop = asyncio.get_running_loop()
    give_up, pause = loop.time() + parts.limits.close_s, _FIRST_PAUSE_S
    while True:
        try:
            within_s = min(parts.limits.storage_s, give_up - loop.time())
            return await stored(store(), within_s)
        except StorageUnavailableError:
            if loop.time() + pause >= give_up:
                raise
        await asyncio.sleep(pause)  # noqa: TID251  the store gets time to come back
        pause = min(2 * pause, _LONGEST_PAUSE_S)


async def store_usage(parts: ChatParts, plan: TurnPlan, progress: Progress, engines: tuple[str, ...]) -> None:
    """All that is left of a dropped speculation: it was paid for.

    Raises:
        StorageUnavailableError: the store did not answer.
    """
    event = TurnAudited(
        state="dropped",
        persona=plan.speaker.persona.id,
        revision=plan.speaker.revision,
        model=str(progress.model) if progress.model else None,
        engines=engines,
        prompt_tokens=progress.usage.prompt_tokens,
        completion_tokens=progress.usage.completion_tokens,
        said_characters=0,
    )
    owner = plan.request.owner
    record = AuditRecord(
        id=parts.ids.new(),
        at=parts.clock.now(),
        event=event,
        account=owner.account,
        owner=owner.id,
        session=plan.request.session,
        turn=plan.turn,
        request=plan.request.request,
    )
    await stored(parts.audit.write((sign(parts.audit_key, record),)), parts.limits.storage_s)
