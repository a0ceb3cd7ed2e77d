"""The breakers of many models."""

from datetime import timedelta

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_domain.errors import (
    OVERLOADED,
    ProviderError,
    ProviderMalformedError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.models.request import ModelRef
from cozy_domain.routing.breakers import Breakers, open_circuit
from cozy_domain.routing.circuit import FAILURES_TO_OPEN

ONE, OTHER = ModelRef("p", "one"), ModelRef("p", "other")
DOWN = ProviderUnavailableError("down", provider="p")


@pytest.fixture
def clock() -> InMemoryClock:
    return InMemoryClock()


@pytest.fixture
def breakers(clock: InMemoryClock) -> Breakers:
    return Breakers(clock)


def fail(breakers: Breakers, error: ProviderError = DOWN, times: int = FAILURES_TO_OPEN) -> None:
    for _ in range(times):
        breakers.asking(ONE)
        breakers.failed(ONE, error)


@pytest.mark.parametrize("kind", [ProviderTimeoutError, ProviderUnavailableError, ProviderMalformedError])
def test_a_model_that_keeps_failing_is_left_alone_and_others_are_not(
    breakers: Breakers, kind: type[ProviderError]
) -> None:
    fail(breakers, kind("x", provider="p"), FAILURES_TO_OPEN - 1)
    assert breakers.may_be_asked(ONE)
    fail(breakers, kind("x", provider="p"), 1)
    assert not breakers.may_be_asked(ONE)
    assert breakers.may_be_asked(OTHER)


def test_a_provider_that_is_too_busy_for_everybody_is_not_well(breakers: Breakers) -> None:
    fail(breakers, ProviderOverloadedError("x", provider="p", code=OVERLOADED))
    assert not breakers.may_be_asked(ONE)


@pytest.mark.parametrize("kind", [ProviderOverloadedError, ProviderRefusedError])
def test_a_refusal_is_an_answer(breakers: Breakers, kind: type[ProviderError]) -> None:
    fail(breakers, times=FAILURES_TO_OPEN - 1)
    breakers.failed(ONE, kind("x", provider="p"))
    fail(breakers, times=FAILURES_TO_OPEN - 1)
    assert breakers.may_be_asked(ONE)


def test_after_a_while_one_may_probe_and_its_first_word_lets_all_in(
    breakers: Breakers, clock: InMemoryClock
) -> None:
    fail(breakers)
    clock.advance(timedelta(seconds=31))
    assert breakers.may_be_asked(ONE)
    breakers.asking(ONE)
    assert not breakers.may_be_asked(ONE)
    breakers.answers(ONE)
    assert breakers.may_be_asked(ONE)
    assert breakers.states()[ONE].failures == 0


def test_a_first_word_forgives_no_failures_of_a_closed_one(breakers: Breakers) -> None:
    fail(breakers, times=2)
    breakers.answers(ONE)
    assert breakers.states()[ONE].failures == 2


def test_an_open_circuit_says_when_to_come_back() -> None:
    error = open_circuit(ONE)
    assert (error.code, error.retry_after_s, error.provider) == ("provider_circuit_open", 30.0, "p")
