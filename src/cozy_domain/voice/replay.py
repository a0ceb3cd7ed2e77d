"""A recorded call, step by step again: the same events must lead to the same actions, and under another profile it shows
what would have been done otherwise (pure).

A recording is lines of JSON: first `Beginning`, then a `Step` for each event with what was done about it. It holds what was
said, so it is as private as the call.
"""

from collections.abc import Iterable, Iterator

import msgspec

from cozy_domain.errors import InputError
from cozy_domain.voice.events import (
    Action,
    ArmTimer,
    CancelTimer,
    Emit,
    Event,
    RecordLatency,
    SessionUpdated,
    TimerFired,
)
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.session import begin, step
from cozy_domain.voice.state import VoiceSession

VERSION = 1


class Beginning(msgspec.Struct, frozen=True):
    """``at`` in nanoseconds, as in the events."""

    at: int
    profile: VoiceProfile
    version: int = VERSION


class Step(msgspec.Struct, frozen=True):
    event: Event
    actions: tuple[Action, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """At the event ``number`` (from 1) other things were done than were recorded. ``before`` and ``now`` are the actions
    that only one of them has."""

    number: int
    at: int
    event: str
    before: tuple[Action, ...]
    now: tuple[Action, ...]


class Replayed(msgspec.Struct, frozen=True):
    """``steps`` of the recording were gone through, and ``state`` is what they led to. ``unanswered`` events were answers to
    orders that were not given this time, so that from the first difference on the recording is less and less true."""

    steps: int
    differences: tuple[Difference, ...]
    unanswered: int
    state: VoiceSession


_ENCODER = msgspec.json.Encoder()
_BEGINNING = msgspec.json.Decoder(Beginning)
_STEP = msgspec.json.Decoder(Step)


def beginning_line(at: int, profile: VoiceProfile) -> bytes:
    """The first line of a recording, with its end of line."""
    return _ENCODER.encode(Beginning(at, profile)) + b"\n"


def step_line(event: Event, actions: tuple[Action, ...]) -> bytes:
    """The line of a step, with its end of line."""
    return _ENCODER.encode(Step(event, actions)) + b"\n"


def read(lines: Iterable[bytes | str]) -> tuple[Beginning, tuple[Step, ...]]:
    """A recording; a last line that was cut short is left out.

    Raises:
        InputError: ``invalid_recording``, naming the line.
    """
    rows = [it for it in (line.strip() for line in lines) if it]
    if not rows:
        raise _unreadable(1, "the recording is empty")
    try:
        begun = _BEGINNING.decode(rows[0])
    except msgspec.MsgspecError as error:
        raise _unreadable(1, str(error)) from None
    if begun.version != VERSION:
        raise _unreadable(1, f"version {begun.version} is not {VERSION}")
    return begun, tuple(_steps(rows[1:]))


def replay(
    begun: Beginning,
    steps: tuple[Step, ...],
    *,
    profile: VoiceProfile | None = None,
    until_ns: int | None = None,
) -> Replayed:
    """Goes through the events up to ``until_ns`` after the beginning; under another ``profile``, timers fire when that says,
    between the events that were recorded, and recorded ones do not."""
    state, _ = begin(begun.at, profile or begun.profile)
    differences: list[Difference] = []
    ignored = number = 0
    for number, it in enumerate(steps, start=1):
        if until_ns is not None and it.event.at - begun.at > until_ns:
            number -= 1
            break
        before = state
        state, actions = _go_on(state, it.event) if profile else step(state, it.event)
        ignored += state.ignored.stale - before.ignored.stale
        difference = _difference(number, it, actions, whole=profile is None)
        if difference:
            differences.append(difference)
    return Replayed(number, tuple(differences), ignored, state)


def _go_on(state: VoiceSession, event: Event) -> tuple[VoiceSession, tuple[Action, ...]]:
    """Lets the timers fire that are due before ``event``, then tells it, unless it is a timer's itself."""
    done: list[Action] = []
    while due := min((it for it in state.timers if it.due <= event.at), key=lambda it: it.due, default=None):
        state, actions = step(state, TimerFired(due.due, due.timer, due.key, due.epoch))
        done.extend(actions)
    if not isinstance(event, TimerFired | SessionUpdated):
        state, actions = step(state, event)
        done.extend(actions)
    return state, tuple(done)


def _difference(
    number: int, recorded: Step, actions: tuple[Action, ...], *, whole: bool
) -> Difference | None:
    """Under another profile timers, numbers of what is told and latencies differ by themselves: they are left out."""
    old, new = (recorded.actions, actions) if whole else (_weighty(recorded.actions), _weighty(actions))
    if old == new:
        return None
    lost, won = tuple(it for it in old if it not in new), tuple(it for it in new if it not in old)
    tag = str(recorded.event.__struct_config__.tag)
    return Difference(number, recorded.event.at, tag, lost, won)


def _weighty(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    return tuple(it for it in actions if not isinstance(it, ArmTimer | CancelTimer | Emit | RecordLatency))


def _steps(rows: list[bytes] | list[str] | list[bytes | str]) -> Iterator[Step]:
    for number, row in enumerate(rows, start=2):
        try:
            yield _STEP.decode(row)
        except msgspec.DecodeError as error:
            if number == len(rows) + 1 and not isinstance(error, msgspec.ValidationError):
                return
            raise _unreadable(number, str(error)) from None


def _unreadable(number: int, why: str) -> InputError:
    return InputError(
        f"Line {number} of the recording cannot be read: {why}",
        code="invalid_recording",
        param=f"line {number}",
    )
