"""The walk through calls, longer, and another one each time."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.domain.voice.test_invariants import CallMachine

WALKS = 5_000
"""Some four minutes of one core; the walks of the unit tests are 200, always the same."""


def test_the_invariants_of_a_call_hold_in_long_walks() -> None:
    walk = settings(
        max_examples=WALKS,
        stateful_step_count=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(CallMachine, settings=walk)
