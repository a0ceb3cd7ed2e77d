"""A conversation."""

from datetime import datetime, timedelta
from uuid import UUID, uuid5

import msgspec

from cozy_domain.ids import OwnerId, PersonaId, SessionId, TurnId
from cozy_domain.messages import AssistantMessage, Message
from cozy_domain.sessions.turn import TurnState

EPOCH_IDLE = timedelta(hours=1)
"""A session keeps its persona's revision until it was idle for so long."""


class PersonaPin(msgspec.Struct, frozen=True):
    """Which persona, in which revision (from 1), speaks."""

    persona: PersonaId
    revision: int


class Session(msgspec.Struct, frozen=True):
    """``history_from`` is the ``seq`` of the first turn that still stands in the prompt; older ones were cut off."""

    id: SessionId
    owner: OwnerId
    pin: PersonaPin
    created_at: datetime
    last_turn_at: datetime
    title: str | None = None
    message_count: int = 0
    history_from: int = 0


class PastTurn(msgspec.Struct, frozen=True):
    """A finished turn of a session: everything said in it, in order, tool calls and results included."""

    turn: TurnId
    seq: int
    state: TurnState
    messages: tuple[Message, ...]


class StoredMessage(msgspec.Struct, frozen=True):
    """One message as an owner sees it in a session. ``position`` counts within the turn, from 0."""

    id: UUID
    turn: TurnId
    seq: int
    position: int
    state: TurnState
    message: Message
    at: datetime


def message_id(turn: TurnId, position: int) -> UUID:
    """The id of the message at ``position`` (from 0) of ``turn``: always the same, so it need not be stored."""
    return uuid5(turn, str(position))


def last_round(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """From the last assistant message that calls tools to the end; empty when none does."""
    for start in reversed(range(len(messages))):
        message = messages[start]
        if isinstance(message, AssistantMessage) and message.tool_calls:
            return messages[start:]
    return ()
