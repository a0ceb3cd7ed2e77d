"""What OpenAI's error object says (pure)."""

from collections.abc import Mapping

import msgspec

from cozy_adapters.upstream import Complaint, refusal
from cozy_domain.errors import ProviderError

_ABOUT_US = frozenset({"insufficient_quota", "invalid_api_key"})
"""Codes that some servers send with another status."""


class _Error(msgspec.Struct, frozen=True):
    message: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Body(msgspec.Struct, frozen=True):
    error: _Error | str | None = None


def refused(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, secret: str
) -> ProviderError:
    """The error of a response whose ``status`` is not 200. ``headers`` ignore case; ``secret`` is the API key."""
    return refusal(provider, status, headers, _complaint(body), secret)


def _complaint(body: bytes) -> Complaint:
    """Anything else than OpenAI's error object, such as a proxy's HTML page, says nothing."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return Complaint()
    if isinstance(error, str):
        return Complaint(message=error)
    if error is None:
        return Complaint()
    code = None if error.code is None else str(error.code)
    return Complaint(error.message, code, error.param, about_account=code in _ABOUT_US)
