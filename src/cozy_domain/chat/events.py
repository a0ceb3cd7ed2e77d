"""What a turn streams to its caller.

Order: ``TurnStarted``, then deltas, ``ToolBegan`` and ``ToolRan`` as they come, then ``TurnEnded``, which means: it is
stored. A turn that fails raises from the iterator instead of ending.
"""

from datetime import datetime

import msgspec

from cozy_domain.ids import SessionId, TurnId
from cozy_domain.models.deltas import ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from cozy_domain.sessions.session import PersonaPin
from cozy_domain.sessions.turn import TurnOutcome, TurnState


class TurnStarted(msgspec.Struct, frozen=True, tag="turn_started"):
    """Comes with the model's first delta, not before: until then a failure still has its own status."""

    turn: TurnId
    session: SessionId | None
    pin: PersonaPin
    at: datetime


class ToolBegan(msgspec.Struct, frozen=True, tag="tool_began"):
    """A tool of the server begins to run; ``ToolRan`` with the same ``call`` follows, unless the turn ends before.
    ``cancel_on_barge_in`` as in the persona's ``tools``."""

    call: str
    name: str
    cancel_on_barge_in: bool = False


class ToolRan(msgspec.Struct, frozen=True, tag="tool_ran"):
    """A tool of the server has run; for display only. ``arguments`` is the model's JSON text, which may be invalid, and
    ``call`` its name of the call."""

    name: str
    outcome: str
    duration_ms: int
    arguments: str = ""
    call: str = ""


class AnswerWritten(msgspec.Struct, frozen=True, tag="answer_written"):
    """Only with spoken delivery: the model has finished, and the turn waits to be told what was heard."""


class TurnEnded(msgspec.Struct, frozen=True, tag="turn_ended"):
    state: TurnState
    outcome: TurnOutcome


ChatEvent = (
    TurnStarted
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ToolCallDelta
    | ToolBegan
    | ToolRan
    | AnswerWritten
    | TurnEnded
)
"""The deltas are the model's own; a ``ReasoningDelta`` is for display only. A ``ToolCallDelta`` here is always one of the
client's tools, with ``index`` counted over the client's calls of the turn."""
