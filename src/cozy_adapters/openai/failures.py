"""What a status of a provider means, in the domain's words (pure but for the clock of ``Retry-After`` dates).

A message names the provider and the status. A provider's own words are handed on only where the request itself is at
fault, since only its author can mend it; there the API key is cut out, should a server have repeated it.
"""

from collections.abc import Mapping

import msgspec

from cozy_adapters.upstream import retry_after_s, told
from cozy_domain.errors import (
    ProviderError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)

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


def _about_request(
    provider: str, status: int, complaint: Complaint, code: str | None, secret: str
) -> ProviderRefusedError:
    words = complaint.message or f"{provider} refused the request (status {status})."
    return ProviderRefusedError(
        told(words, secret), provider=provider, about="request", code=code, param=complaint.param
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
