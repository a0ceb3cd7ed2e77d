"""What a failure of a provider is called."""

import asyncio
from itertools import pairwise

from cozy_adapters.openai.failures import reason_of


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
