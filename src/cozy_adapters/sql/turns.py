"""Writes turns."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Integer, bindparam, delete, func, literal_column, select, update

from cozy_adapters.sql.audit import add, append
from cozy_adapters.sql.engine import Database, Row, Statement, Transaction
from cozy_adapters.sql.jobs import demand
from cozy_adapters.sql.opening import open_turn
from cozy_adapters.sql.rows import COUNT, LATER, body_of, calls_key, message_from, say
from cozy_adapters.sql.tables import messages, sessions, turns
from cozy_domain.audit.events import AuditRecord
from cozy_domain.errors import MissingError, StorageConflictError
from cozy_domain.ids import TurnId
from cozy_domain.messages import AssistantMessage
from cozy_domain.sessions.storable import storable
from cozy_domain.sessions.turn import (
    Opening,
    ReapedTurn,
    TurnAmended,
    TurnClosed,
    TurnOpened,
    TurnOutcome,
    corrected,
    shortened,
)

_STARTED = turns.c.state == literal_column("'started'")
"""Written into the SQL and not bound: only so does a database see that its partial index fits."""

_CHECKPOINT = Statement(
    update(turns)
    .where(turns.c.id == bindparam("turn"), _STARTED)
    .values(checkpoint=bindparam("text"), lease_until=bindparam("until"))
)
_FIND_TURN = Statement(
    select(turns.c.state, turns.c.reaped, turns.c.session, turns.c.opening)
    .where(turns.c.id == bindparam("turn"), turns.c.owner == bindparam("by"))
    .with_for_update()
)
_END = update(turns).values(
    state=bindparam("state_"),
    reaped=bindparam("reaped_"),
    closed_at=bindparam("now"),
    outcome=bindparam("outcome_"),
    waiting_for=bindparam("waiting_for_"),
    lease_until=None,
    checkpoint=None,
)
_END_TURN = Statement(_END.where(turns.c.id == bindparam("turn")))
_END_STARTED = Statement(
    _END.where(turns.c.id == bindparam("turn"), turns.c.owner == bindparam("by"), _STARTED).returning(
        turns.c.session, turns.c.opening
    )
)
_DELETE_SAID = Statement(
    delete(messages).where(messages.c.turn == bindparam("of_turn"), messages.c.position >= bindparam("since"))
)
_COUNT_MESSAGES = Statement(
    select(func.count()).select_from(messages).where(messages.c.turn == bindparam("of_turn"))
)
_END_IN_SESSION = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(
        last_turn_at=LATER,
        message_count=COUNT,
        title=func.coalesce(sessions.c.title, bindparam("words", type_=sessions.c.title.type)),
        history_from=func.coalesce(bindparam("since", type_=Integer), sessions.c.history_from),
    )
)
_FIND_SAID = Statement(
    select(messages.c.body, messages.c.at)
    .where(messages.c.turn == bindparam("of_turn"))
    .order_by(messages.c.position)
)
_CORRECT = Statement(
    update(messages)
    .where(messages.c.turn == bindparam("of_turn"), messages.c.position == bindparam("at_position"))
    .values(body=bindparam("words"))
)
_INTERRUPT = Statement(update(turns).where(turns.c.id == bindparam("turn")).values(state="interrupted"))
_COUNT_AMENDED = Statement(
    update(sessions).where(sessions.c.id == bindparam("session")).values(message_count=COUNT)
)
_COUNT_REAPED = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(message_count=sessions.c.message_count + 1)
)
_FIND_EXPIRED = Statement(
    select(
        turns.c.id,
        turns.c.owner,
        turns.c.account,
        turns.c.session,
        turns.c.persona,
        turns.c.revision,
        turns.c.opening,
        turns.c.checkpoint,
    )
    .where(_STARTED, turns.c.lease_until <= bindparam("now"))
    .order_by(turns.c.lease_until)
    .with_for_update(skip_locked=True)
)


class SqlTurnStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, turn: TurnOpened) -> Opening:
        try:
            return await self._database.write(open_turn, storable(turn))
        except StorageConflictError:
            raise StorageConflictError("a turn with this id was opened before") from None

    async def checkpoint(self, turns: tuple[tuple[TurnId, str], ...], lease_until: datetime) -> None:
        if turns:
            await self._database.write(_checkpoint, storable(turns), lease_until)

    async def close(self, turn: TurnClosed) -> None:
        await self._database.write(_close, storable(turn))

    async def amend(self, turn: TurnAmended) -> None:
        await self._database.write(_amend, storable(turn))

    async def reap(
        self, now: datetime, recorded: Callable[[ReapedTurn], AuditRecord] | None = None
    ) -> tuple[ReapedTurn, ...]:
        return await self._database.write(_reap, now, recorded)


def _checkpoint(texts: tuple[tuple[TurnId, str], ...], until: datetime) -> Transaction[None]:
    yield _CHECKPOINT.many([{"turn": turn, "text": text, "until": until} for turn, text in texts])


def _close(turn: TurnClosed) -> Transaction[None]:
    end = _end_of(turn)
    added = len(turn.messages)
    rows = yield _END_STARTED(by=turn.owner.id, **end)
    if rows:
        session, opening = rows[0]
    else:
        rows = yield _FIND_TURN(turn=turn.turn, by=turn.owner.id)
        if not rows:
            raise MissingError("no such turn")
        state, reaped, session, opening = rows[0]
        if state != "started" and not reaped:
            return
        if reaped:
            added -= (yield _COUNT_MESSAGES(of_turn=turn.turn))[0][0] - opening
            yield _DELETE_SAID(of_turn=turn.turn, since=opening)
        yield _END_TURN(**end)
    yield from say(turn.turn, opening, turn.messages, turn.at)
    if session:
        yield _END_IN_SESSION(
            session=session, last_turn_at_=turn.at, added=added, words=turn.title, since=turn.history_from
        )
    for record in turn.audit:
        yield from add(record)
    for wanted in turn.jobs:
        yield from demand(turn.turn, wanted)


def _end_of(turn: TurnClosed) -> dict[str, object]:
    waiting_for = calls_key(turn.waiting_for) if turn.state == "waiting" else None
    return {
        "turn": turn.turn,
        "state_": turn.state,
        "reaped_": False,
        "now": turn.at,
        "outcome_": body_of(turn.outcome),
        "waiting_for_": waiting_for,
    }


def _amend(turn: TurnAmended) -> Transaction[None]:
    rows = yield _FIND_TURN(turn=turn.turn, by=turn.owner.id)
    if not rows:
        raise MissingError("no such turn")
    state, _, session, opening = rows[0]
    if state == "started":
        return
    rows = yield _FIND_SAID(of_turn=turn.turn)
    stored = tuple(message_from(body) for body, _ in rows)
    asked, answered = stored[:opening], stored[opening:]
    said = None if turn.said is None else corrected(asked, turn.said)
    remaining = None if turn.heard is None else shortened(answered, turn.heard)
    for position, message in enumerate(said or ()):
        if message != asked[position]:
            yield _CORRECT(of_turn=turn.turn, at_position=position, words=body_of(message))
    if remaining is not None:
        if state == "completed":
            yield _INTERRUPT(turn=turn.turn)
        yield _DELETE_SAID(of_turn=turn.turn, since=opening)
        yield from say(turn.turn, opening, remaining, rows[-1][1])
        if session:
            yield _COUNT_AMENDED(session=session, added=len(remaining) - len(answered))
    if said or remaining is not None:
        yield from append(turn.audit)


def _reap(
    now: datetime, recorded: Callable[[ReapedTurn], AuditRecord] | None
) -> Transaction[tuple[ReapedTurn, ...]]:
    rows = yield _FIND_EXPIRED(now=now)
    reaped = []
    for row in rows:
        one = yield from _reap_one(row, now)
        reaped.append(one)
    if recorded:
        for one in reaped:
            yield from add(recorded(one))
    return tuple(reaped)


def _reap_one(row: Row, now: datetime) -> Transaction[ReapedTurn]:
    turn, owner, account, session, persona, revision, opening, text = row
    yield _END_TURN(
        turn=turn,
        state_="interrupted",
        reaped_=True,
        now=now,
        outcome_=body_of(TurnOutcome()),
        waiting_for_=None,
    )
    if text:
        yield from say(turn, opening, (AssistantMessage(content=text),), now)
    if text and session:
        yield _COUNT_REAPED(session=session)
    return ReapedTurn(turn, owner, account, session, persona, revision, len(text or ""))
