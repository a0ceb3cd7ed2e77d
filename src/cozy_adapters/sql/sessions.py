"""What an owner does with their sessions. Ownership is part of every query."""

from datetime import datetime

from sqlalchemy import BigInteger, and_, bindparam, or_, select, update

from cozy_adapters.sql.engine import Database, Row, Statement, Transaction
from cozy_adapters.sql.rows import SESSION_COLUMNS, message_from, session_from
from cozy_adapters.sql.tables import messages, sessions, turns
from cozy_domain.errors import MissingError
from cozy_domain.ids import Owner, OwnerId, SessionId
from cozy_domain.sessions.session import Session, StoredMessage, message_id

_MINE = and_(sessions.c.owner == bindparam("by"), sessions.c.deleted_at.is_(None))
_SESSION = select(*SESSION_COLUMNS).where(_MINE)
_FIND = Statement(_SESSION.where(sessions.c.id == bindparam("session")))
_NEWEST_FIRST = _SESSION.order_by(sessions.c.last_turn_at.desc(), sessions.c.id.desc()).limit(
    bindparam("limit")
)
_LIST = Statement(_NEWEST_FIRST)
_LIST_AFTER = Statement(
    _NEWEST_FIRST.where(
        or_(
            sessions.c.last_turn_at < bindparam("mark"),
            and_(sessions.c.last_turn_at == bindparam("mark"), sessions.c.id < bindparam("after")),
        )
    )
)
_seq = bindparam("seq", type_=BigInteger)  # a cursor is whatever somebody sent
_MESSAGES = Statement(
    select(turns.c.id, turns.c.seq, messages.c.position, turns.c.state, messages.c.body, messages.c.at)
    .join(messages, messages.c.turn == turns.c.id)
    .where(
        turns.c.session == bindparam("session"),
        turns.c.seq >= _seq,
        or_(turns.c.seq > _seq, messages.c.position > bindparam("position", type_=BigInteger)),
    )
    .order_by(turns.c.seq, messages.c.position)
    .limit(bindparam("limit"))
)
_RENAME = Statement(
    update(sessions).where(sessions.c.id == bindparam("session")).values(title=bindparam("words"))
)
_DELETE = Statement(
    update(sessions).where(sessions.c.id == bindparam("session")).values(deleted_at=bindparam("now"))
)

_BEFORE_ALL = (-1, -1)


class SqlSessionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, owner: Owner, limit: int, after: SessionId | None = None) -> tuple[Session, ...]:
        return await self._database.read(_list, owner.id, limit, after)

    async def messages(
        self, owner: Owner, session: SessionId, limit: int, after: tuple[int, int] | None = None
    ) -> tuple[StoredMessage, ...]:
        return await self._database.read(_messages, owner.id, session, limit, after or _BEFORE_ALL)

    async def rename(self, owner: Owner, session: SessionId, title: str) -> Session:
        return await self._database.write(_rename, owner.id, session, title)

    async def delete(self, owner: Owner, session: SessionId, at: datetime) -> None:
        await self._database.write(_delete, owner.id, session, at)


def _find(owner: OwnerId, session: SessionId) -> Transaction[Session]:
    rows = yield _FIND(by=owner, session=session)
    if not rows:
        raise MissingError("no such session")
    return session_from(rows[0])


def _list(owner: OwnerId, limit: int, after: SessionId | None) -> Transaction[tuple[Session, ...]]:
    if after is None:
        rows = yield _LIST(by=owner, limit=limit)
    else:
        last = yield from _find(owner, after)
        rows = yield _LIST_AFTER(by=owner, limit=limit, mark=last.last_turn_at, after=after)
    return tuple(session_from(row) for row in rows)


def _messages(
    owner: OwnerId, session: SessionId, limit: int, after: tuple[int, int]
) -> Transaction[tuple[StoredMessage, ...]]:
    yield from _find(owner, session)
    seq, position = after
    rows = yield _MESSAGES(session=session, limit=limit, seq=seq, position=position)
    return tuple(_stored(row) for row in rows)


def _rename(owner: OwnerId, session: SessionId, title: str) -> Transaction[Session]:
    yield from _find(owner, session)
    yield _RENAME(session=session, words=title)
    return (yield from _find(owner, session))


def _delete(owner: OwnerId, session: SessionId, at: datetime) -> Transaction[None]:
    yield from _find(owner, session)
    yield _DELETE(session=session, now=at)


def _stored(row: Row) -> StoredMessage:
    turn, seq, position, state, body, at = row
    return StoredMessage(message_id(turn, position), turn, seq, position, state, message_from(body), at)
