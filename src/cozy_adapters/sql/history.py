"""What the pipeline reads of the past."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Text, and_, bindparam, cast, func, literal_column, or_, select

from cozy_adapters.sql.engine import Database, Statement, Transaction
from cozy_adapters.sql.functions import comma_joined, hex_of
from cozy_adapters.sql.rows import SESSION_COLUMNS, calls_key, message_from, session_from
from cozy_adapters.sql.tables import messages, sessions, turns
from cozy_domain.errors import MissingError
from cozy_domain.ids import Owner, OwnerId, SessionId, TurnId
from cozy_domain.messages import Message
from cozy_domain.sessions.session import PastTurn, Session, last_round
from cozy_domain.sessions.turn import TurnState, WaitingRound

MOST_TURNS = 1_000

_Said = tuple[int, int, UUID, TurnState, Message | None]
"""The ``seq`` of a turn, a position in it, the turn, and what was said there; None in a turn without messages."""
_said = msgspec.json.Decoder(list[_Said]).decode

# States are written into the SQL and not bound: only so does a database see that a partial index fits.
_WAITING = turns.c.state == literal_column("'waiting'")
_REMEMBERED = or_(
    *(turns.c.state == literal_column(f"'{state}'") for state in ("completed", "waiting", "interrupted"))
)
_MINE = and_(sessions.c.owner == bindparam("by"), sessions.c.deleted_at.is_(None))

_SESSION = Statement(
    select(*SESSION_COLUMNS, sessions.c.deleted_at).where(sessions.c.id == bindparam("session"))
)
_NEWEST_TURNS = (
    select(turns.c.id, turns.c.seq, turns.c.state)
    .join(sessions, sessions.c.id == turns.c.session)
    .where(
        _MINE,
        turns.c.session == bindparam("session"),
        turns.c.seq >= bindparam("since", type_=BigInteger),
        turns.c.seq < bindparam("before", type_=BigInteger),  # it may lie beyond every seq
        _REMEMBERED,
    )
    .order_by(turns.c.seq.desc())
    .limit(MOST_TURNS)
    .subquery()
)
_SAID = (
    literal_column("'['", Text)
    + cast(_NEWEST_TURNS.c.seq, Text)
    + literal_column("','", Text)
    + cast(func.coalesce(messages.c.position, literal_column("0")), Text)
    + literal_column("""',"'""", Text)
    + hex_of(_NEWEST_TURNS.c.id)
    + literal_column("""'","'""", Text)
    + _NEWEST_TURNS.c.state
    + literal_column("""'",'""", Text)
    + func.coalesce(messages.c.body, literal_column("'null'", Text))
    + literal_column("']'", Text)
)
# One row, sorted afterwards: SQLite's driver gives up the interpreter for every row, and waits for it as often.
_TURNS = Statement(
    select(comma_joined(_SAID)).select_from(
        _NEWEST_TURNS.outerjoin(messages, messages.c.turn == _NEWEST_TURNS.c.id)
    )
)
_FIND_WAITING = Statement(
    select(turns.c.id)
    .outerjoin(sessions, sessions.c.id == turns.c.session)
    .where(
        _WAITING,
        turns.c.owner == bindparam("by"),
        turns.c.waiting_for == bindparam("calls"),
        turns.c.closed_at >= bindparam("since"),
        sessions.c.deleted_at.is_(None),
    )
    .order_by(turns.c.closed_at.desc(), turns.c.id.desc())
    .limit(1)
)
_MESSAGES = Statement(
    select(messages.c.body).where(messages.c.turn == bindparam("of_turn")).order_by(messages.c.position)
)


class SqlTurnHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def session(self, owner: Owner, session: SessionId) -> Session | None:
        return await self._database.read(_session, owner.id, session)

    async def turns(self, owner: Owner, session: SessionId, since: int, before: int) -> tuple[PastTurn, ...]:
        return await self._database.read(_turns, owner.id, session, since, before)

    async def waiting_round(
        self, owner: Owner, calls: tuple[str, ...], since: datetime
    ) -> WaitingRound | None:
        return await self._database.read(_waiting_round, owner.id, calls, since) if calls else None


def _session(owner: OwnerId, session: SessionId) -> Transaction[Session | None]:
    rows = yield _SESSION(session=session)
    if not rows:
        return None
    *columns, deleted_at = rows[0]
    found = session_from(tuple(columns))
    if found.owner != owner or deleted_at:
        raise MissingError("no such session")
    return found


def _turns(owner: OwnerId, session: SessionId, since: int, before: int) -> Transaction[tuple[PastTurn, ...]]:
    rows = yield _TURNS(by=owner, session=session, since=since, before=before)
    return tuple(_past(_said(f"[{rows[0][0] or ''}]")))


def _past(said: list[_Said]) -> Iterator[PastTurn]:
    said.sort(key=itemgetter(0, 1))
    for (seq, turn, state), of_turn in groupby(said, key=itemgetter(0, 2, 3)):
        messages = tuple(message for *_, message in of_turn if message is not None)
        yield PastTurn(TurnId(turn), seq, state, messages)


def _waiting_round(
    owner: OwnerId, calls: tuple[str, ...], since: datetime
) -> Transaction[WaitingRound | None]:
    found = yield _FIND_WAITING(by=owner, calls=calls_key(calls), since=since)
    if not found:
        return None
    turn = found[0][0]
    rows = yield _MESSAGES(of_turn=turn)
    return WaitingRound(turn, last_round(tuple(message_from(body) for (body,) in rows)))
