"""The first engine that is well is asked."""

from datetime import timedelta

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_domain.errors import ProviderRefusedError, ProviderTimeoutError
from cozy_domain.routing.circuit import FAILURES_TO_OPEN
from cozy_domain.routing.switchover import Named, Switchover

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


def test_one_that_keeps_failing_is_left_alone_until_its_time_has_passed() -> None:
    clock = InMemoryClock()
    engines = two(clock)
    for _ in range(FAILURES_TO_OPEN):
        assert engines.failed("a", FAILURE)
    assert names(engines) == ["b"]
    clock.advance(timedelta(seconds=30))
    assert names(engines) == ["a", "b"]
    assert names(engines) == ["b"]  # one probe at a time
    engines.succeeded("a")
    assert names(engines) == ["a", "b"]
    assert engines.circuits()["a"].failures == 0


def test_a_refused_request_is_no_failure_and_no_reason_to_ask_another() -> None:
    engines = two()
    for _ in range(FAILURES_TO_OPEN):
        assert not engines.failed("a", ProviderRefusedError("no", provider="a"))
    assert names(engines) == ["a", "b"]


def test_a_refused_credential_is_a_failure() -> None:
    assert two().failed("a", ProviderRefusedError("no", provider="a", about="credential"))


def test_nobody_to_ask_is_told_apart_from_everybody_failing() -> None:
    assert two().none_left().code == "provider_circuit_open"
    assert two().none_left().retry_after_s == 30.0
    assert Switchover[int]("voice", (), CLOCK).none_left().code == "not_configured"


def test_its_engines_can_be_looked_at() -> None:
    assert [it.engine for it in two().engines] == [1, 2]
