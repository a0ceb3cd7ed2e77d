"""The breaker, by example and as a state machine against a plain model of its rules."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cozy_domain.routing.circuit import (
    FAILURES_TO_OPEN,
    OPEN_NS,
    Circuit,
    after_failure,
    after_success,
    allows,
    probing,
)


def failed(times: int, now_ns: int = 0) -> Circuit:
    circuit = Circuit()
    for _ in range(times):
        circuit = after_failure(circuit, now_ns)
    return circuit


def test_four_failures_in_a_row_leave_it_closed() -> None:
    assert allows(failed(FAILURES_TO_OPEN - 1), 0)


def test_the_fifth_failure_in_a_row_opens_it_for_thirty_seconds() -> None:
    circuit = failed(5, now_ns=100)
    assert not allows(circuit, 100)
    assert not allows(circuit, 100 + 30_000_000_000 - 1)
    assert allows(circuit, 100 + 30_000_000_000)


def test_a_success_makes_the_count_start_again() -> None:
    circuit = after_success(failed(4))
    for _ in range(4):
        circuit = after_failure(circuit, 0)
    assert allows(circuit, 0)


def test_a_half_open_breaker_lets_one_probe_through() -> None:
    circuit = probing(failed(5), OPEN_NS)
    assert not allows(circuit, OPEN_NS)
    assert not allows(circuit, 2 * OPEN_NS - 1)


def test_a_probe_that_never_reports_frees_its_place() -> None:
    assert allows(probing(failed(5), OPEN_NS), 2 * OPEN_NS)


def test_a_probe_that_succeeds_closes_it() -> None:
    assert after_success(probing(failed(5), OPEN_NS)) == Circuit()


def test_a_probe_that_fails_opens_it_again_and_gives_its_place_back() -> None:
    later = OPEN_NS + 7
    circuit = after_failure(probing(failed(5), OPEN_NS), later)
    assert not allows(circuit, later + OPEN_NS - 1)
    assert allows(circuit, later + OPEN_NS)


def test_failures_of_calls_let_through_before_it_opened_do_not_prolong_the_waiting() -> None:
    circuit = after_failure(failed(5), OPEN_NS - 1)
    assert allows(circuit, OPEN_NS)


def test_calling_while_closed_changes_nothing() -> None:
    assert probing(failed(3), 9) == failed(3)


class Breaker(RuleBasedStateMachine):
    """Callers that come, succeed, fail and vanish at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now_ns = 0
        self.in_a_row = 0
        self.opened_ns: int | None = None
        self.probe_ns: int | None = None
        self.calls = 0

    def is_open(self) -> bool:
        return self.opened_ns is not None and self.now_ns < self.opened_ns + OPEN_NS

    @rule(ns=st.integers(min_value=1, max_value=2 * OPEN_NS))
    def time_passes(self, ns: int) -> None:
        self.now_ns += ns

    @rule()
    @precondition(lambda self: allows(self.circuit, self.now_ns))
    def a_call_starts(self) -> None:
        self.circuit = probing(self.circuit, self.now_ns)
        self.calls += 1
        if self.opened_ns is not None:
            self.probe_ns = self.now_ns

    @rule()
    @precondition(lambda self: self.calls)
    def a_call_succeeds(self) -> None:
        self.circuit = after_success(self.circuit)
        self.calls -= 1
        self.in_a_row, self.opened_ns, self.probe_ns = 0, None, None

    @rule()
    @precondition(lambda self: self.calls)
    def a_call_fails(self) -> None:
        self.circuit = after_failure(self.circuit, self.now_ns)
        self.calls -= 1
        self.in_a_row += 1
        if self.in_a_row >= FAILURES_TO_OPEN and not self.is_open():
            self.opened_ns, self.probe_ns = self.now_ns, None

    @rule()
    @precondition(lambda self: self.calls)
    def a_call_vanishes(self) -> None:
        self.calls -= 1

    @invariant()
    def passes_exactly_when_closed_or_free_for_a_probe(self) -> None:
        probe_out = self.probe_ns is not None and self.now_ns < self.probe_ns + OPEN_NS
        assert allows(self.circuit, self.now_ns) == (not self.is_open() and not probe_out)


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
