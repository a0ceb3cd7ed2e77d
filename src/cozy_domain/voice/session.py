"""One call, as a pure state machine: ``step(state, event) -> (state, actions)``.

What lives here: the whole of a call's state and which region decides about what. What never lives here: clocks, tasks,
sockets, sound, chance. Time rides on the events; waiting is an ``ArmTimer`` out and a ``TimerFired`` in. Every event is
allowed in every state: what does not fit is ignored and counted.
"""

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from cozy_domain.voice.events import (
    Action,
    ArmTimer,
    CancelTimer,
    CloseRequested,
    CloseSession,
    Emit,
    Event,
    MediaConnected,
    Timer,
    TimerFired,
)
from cozy_domain.voice.policy import DEFAULT, VoiceProfile
from cozy_domain.voice.public import SessionActive, SessionClosed


class Phase(StrEnum):
    CONNECTING = "connecting"
    ACTIVE = "active"
    CLOSED = "closed"


class VoiceSession(msgspec.Struct, frozen=True):
    """``ignored`` counts events that did not fit."""

    profile: VoiceProfile
    phase: Phase = Phase.CONNECTING
    seq: int = 0
    ignored: int = 0


def begin(at: int, profile: VoiceProfile = DEFAULT) -> tuple[VoiceSession, tuple[Action, ...]]:
    """A call that waits for its line, and what to do first. ``at`` in nanoseconds."""
    return VoiceSession(profile), (ArmTimer(Timer.CONNECT, 0, 1, at + profile.watchdogs.connect_ns),)


def step(state: VoiceSession, event: Event) -> tuple[VoiceSession, tuple[Action, ...]]:
    """The state after ``event``, and what to do, in order. Raises nothing."""
    match state.phase, event:
        case Phase.CONNECTING, MediaConnected():
            told = Emit(state.seq + 1, SessionActive(resumed=False))
            return replace(state, phase=Phase.ACTIVE, seq=told.seq), (CancelTimer(Timer.CONNECT, 0, 1), told)
        case Phase.CONNECTING, TimerFired(timer=Timer.CONNECT):
            return _closed(state, "connect_timeout")
        case ((Phase.CONNECTING | Phase.ACTIVE), CloseRequested(reason=reason)):
            after, actions = _closed(state, reason)
            waits = state.phase is Phase.CONNECTING
            return after, ((CancelTimer(Timer.CONNECT, 0, 1), *actions) if waits else actions)
    return replace(state, ignored=state.ignored + 1), ()


def _closed(state: VoiceSession, reason: str) -> tuple[VoiceSession, tuple[Action, ...]]:
    told = Emit(state.seq + 1, SessionClosed(reason))
    return replace(state, phase=Phase.CLOSED, seq=told.seq), (told, CloseSession(reason))
