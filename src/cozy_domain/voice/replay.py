"""A recorded call, step by step again: the same events must lead to the same actions, and under another profile it shows
what would have been done otherwise (pure).

A recording is lines of JSON: first `Beginning`, then a `Step` for each event with what was done about it. It holds what was
said, so it is as private as the call.
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from cozy_domain.errors import InputError
from cozy_domain.voice.events import (
    Action,
    ArmTimer,
    CancelTimer,
    Emit,
    Event,
    RecordLatency,
    SessionUpdated,
    Timer,
    TimerFired,
)
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.session import begin, step
from cozy_domain.voice.state import Armed, VoiceSession

VERSION = 1


class Beginning(msgspec.Struct, frozen=True):
    """``at`` in nanoseconds, as in the events."""

    at: int
    profile: VoiceProfile
    version: int = VERSION


class Step(msgspec.Struct, frozen=True):
    event: Event
    actions: tuple[Action, ...] = ()


class Done(msgspec.Struct, frozen=True):
    """``at`` in nanoseconds, as in the events."""

    at: int
    action: Action


class Difference(msgspec.Struct, frozen=True):
    """At the event ``number`` (from 1), or since the one before it, other things were done than were recorded, or at another
    time. ``before`` and ``now`` are what only one of them has."""

    number: int
    at: int
    event: str
    before: tuple[Done, ...]
    now: tuple[Done, ...]


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
    timers = _Timers(begun, steps)
    end = None if until_ns is None else begun.at + until_ns
    differences: list[Difference] = []
    now, gone = begun.at, 0
    for number, it in enumerate(steps, start=1):
        reached = end is None or it.event.at <= end
        event: Event | None = it.event if reached else None
        done: tuple[Done, ...] = ()
        if profile:
            until = it.event.at if end is None else min(it.event.at, end)
            state, done = timers.wait(state, number, now, until)
            event = timers.own(event, state)
        if event:
            state, actions = step(state, event)
            done += _done(event.at, actions)
        recorded = _done(it.event.at, it.actions) if reached else ()
        differences.extend(_difference(number, it.event, recorded, done, whole=profile is None))
        if not reached:
            break
        now, gone = it.event.at, number
    return Replayed(gone, tuple(differences), state.ignored.stale, state)


_Order = tuple[Timer, int, int]
"""A timer, its key and when it is due: what an order has in common with the same one under another profile."""


class _Timers:
    """The timers of a recording. One that is armed alike under another profile goes off when it did, a little late, so that
    only what the profile changes is a difference."""

    def __init__(self, begun: Beginning, steps: tuple[Step, ...]) -> None:
        _, actions = begin(begun.at, begun.profile)
        self._orders = {
            (it.timer, it.key, it.epoch): (it.timer, it.key, it.due)
            for it in (*actions, *(it for row in steps for it in row.actions))
            if isinstance(it, ArmTimer)
        }
        self._over: dict[_Order | None, int] = {}
        """At which event it fired or was cancelled."""
        for number, row in enumerate(steps, start=1):
            for it in (row.event, *row.actions):
                if isinstance(it, TimerFired | CancelTimer):
                    self._over[self._order(it)] = number

    def wait(
        self, state: VoiceSession, number: int, now: int, until: int
    ) -> tuple[VoiceSession, tuple[Done, ...]]:
        """Time goes on from ``now``; what is due on the way fires, unless that is left to the event ``number`` or later."""
        done: tuple[Done, ...] = ()
        while first := min(
            (it for it in state.timers if it.due <= until and not self._is_held(it, number)),
            key=lambda it: it.due,
            default=None,
        ):
            now = max(now, first.due)
            state, actions = step(state, TimerFired(now, first.timer, first.key, first.epoch))
            done += _done(now, actions)
        return state, done

    def own(self, event: Event | None, state: VoiceSession) -> Event | None:
        """The event as it comes to ``state``: None if it does not."""
        if not isinstance(event, TimerFired):
            return None if isinstance(event, SessionUpdated) else event
        order = self._order(event)
        armed = (it for it in state.timers if (it.timer, it.key, it.due) == order)
        return next((replace(event, epoch=it.epoch) for it in armed), None)

    def _is_held(self, armed: Armed, number: int) -> bool:
        return self._over.get((armed.timer, armed.key, armed.due), 0) >= number

    def _order(self, it: TimerFired | CancelTimer) -> _Order | None:
        return self._orders.get((it.timer, it.key, it.epoch))


def _done(at: int, actions: tuple[Action, ...]) -> tuple[Done, ...]:
    return tuple(Done(at, it) for it in actions)


def _difference(
    number: int, event: Event, old: tuple[Done, ...], new: tuple[Done, ...], *, whole: bool
) -> Iterator[Difference]:
    """Under another profile timers, numbers of what is told and latencies differ by themselves: they are left out."""
    if not whole:
        old, new = _weighty(old), _weighty(new)
    if old != new:
        lost, won = tuple(it for it in old if it not in new), tuple(it for it in new if it not in old)
        yield Difference(number, event.at, str(event.__struct_config__.tag), lost, won)


def _weighty(done: tuple[Done, ...]) -> tuple[Done, ...]:
    return tuple(
        it for it in done if not isinstance(it.action, ArmTimer | CancelTimer | Emit | RecordLatency)
    )


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
