"""The clocks."""

from datetime import timedelta

import pytest

from cozy_adapters.clock import SystemClock
from cozy_adapters.inmemory.clock import InMemoryClock


def test_the_systems_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta()


def test_the_systems_clock_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic_ns()
    assert clock.monotonic_ns() >= before


def test_a_wound_clock_moves_both_its_times_alike() -> None:
    clock = InMemoryClock()
    start, before = clock.now(), clock.monotonic_ns()
    assert clock.now() == start
    clock.advance(timedelta(seconds=1, microseconds=5))
    assert clock.now() - start == timedelta(seconds=1, microseconds=5)
    assert clock.monotonic_ns() - before == 1_000_005_000


def test_a_wound_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        InMemoryClock().advance(timedelta(seconds=-1))
