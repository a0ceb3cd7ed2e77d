"""What went wrong with a provider, in the domain's words (pure but for the clock of ``Retry-After`` dates).

A message names the provider and the status. A provider's own words are handed on only where the request itself is at
fault, since only its author can mend it; there the API key is cut out, should a server have repeated it.
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from cozy_domain.errors import (
    ProviderError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)

LONGEST_MESSAGE = 500
"""Characters of a provider's own message."""
_CREDENTIAL = frozenset({401, 402, 403})
_SPENT = "insufficient_quota"
_ABOUT_US = frozenset({_SPENT, "invalid_api_key"})
"""Codes that some servers send with another status."""
_BUSY = frozenset({429, 529})
_PASSING = frozenset({408, 409, 425})


class Complaint(msgspec.Struct, frozen=True):
    message: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Body(msgspec.Struct, frozen=True):
    error: Complaint | str | None = None


def refused(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, secret: str
) -> ProviderError:
    """The error of a response whose ``status`` is not 200. ``headers`` ignore case; ``secret`` is the API key."""
    complaint = _complaint(body)
    code = str(complaint.code) if complaint.code is not None else None
    if status in _CREDENTIAL or code in _ABOUT_US:
        return ProviderRefusedError(
            f"{provider} did not accept our credential or account (status {status}).",
            provider=provider,
            about="credential",
            # Their code would be taken for one about the caller's own key.
            code=code if code == _SPENT else "provider_credential_refused",
            hint=f"An operator has to check the API key of {provider} and what it may use.",
        )
    if status == 404:
        return ProviderRefusedError(
            f"{provider} does not know this model or address (status 404).",
            provider=provider,
            about="model",
            code=code or "model_not_found",
        )
    if status in _BUSY:
        return ProviderOverloadedError(
            f"{provider} is busy (status {status}).", provider=provider, retry_after_s=retry_after_s(headers)
        )
    if 400 <= status < 500 and status not in _PASSING:
        return _about_request(provider, status, complaint, code, secret)
    return ProviderUnavailableError(
        f"{provider} failed (status {status}).", provider=provider, retry_after_s=retry_after_s(headers)
    )


def reason_of(error: BaseException) -> str:
    """The type at the bottom of an error's causes: on top the SDK calls every failed connection a timeout."""
    while isinstance(error.__cause__, Exception):  # a CancelledError is how a TimeoutError comes about
        error = error.__cause__
    return type(error).__name__


def unreachable(provider: str, reason: str) -> ProviderUnavailableError:
    """``reason`` is the kind of failure (``ConnectionResetError``), never its text: that may hold an address with a key."""
    return ProviderUnavailableError(f"{provider} cannot be reached ({reason}).", provider=provider)


def broken_off(provider: str, reason: str) -> ProviderUnavailableError:
    """The connection failed after the answer had begun."""
    return ProviderUnavailableError(
        f"The connection to {provider} broke in the middle of its answer ({reason}).",
        provider=provider,
        billed=True,
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the provider wants to be asked again, >= 0: ``retry-after-ms``, else ``retry-after`` as a number or a
    date (RFC 9110, section 10.2.3)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _about_request(
    provider: str, status: int, complaint: Complaint, code: str | None, secret: str
) -> ProviderRefusedError:
    words = complaint.message or f"{provider} refused the request (status {status})."
    if secret:
        words = words.replace(secret, "[key]")
    return ProviderRefusedError(
        words[:LONGEST_MESSAGE], provider=provider, about="request", code=code, param=complaint.param
    )


def _complaint(body: bytes) -> Complaint:
    """OpenAI's error object; anything else, such as a proxy's HTML page, says nothing."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return Complaint()
    if isinstance(error, str):
        return Complaint(message=error)
    return error or Complaint()


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
