"""Sessions and turns in memory: three ports on one ``InMemoryConversations``. No method waits, so each is atomic."""

from collections.abc import Callable
from datetime import datetime
from itertools import islice

from msgspec.structs import replace

from cozy_adapters.inmemory.conversations import InMemoryConversations, KeyScope, SessionCell, TurnCell
from cozy_domain.audit.events import AuditRecord
from cozy_domain.errors import InputError, MissingError, StorageConflictError
from cozy_domain.ids import Owner, OwnerId, SessionId, TurnId
from cozy_domain.messages import AssistantMessage
from cozy_domain.sessions.session import (
    PastTurn,
    PersonaPin,
    Session,
    StoredMessage,
    last_round,
    message_id,
)
from cozy_domain.sessions.storable import storable
from cozy_domain.sessions.turn import (
    IDEMPOTENCY_KEPT,
    AlreadyFinished,
    AlreadyRunning,
    Opened,
    Opening,
    ReapedTurn,
    TurnAmended,
    TurnClosed,
    TurnOpened,
    TurnOutcome,
    TurnRecord,
    WaitingRound,
    corrected,
    shortened,
)

MOST_TURNS = 1_000
REMEMBERED = ("completed", "waiting", "interrupted")
KEY_HOLDING = ("started", "completed", "waiting")


class InMemoryTurnStore:
    def __init__(self, conversations: InMemoryConversations) -> None:
        self._all = conversations

    async def open(self, turn: TurnOpened) -> Opening:
        self._all.check()
        turn = storable(turn)
        known = owned(self._all, turn.owner.id, turn.session) if turn.session else None
        earlier = self._holder(turn)
        if earlier:
            return _answer(earlier)
        if turn.turn in self._all.turns:
            raise StorageConflictError("a turn with this id was opened before")
        cell = self._in_session(turn, known, turn.session) if turn.session else _cell(turn, 0)
        self._all.turns[turn.turn] = cell
        self._all.keep(turn)
        if turn.idempotency:
            self._all.keys[_scope(turn)] = turn.turn
        return Opened(cell.seq)

    async def checkpoint(self, turns: tuple[tuple[TurnId, str], ...], lease_until: datetime) -> None:
        self._all.check()
        for turn, text in turns:
            cell = self._all.turns.get(turn)
            if cell and cell.state == "started":
                cell.checkpoint = storable(text)
                cell.lease_until = lease_until

    async def close(self, turn: TurnClosed) -> None:
        self._all.check()
        turn = storable(turn)
        cell = self._all.turns.get(turn.turn)
        if cell is None or cell.opened.owner.id != turn.owner.id:
            raise MissingError("no such turn")
        if cell.state != "started" and not cell.reaped:
            return
        before = len(cell.said)
        cell.said[len(cell.opened.messages) :] = [(message, turn.at) for message in turn.messages]
        cell.state, cell.closed, cell.reaped = turn.state, turn, False
        self._update_session(cell, turn, len(cell.said) - before)
        self._all.append(turn.audit)
        for demand in turn.jobs:
            self._all.demand(turn.turn, demand)

    async def amend(self, turn: TurnAmended) -> None:
        self._all.check()
        turn = storable(turn)
        cell = self._all.turns.get(turn.turn)
        if cell is None or cell.opened.owner.id != turn.owner.id:
            raise MissingError("no such turn")
        if cell.state == "started":
            return
        opening = len(cell.opened.messages)
        asked, answered = cell.messages[:opening], cell.messages[opening:]
        said = None if turn.said is None else corrected(asked, turn.said)
        remaining = None if turn.heard is None else shortened(answered, turn.heard)
        if said:
            cell.said[:opening] = [(message, cell.opened.at) for message in said]
        if remaining is not None:
            at = cell.said[-1][1]
            cell.said[opening:] = [(message, at) for message in remaining]
            cell.state = "interrupted" if cell.state == "completed" else cell.state
            if cell.opened.session:
                home, added = self._all.sessions[cell.opened.session], len(remaining) - len(answered)
                home.session = replace(home.session, message_count=home.session.message_count + added)
        if said or remaining is not None:
            self._all.append(turn.audit)

    async def reap(
        self, now: datetime, recorded: Callable[[ReapedTurn], AuditRecord] | None = None
    ) -> tuple[ReapedTurn, ...]:
        self._all.check()
        cells = self._all.turns.values()
        dead = [cell for cell in cells if cell.state == "started" and cell.lease_until <= now]
        reaped = tuple(self._reaped(cell, now) for cell in dead)
        if recorded:
            self._all.append(tuple(map(recorded, reaped)))
        return reaped

    def _holder(self, turn: TurnOpened) -> TurnCell | None:
        """The living turn that holds this turn's idempotency key."""
        holder = self._all.keys.get(_scope(turn)) if turn.idempotency else None
        if turn.idempotency is None or holder is None:
            return None
        cell = self._all.turns[holder]
        alive = cell.state in KEY_HOLDING and turn.at - cell.opened.at < IDEMPOTENCY_KEPT
        if not alive:
            return None
        if cell.opened.idempotency != turn.idempotency:
            raise InputError("the idempotency key came with another body", code="idempotency_key_reused")
        return cell

    def _in_session(self, turn: TurnOpened, known: SessionCell | None, session: SessionId) -> TurnCell:
        pin = PersonaPin(turn.persona, turn.revision)
        cell = known or SessionCell(Session(session, turn.owner.id, pin, turn.at, turn.at))
        self._all.sessions[session] = cell
        cell.session = replace(
            cell.session,
            pin=pin,
            last_turn_at=max(cell.session.last_turn_at, turn.at),
            message_count=cell.session.message_count + len(turn.messages),
        )
        cell.turns.append(_cell(turn, len(cell.turns) + 1))
        return cell.turns[-1]

    def _update_session(self, cell: TurnCell, turn: TurnClosed, added: int) -> None:
        if cell.opened.session is None:
            return
        home = self._all.sessions[cell.opened.session]
        old = home.session
        home.session = replace(
            old,
            last_turn_at=max(old.last_turn_at, turn.at),
            message_count=old.message_count + added,
            title=old.title if old.title is not None else turn.title,
            history_from=old.history_from if turn.history_from is None else turn.history_from,
        )

    def _reaped(self, cell: TurnCell, now: datetime) -> ReapedTurn:
        cell.state, cell.reaped = "interrupted", True
        turn, text = cell.opened, cell.checkpoint
        if text:
            cell.said.append((AssistantMessage(content=text), now))
        if text and turn.session:
            home = self._all.sessions[turn.session]
            home.session = replace(home.session, message_count=home.session.message_count + 1)
        return ReapedTurn(
            turn.turn, turn.owner.id, turn.owner.account, turn.session, turn.persona, turn.revision, len(text)
        )


