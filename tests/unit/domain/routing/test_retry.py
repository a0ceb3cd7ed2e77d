"""One retry, in the whole chain, before the first byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.errors import (
    ProviderError,
    ProviderMalformedError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.routing.retry import LONGEST_WAIT_S, GiveUp, NextModel, RetrySame, decide


def busy(after_s: float | None) -> ProviderError:
    return ProviderOverloadedError("busy", provider="p", retry_after_s=after_s)


def gone(after_s: float | None = None, *, billed: bool = False) -> ProviderError:
    return ProviderUnavailableError("gone", provider="p", retry_after_s=after_s, billed=billed)


SILENT = ProviderTimeoutError("silent", provider="p")
GARBLED = ProviderMalformedError("garbled", provider="p", billed=True)


@pytest.mark.parametrize("others_left", [True, False])
def test_a_refused_request_is_never_asked_again(others_left: bool) -> None:
    error = ProviderRefusedError("no", provider="p")
    assert decide(error, retried=False, others_left=others_left) == GiveUp()


@pytest.mark.parametrize("about", ["credential", "model"])
def test_a_refused_credential_or_model_sends_on_to_the_next(about: str) -> None:
    error = ProviderRefusedError("no", provider="p", about=about)  # type: ignore[arg-type]  # parametrised
    assert decide(error, retried=False, others_left=True) == NextModel()
    assert decide(error, retried=False, others_left=False) == GiveUp()


@pytest.mark.parametrize(("wish_s", "wait_s"), [(0.0, 0.0), (7.5, 7.5), (20.0, 20.0), (None, 1.0)])
def test_an_overloaded_last_model_is_waited_for_as_long_as_it_wishes(
    wish_s: float | None, wait_s: float
) -> None:
    assert decide(busy(wish_s), retried=False, others_left=False) == RetrySame(wait_s)


def test_a_wish_beyond_twenty_seconds_is_passed_on() -> None:
    assert decide(busy(20.1), retried=False, others_left=False) == GiveUp()


def test_an_overloaded_model_is_left_at_once_for_another() -> None:
    assert decide(busy(1), retried=False, others_left=True) == NextModel()


def test_an_unreachable_model_is_tried_once_more_even_if_another_is_left() -> None:
    assert decide(gone(), retried=False, others_left=True) == RetrySame(0.25)
    assert decide(gone(), retried=True, others_left=True) == NextModel()
    assert decide(gone(), retried=True, others_left=False) == GiveUp()


def test_an_unreachable_model_that_asks_for_time_is_left_for_another() -> None:
    assert decide(gone(5), retried=False, others_left=True) == NextModel()
    assert decide(gone(5), retried=False, others_left=False) == RetrySame(5)


@pytest.mark.parametrize("error", [SILENT, GARBLED, gone(billed=True)])
def test_what_may_have_been_billed_is_not_asked_of_the_same_model_again(error: ProviderError) -> None:
    assert decide(error, retried=False, others_left=True) == NextModel()
    assert decide(error, retried=False, others_left=False) == GiveUp()


kinds = st.sampled_from(
    [
        ProviderTimeoutError,
        ProviderUnavailableError,
        ProviderOverloadedError,
        ProviderMalformedError,
    ]
)
errors = st.builds(
    lambda kind, after_s, billed: kind("no", provider="p", retry_after_s=after_s, billed=billed),
    kinds,
    st.none() | st.floats(min_value=0, max_value=200),
    st.booleans(),
)


@given(error=errors, retried=st.booleans(), others_left=st.booleans())
def test_every_chain_ends(error: ProviderError, retried: bool, others_left: bool) -> None:
    match decide(error, retried=retried, others_left=others_left):
        case RetrySame(after_s=wait_s):
            assert not retried
            assert 0 <= wait_s <= LONGEST_WAIT_S
        case NextModel():
            assert others_left
        case GiveUp():
            assert not others_left
