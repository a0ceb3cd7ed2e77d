"""What Anthropic's error object says, in an answer and in the middle of one (pure)."""

from collections.abc import Mapping

import msgspec

from cozy_adapters.anthropic.wire import Event, WireError
from cozy_adapters.upstream import Complaint, about_account, about_request, busy, refusal
from cozy_domain.errors import ProviderError, ProviderUnavailableError

_ACCOUNT = {"authentication_error": 401, "billing_error": 402, "permission_error": 403}
"""Types of errors, and the statuses they stand for (Anthropic, "Errors", read 2026-11)."""
_BUSY = {"rate_limit_error": 429, "overloaded_error": 529}
_REQUEST = "invalid_request_error"
_TOO_LONG = "prompt is too long"
"""How the message of a prompt begins that the model's window does not hold; there is no code for it."""


def refused(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, secret: str
) -> ProviderError:
    """The error of a response whose ``status`` is not 200. ``headers`` ignore case; ``secret`` is the API key."""
    return refusal(provider, status, headers, _complaint(_error(body)), secret)


def broke(provider: str, error: WireError, secret: str, *, begun: bool) -> ProviderError:
    """The error of an event in a stream. ``begun``: an answer was under way, and may be billed."""
    kind = error.type or ""
    if kind in _BUSY:
        return busy(provider, _BUSY[kind], billed=begun)
    if not begun and kind in _ACCOUNT:
        return about_account(provider, _ACCOUNT[kind])
    if not begun and kind == _REQUEST and error.message:
        return about_request(provider, error.message, secret, _complaint(error))
    return ProviderUnavailableError(
        f"{provider} broke off its answer with an error.", provider=provider, billed=begun
    )


def _complaint(error: WireError) -> Complaint:
    too_long = (error.message or "").startswith(_TOO_LONG)
    code = error.details.error_code if error.details else None
    return Complaint(
        error.message,
        "context_length_exceeded" if too_long else code,
        about_account=error.type in _ACCOUNT,
    )


def _error(body: bytes) -> WireError:
    """Anything else than Anthropic's error object, such as a proxy's HTML page, says nothing."""
    try:
        return msgspec.json.decode(body, type=Event).error or WireError()
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return WireError()
