"""Rows to values and back, where more than one store needs it."""

from datetime import datetime

import msgspec
from sqlalchemy import bindparam, case, insert

from cozy_adapters.sql.engine import Row, Statement, Transaction
from cozy_adapters.sql.tables import messages, sessions
from cozy_adapters.sql.types import Instant
from cozy_domain.ids import TurnId
from cozy_domain.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage
from cozy_domain.sessions.session import PersonaPin, Session

_ENCODE = msgspec.json.Encoder().encode
_ROLES = {SystemMessage: "system", UserMessage: "user", AssistantMessage: "assistant", ToolMessage: "tool"}

message_from = msgspec.json.Decoder(Message).decode
"""The message in a ``body``."""

SESSION_COLUMNS = (
    sessions.c.id,
    sessions.c.owner,
    sessions.c.persona,
    sessions.c.revision,
    sessions.c.created_at,
    sessions.c.last_turn_at,
    sessions.c.title,
    sessions.c.message_count,
    sessions.c.history_from,
)


_last_turn_at = bindparam("last_turn_at_", type_=Instant)
LATER = case((sessions.c.last_turn_at < _last_turn_at, _last_turn_at), else_=sessions.c.last_turn_at)
COUNT = sessions.c.message_count + bindparam("added")
_INSERT_MESSAGE = Statement(insert(messages))


def session_from(row: Row) -> Session:
    id, owner, persona, revision, *rest = row
    return Session(id, owner, PersonaPin(persona, revision), *rest)


def body_of(value: object) -> str:
    """A value as JSON text."""
    return _ENCODE(value).decode()


def calls_key(calls: tuple[str, ...]) -> str:
    """The same for the same calls in any order."""
    return body_of(sorted(set(calls)))


def say(turn: TurnId, start: int, said: tuple[Message, ...], at: datetime) -> Transaction[None]:
    """Part of a transaction: the messages of a turn, from position ``start`` on."""
    for position, message in enumerate(said, start):
        yield _INSERT_MESSAGE(
            turn=turn, position=position, role=_ROLES[type(message)], body=body_of(message), at=at
        )
