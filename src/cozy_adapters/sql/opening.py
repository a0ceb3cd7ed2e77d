"""How a turn opens: the transaction of ``TurnStore.open``."""

from datetime import datetime

import msgspec
from sqlalchemy import and_, bindparam, delete, insert, select, update

from cozy_adapters.sql.blobs import keep
from cozy_adapters.sql.engine import Statement, Step, Transaction
from cozy_adapters.sql.rows import COUNT, LATER, say
from cozy_adapters.sql.tables import idempotency_keys, sessions, turns
from cozy_domain.errors import InputError, MissingError
from cozy_domain.ids import OwnerId, SessionId
from cozy_domain.sessions.turn import (
    IDEMPOTENCY_KEPT,
    AlreadyFinished,
    AlreadyRunning,
    IdempotencyKey,
    Opened,
    Opening,
    TurnOpened,
    TurnOutcome,
    TurnRecord,
)

_outcome = msgspec.json.Decoder(TurnOutcome).decode

_FIND_SESSION = Statement(
    select(sessions.c.owner, sessions.c.deleted_at)
    .where(sessions.c.id == bindparam("session"))
    .with_for_update()
)
_INSERT_SESSION = Statement(insert(sessions))
_CONTINUE_SESSION = Statement(
    update(sessions)
    .where(
        sessions.c.id == bindparam("session"),
        sessions.c.owner == bindparam("by"),
        sessions.c.deleted_at.is_(None),
    )
    .values(
        persona=bindparam("by_persona"),
        revision=bindparam("in_revision"),
        last_turn_at=LATER,
        message_count=COUNT,
        last_seq=sessions.c.last_seq + 1,
    )
    .returning(sessions.c.last_seq)
)
_INSERT_TURN = Statement(insert(turns))
_KEY = and_(
    idempotency_keys.c.owner == bindparam("by"),
    idempotency_keys.c.route == bindparam("on_route"),
    idempotency_keys.c.key == bindparam("with_key"),
)
_FIND_HOLDER = Statement(
    select(
        idempotency_keys.c.digest,
        turns.c.id,
        turns.c.session,
        turns.c.persona,
        turns.c.revision,
        turns.c.state,
        turns.c.at,
        turns.c.outcome,
    )
    .join(turns, turns.c.id == idempotency_keys.c.turn)
    .where(_KEY)
)
# Of that turn alone: somebody else may have freed the key meanwhile, and holds it now.
_FREE_KEY = Statement(
    delete(idempotency_keys).where(_KEY, idempotency_keys.c.turn == bindparam("of_dead_turn"))
)
_INSERT_KEY = Statement(insert(idempotency_keys))


def open_turn(turn: TurnOpened) -> Transaction[Opening]:
    owner = turn.owner.id
    if turn.idempotency:
        if turn.session:
            yield from _is_there(owner, turn.session)
        earlier = yield from _holder(owner, turn.idempotency, turn.at)
        if earlier:
            return earlier
    seq = (yield from _place(turn, turn.session)) if turn.session else 0
    yield _insert_turn(turn, owner, seq)
    yield from say(turn.turn, 0, turn.messages, turn.at)
    if turn.blobs:
        yield from keep(turn)
    if turn.idempotency:
        yield _INSERT_KEY(
            owner=owner,
            route=turn.idempotency.route,
            key=turn.idempotency.key,
            digest=turn.idempotency.digest,
            turn=turn.turn,
        )
    return Opened(seq)


def _place(turn: TurnOpened, session: SessionId) -> Transaction[int]:
    """The turn's seq in its session, which is made when it is new."""
    continued = _continued(turn, session)
    rows = yield continued
    if not rows and (yield from _is_there(turn.owner.id, session)):
        rows = yield continued  # somebody made it just now
    if rows:
        return int(rows[0][0])
    yield _new_session(turn, session)
    return 1


def _is_there(owner: OwnerId, session: SessionId) -> Transaction[bool]:
    """
    Raises:
        MissingError: it is another owner's, or was deleted.
    """
    rows = yield _FIND_SESSION(session=session)
    if rows and rows[0] != (owner, None):
        raise MissingError("no such session")
    return bool(rows)


def _holder(owner: OwnerId, key: IdempotencyKey, now: datetime) -> Transaction[Opening | None]:
    """What the living turn that holds the key answers; a dead one loses the key."""
    scope = {"by": owner, "on_route": key.route, "with_key": key.key}
    rows = yield _FIND_HOLDER(**scope)
    if not rows:
        return None
    digest, turn, session, persona, revision, state, at, outcome = rows[0]
    if state in ("interrupted", "failed") or now - at >= IDEMPOTENCY_KEPT:
        yield _FREE_KEY(**scope, of_dead_turn=turn)
        return None
    if digest != key.digest:
        raise InputError("the idempotency key came with another body", code="idempotency_key_reused")
    if state == "started":
        return AlreadyRunning(turn)
    return AlreadyFinished(TurnRecord(turn, session, persona, revision, state, at, _outcome(outcome)))


def _new_session(turn: TurnOpened, session: SessionId) -> Step:
    return _INSERT_SESSION(
        id=session,
        owner=turn.owner.id,
        persona=turn.persona,
        revision=turn.revision,
        created_at=turn.at,
        last_turn_at=turn.at,
        title=None,
        message_count=len(turn.messages),
        history_from=0,
        last_seq=1,
        deleted_at=None,
    )


def _continued(turn: TurnOpened, session: SessionId) -> Step:
    return _CONTINUE_SESSION(
        session=session,
        by=turn.owner.id,
        by_persona=turn.persona,
        in_revision=turn.revision,
        last_turn_at_=turn.at,
        added=len(turn.messages),
    )


def _insert_turn(turn: TurnOpened, owner: OwnerId, seq: int) -> Step:
    return _INSERT_TURN(
        id=turn.turn,
        owner=owner,
        account=turn.owner.account,
        session=turn.session,
        seq=seq,
        persona=turn.persona,
        revision=turn.revision,
        model=turn.model,
        request=turn.request,
        state="started",
        at=turn.at,
        opening=len(turn.messages),
        lease_until=turn.lease_until,
        checkpoint=None,
        reaped=False,
        closed_at=None,
        outcome=None,
        waiting_for=None,
    )
