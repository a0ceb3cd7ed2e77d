"""The walk through calls, longer, and another one each time."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.domain.voice.test_invariants import CallMachine, assert_it_went_everywhere

WALKS = 5_000
"""Three minutes of one core; the walks of the unit tests are 400, always the same. One that fails is made shorter for
five minutes more at most, which is what Hypothesis takes for one failure: it looks for no second one."""


def test_the_invariants_of_a_call_hold_in_long_walks() -> None:
    walk = settings(
        max_examples=WALKS,
        stateful_step_count=60,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(CallMachine, settings=walk)
    assert_it_went_everywhere()