class InMemoryTurnHistory:
    def __init__(self, conversations: InMemoryConversations) -> None:
        self._all = conversations

    async def session(self, owner: Owner, session: SessionId) -> Session | None:
        self._all.check()
        cell = owned(self._all, owner.id, session)
        return cell.session if cell else None

    async def turns(self, owner: Owner, session: SessionId, since: int, before: int) -> tuple[PastTurn, ...]:
        self._all.check()
        cell = self._all.sessions.get(session)
        if cell is None or cell.deleted_at or cell.session.owner != owner.id:
            return ()
        past = [turn for turn in cell.turns if since <= turn.seq < before and turn.state in REMEMBERED]
        newest = past[-MOST_TURNS:]
        return tuple(PastTurn(turn.opened.turn, turn.seq, turn.state, turn.messages) for turn in newest)

    async def waiting_round(
        self, owner: Owner, calls: tuple[str, ...], since: datetime
    ) -> WaitingRound | None:
        self._all.check()
        found = [
            (end.at, cell.opened.turn, cell)
            for cell in self._all.turns.values()
            if (end := cell.closed)
            and end.state == "waiting"
            and end.at >= since
            and end.owner.id == owner.id
            if calls and set(end.waiting_for) == set(calls) and not self._all.is_hidden(cell)
        ]
        if not found:
            return None
        _, turn, cell = max(found, key=lambda entry: entry[:2])
        return WaitingRound(turn, last_round(cell.messages))


class InMemorySessionStore:
    def __init__(self, conversations: InMemoryConversations) -> None:
        self._all = conversations

    async def list(self, owner: Owner, limit: int, after: SessionId | None = None) -> tuple[Session, ...]:
        self._all.check()
        mark = _place(self._found(owner, after).session) if after else None
        cells = self._all.sessions.values()
        mine = [cell.session for cell in cells if cell.session.owner == owner.id and not cell.deleted_at]
        newest_first = sorted(mine, key=_place, reverse=True)
        behind = (session for session in newest_first if mark is None or _place(session) < mark)
        return tuple(islice(behind, limit))

    async def messages(
        self, owner: Owner, session: SessionId, limit: int, after: tuple[int, int] | None = None
    ) -> tuple[StoredMessage, ...]:
        self._all.check()
        behind = (
            stored
            for turn in self._found(owner, session).turns
            for stored in _stored(turn)
            if after is None or (stored.seq, stored.position) > after
        )
        return tuple(islice(behind, limit))

    async def rename(self, owner: Owner, session: SessionId, title: str) -> Session:
        self._all.check()
        cell = self._found(owner, session)
        cell.session = replace(cell.session, title=title)
        return cell.session

    async def delete(self, owner: Owner, session: SessionId, at: datetime) -> None:
        self._all.check()
        self._found(owner, session).deleted_at = at

    def _found(self, owner: Owner, session: SessionId) -> SessionCell:
        cell = owned(self._all, owner.id, session)
        if cell is None:
            raise MissingError("no such session")
        return cell


def owned(conversations: InMemoryConversations, owner: OwnerId, session: SessionId) -> SessionCell | None:
    """The session, or None when there is none.

    Raises:
        MissingError: it is another owner's, or was deleted.
    """
    cell = conversations.sessions.get(session)
    if cell and (cell.session.owner != owner or cell.deleted_at):
        raise MissingError("no such session")
    return cell


def _cell(turn: TurnOpened, seq: int) -> TurnCell:
    return TurnCell(turn, seq, [(message, turn.at) for message in turn.messages], turn.lease_until)


def _scope(turn: TurnOpened) -> KeyScope:
    key = turn.idempotency
    return (turn.owner.id, key.route, key.key) if key else (turn.owner.id, "", "")


def _answer(cell: TurnCell) -> Opening:
    turn = cell.opened
    if cell.state == "started":
        return AlreadyRunning(turn.turn)
    outcome = cell.closed.outcome if cell.closed else TurnOutcome()
    return AlreadyFinished(
        TurnRecord(turn.turn, turn.session, turn.persona, turn.revision, cell.state, turn.at, outcome)
    )


def _place(session: Session) -> tuple[datetime, bytes]:
    return session.last_turn_at, session.id.bytes


def _stored(turn: TurnCell) -> tuple[StoredMessage, ...]:
    own = turn.opened.turn
    return tuple(
        StoredMessage(message_id(own, position), own, turn.seq, position, turn.state, message, at)
        for position, (message, at) in enumerate(turn.said)
    )
