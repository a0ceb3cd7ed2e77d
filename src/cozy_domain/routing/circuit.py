"""A breaker: whether a provider or engine that keeps failing is asked at all (pure).

Closed lets everything through. The fifth failure in a row opens it for 30 s, in which nothing passes. Then one caller
at a time may probe: its success closes the breaker, its failure opens it for another 30 s. A caller that was let
through reports ``after_success`` or ``after_failure``, or ``released`` when it was cancelled; a probe that reports none of
them frees its place after another 30 s. The caller keeps one ``Circuit`` for each thing it guards and replaces it by what
these return.
"""

import msgspec
from msgspec.structs import replace

FAILURES_TO_OPEN = 5
"""In a row (settled question 17)."""
OPEN_NS = 30_000_000_000
"""30 s (settled question 17)."""


class Circuit(msgspec.Struct, frozen=True):
    """``failures`` counts those in a row. ``open_until_ns`` is None while closed; it and ``probe_until_ns``, until when
    a probe holds the only place, are on the clock of the ``now_ns`` given below."""

    failures: int = 0
    open_until_ns: int | None = None
    probe_until_ns: int | None = None


def allows(circuit: Circuit, now_ns: int) -> bool:
    """Whether a call may be tried; if so, ``probing`` comes before it is made."""
    if circuit.open_until_ns is None:
        return True
    if now_ns < circuit.open_until_ns:
        return False
    return circuit.probe_until_ns is None or now_ns >= circuit.probe_until_ns


def probing(circuit: Circuit, now_ns: int) -> Circuit:
    """A call is being made: takes the only place of a half-open breaker, and changes nothing of a closed one."""
    if circuit.open_until_ns is None:
        return circuit
    return replace(circuit, probe_until_ns=now_ns + OPEN_NS)


def after_success(circuit: Circuit) -> Circuit:
    """Closed, whatever it was: also a call that was let through before it opened proves that the other side answers."""
    return replace(circuit, failures=0, open_until_ns=None, probe_until_ns=None)


def released(circuit: Circuit) -> Circuit:
    """The call came to no end that says anything: it was cancelled. Another may probe."""
    return replace(circuit, probe_until_ns=None)


def after_failure(circuit: Circuit, now_ns: int) -> Circuit:
    """One more failure. Those of calls let through before it opened do not prolong the waiting."""
    failures = circuit.failures + 1
    if circuit.open_until_ns is not None and now_ns < circuit.open_until_ns:
        return replace(circuit, failures=failures)
    if failures < FAILURES_TO_OPEN:
        return Circuit(failures=failures)
    return Circuit(failures=failures, open_until_ns=now_ns + OPEN_NS)
