"""What a failure of a provider is called."""

import asyncio
import json
from itertools import pairwise

import pytest

from cozy_adapters.openai.failures import refused
from cozy_adapters.upstream import reason_of
from cozy_domain.errors import ProviderRefusedError


def caused(*errors: BaseException) -> BaseException:
    """The first of ``errors``, each caused by the next."""
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def test_the_innermost_cause_is_named() -> None:
    assert reason_of(caused(RuntimeError("Request timed out."), OSError(), ConnectionResetError())) == (
        "ConnectionResetError"
    )


def test_an_error_without_a_cause_is_its_own_reason() -> None:
    assert reason_of(ValueError()) == "ValueError"


def test_a_timeout_is_not_told_as_the_cancellation_that_it_is_made_of() -> None:
    assert reason_of(caused(RuntimeError(), TimeoutError(), asyncio.CancelledError())) == "TimeoutError"


def test_what_was_handled_meanwhile_is_no_cause() -> None:
    error = RuntimeError()
    error.__context__ = KeyError()
    assert reason_of(error) == "RuntimeError"


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, "insufficient_quota", "insufficient_quota"),
        (429, "insufficient_quota", "insufficient_quota"),
        (400, "invalid_api_key", "provider_credential_refused"),
        (403, "unsupported_country_region_territory", "provider_credential_refused"),
        (402, None, "provider_credential_refused"),
    ],
)
def test_what_is_wrong_with_our_account_is_told_in_our_own_code(
    status: int, code: str | None, told: str
) -> None:
    body = json.dumps({"error": {"message": "no", "code": code}}).encode()
    error = refused("p", status, {}, body, "")
    assert isinstance(error, ProviderRefusedError)
    assert (error.about, error.code) == ("credential", told)
