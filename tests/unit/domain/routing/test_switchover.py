"""The first engine that is well is asked."""

from asyncio import CancelledError
from contextlib import suppress
from datetime import timedelta

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_domain.errors import (
    OVERLOADED,
    CozyError,
    InputError,
    ProviderMalformedError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.routing.circuit import FAILURES_TO_OPEN
from cozy_domain.routing.switchover import Named, Switchover, is_worth_another

CLOCK = InMemoryClock()
FAILURE = ProviderTimeoutError("late", provider="a")


def two(clock: InMemoryClock = CLOCK) -> Switchover[int]:
    return Switchover("voice", (Named("a", 1), Named("b", 2)), clock)


def names(engines: Switchover[int], wanted: str | None = None) -> list[str]:
    return [it.name for it in engines.candidates(wanted)]


def test_engines_are_tried_in_the_order_configured() -> None:
    assert names(two()) == ["a", "b"]


def test_the_one_asked_for_comes_first() -> None:
    assert names(two(), "b") == ["b", "a"]
    assert names(two(), "nobody") == ["a", "b"]


def test_one_that_is_not_eligible_is_not_taken_for_a_probe() -> None:
    clock = InMemoryClock()
    engines = two(clock)
    fail(engines)
    clock.advance(timedelta(seconds=30))
    assert [it.name for it in engines.candidates(among={"b"})] == ["b"]
    assert names(engines) == ["a", "b"]


def call(engines: Switchover[int], error: BaseException | None = None) -> None:
    """One call of ``a``."""
    with suppress(BaseException), engines.trying(Named("a", 1)):
        if error:
            raise error


def fail(engines: Switchover[int], error: BaseException = FAILURE) -> None:
    for _ in range(FAILURES_TO_OPEN):
        call(engines, error)


def test_one_that_keeps_failing_is_left_alone_until_its_time_has_passed() -> None:
    clock = InMemoryClock()
    engines = two(clock)
    fail(engines)
    assert names(engines) == ["b"]
    clock.advance(timedelta(seconds=30))
    assert names(engines) == ["a", "b"]
    assert names(engines) == ["b"]  # one probe at a time
    call(engines)
    assert names(engines) == ["a", "b"]
    assert engines.circuits()["a"].failures == 0


def test_a_probe_that_is_cancelled_leaves_its_place_and_one_whose_input_is_refused_is_an_answer() -> None:
    clock = InMemoryClock()
    engines = two(clock)
    fail(engines)
    clock.advance(timedelta(seconds=30))
    assert names(engines) == ["a", "b"]
    call(engines, CancelledError())
    assert names(engines) == ["a", "b"]
    call(engines, InputError("no such voice"))
    assert names(engines) == ["a", "b"]
    assert engines.circuits()["a"].open_until_ns is None


@pytest.mark.parametrize(
    "answer",
    [
        ProviderRefusedError("no", provider="a"),
        ProviderRefusedError("no", provider="a", about="credential"),
        ProviderOverloadedError("too many", provider="a"),
        InputError("no such voice"),
    ],
)
def test_a_refusal_and_a_rate_limit_are_answers(answer: CozyError) -> None:
    engines = two()
    fail(engines, answer)
    assert names(engines) == ["a", "b"]


@pytest.mark.parametrize(
    "failure",
    [
        ProviderTimeoutError("late", provider="a"),
        ProviderUnavailableError("down", provider="a"),
        ProviderMalformedError("odd", provider="a"),
        ProviderOverloadedError("busy", provider="a", code=OVERLOADED),
    ],
)
def test_what_says_that_it_is_not_well_counts(failure: CozyError) -> None:
    engines = two()
    fail(engines, failure)
    assert names(engines) == ["b"]


def test_only_what_one_refuses_of_the_request_would_be_refused_by_others_too() -> None:
    assert not is_worth_another(ProviderRefusedError("no", provider="a"))
    assert is_worth_another(ProviderRefusedError("no", provider="a", about="credential"))
    assert is_worth_another(FAILURE)


def test_nobody_to_ask_is_told_apart_from_everybody_failing() -> None:
    assert two().none_left().code == "provider_circuit_open"
    assert two().none_left().retry_after_s == 30.0
    assert Switchover[int]("voice", (), CLOCK).none_left().code == "not_configured"


def test_its_engines_can_be_looked_at() -> None:
    assert [it.engine for it in two().engines] == [1, 2]
