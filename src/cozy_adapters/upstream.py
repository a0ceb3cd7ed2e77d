"""What adapters of HTTP APIs of models have in common: failures in the domain's words, the wish to be asked later, an
answer from its first byte to the end of its body.

A message names the provider and the status. A provider's own words are handed on only where the request itself is at
fault, since only its author can mend it; there the API key is cut out, should a server have repeated it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import msgspec

from cozy_domain.errors import (
    OVERLOADED,
    ProviderError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from cozy_domain.models.deltas import ModelDelta

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 5.0
"""The only time limit of an adapter (settled question 17)."""
DRAIN_S = 0.05
"""A server ends its body with, or right behind, its last event; a new connection would cost more than this."""
LONGEST_MESSAGE = 500
"""Characters of a provider's own message."""
_CREDENTIAL = frozenset({401, 402, 403})
_PASSING = frozenset({408, 409, 425})
_RATE_LIMITED = 429
_OVERLOADED = 529
"""Anthropic's, and of some gateways: the whole service is too busy, not this caller too eager."""
_SPENT = "insufficient_quota"
_PLAINLY = {"gaierror": "no such host"}
"""Kinds of failures whose names tell nobody anything; this one is the resolver's, after ``getaddrinfo``."""


class Complaint(msgspec.Struct, frozen=True):
    """What the body of a refusal says. ``about_account``: it is our key or account that is minded, whatever the status."""

    message: str | None = None
    code: str | None = None
    param: str | None = None
    about_account: bool = False


def missing(package: str) -> str | None:
    """What to do about an SDK that is not installed, and comes with the extra of its name; None when it is there. Nothing is
    imported."""
    if find_spec(package) is not None:
        return None
    return f"the package '{package}' is not installed; type: pip install 'cozy-engine[{package}]'"


def refusal(
    provider: str, status: int, headers: Mapping[str, str], complaint: Complaint, secret: str
) -> ProviderError:
    """The error of a response whose ``status`` is not 200. ``headers`` ignore case; ``secret`` is the API key."""
    if status in _CREDENTIAL or complaint.about_account:
        return about_account(provider, status, complaint.code)
    if status == 404:
        return ProviderRefusedError(
            f"{provider} does not know this model or address (status 404).",
            provider=provider,
            about="model",
            code=complaint.code or "model_not_found",
        )
    if status in (_RATE_LIMITED, _OVERLOADED):
        return busy(provider, status, retry_after_s(headers))
    if 400 <= status < 500 and status not in _PASSING:
        words = complaint.message or f"{provider} refused the request (status {status})."
        return about_request(provider, words, secret, complaint)
    return ProviderUnavailableError(
        f"{provider} failed (status {status}).", provider=provider, retry_after_s=retry_after_s(headers)
    )


def about_account(provider: str, status: int, code: str | None = None) -> ProviderRefusedError:
    return ProviderRefusedError(
        f"{provider} did not accept our credential or account (status {status}).",
        provider=provider,
        about="credential",
        # Their code would be taken for one about the caller's own key.
        code=code if code == _SPENT else "provider_credential_refused",
        hint=f"An operator has to check the API key of {provider} and what it may use.",
    )


def about_request(provider: str, words: str, secret: str, complaint: Complaint) -> ProviderRefusedError:
    """``words`` are the provider's own, and are handed on."""
    shown = words.replace(secret, "[key]") if secret else words
    return ProviderRefusedError(
        shown[:LONGEST_MESSAGE],
        provider=provider,
        about="request",
        code=complaint.code,
        param=complaint.param,
    )


def busy(
    provider: str, status: int, after_s: float | None = None, *, billed: bool = False
) -> ProviderOverloadedError:
    """``status`` is 429 or 529, or the one that an event in the middle of an answer stands for."""
    return ProviderOverloadedError(
        f"{provider} is busy (status {status}).",
        provider=provider,
        code=OVERLOADED if status == _OVERLOADED else None,
        retry_after_s=after_s,
        billed=billed,
    )


def reason_of(error: BaseException) -> str:
    """The type at the bottom of an error's causes: on top the SDK calls every failed connection a timeout."""
    while isinstance(error.__cause__, Exception):  # a CancelledError is how a TimeoutError comes about
        error = error.__cause__
    return type(error).__name__


def unreachable(provider: str, reason: str) -> ProviderUnavailableError:
    """``reason`` is the kind of failure (``ConnectionResetError``), never its text: that may hold an address with a key."""
    return ProviderUnavailableError(
        f"{provider} cannot be reached ({_PLAINLY.get(reason, reason)}).",
        provider=provider,
        hint=f"Try again later. Whoever runs the server can try the address, models.providers.{provider}.base_url, with "
        "`cozy doctor`.",
    )


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


async def accepted(
    provider: str,
    posting: Awaitable["httpx2.Response"],
    refused: Callable[["httpx2.Response"], ProviderError],
) -> "httpx2.Response":
    """The response to ``posting``, of a status that is a success and with its body unread.

    Raises:
        ProviderError: there is none, or what ``refused`` makes of another status, whose body was read.
    """
    try:
        response = await posting
        if not response.is_success:
            async with aclosing(response):
                await response.aread()
    except transport_errors() as error:
        raise unreachable(provider, reason_of(error)) from error
    if not response.is_success:
        raise refused(response)
    return response


async def body_of(provider: str, response: "httpx2.Response") -> bytes:
    """The whole body of a response that was accepted.

    Raises:
        ProviderError: the connection broke.
    """
    try:
        async with aclosing(response):
            return await response.aread()
    except transport_errors() as error:
        raise broken_off(provider, reason_of(error)) from error


class Events(Protocol):
    """Makes whole events of ``pieces`` of a body."""

    def feed(self, piece: bytes) -> list[bytes]: ...

    def close(self) -> list[bytes]: ...


class Told(Protocol):
    """One answer while it arrives. ``complete`` once nothing that follows matters."""

    complete: bool

    def read(self, event: bytes) -> Iterator[ModelDelta]: ...

    def end(self) -> Iterator[ModelDelta]: ...


async def told(
    provider: str, pieces: AsyncGenerator[bytes, None], events: Events, answer: Told
) -> AsyncGenerator[ModelDelta, None]:
    """What ``answer`` tells of the body.

    Raises:
        ProviderError: the connection broke, or what ``events`` and ``answer`` raise.
    """
    try:
        async for piece in pieces:
            for event in events.feed(piece):
                for delta in answer.read(event):
                    yield delta
            if answer.complete:
                break
    except transport_errors() as error:
        raise broken_off(provider, reason_of(error)) from error
    for event in events.close():
        for delta in answer.read(event):
            yield delta
    for delta in answer.end():
        yield delta
    await drain(pieces)


async def drain(pieces: AsyncGenerator[bytes, None]) -> None:
    """Reads the end of a body, so that the connection can be used again; a server that holds it open is left."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in pieces:
                pass
    except transport_errors():  # TimeoutError is one of them
        pass  # the answer is whole: what becomes of its connection is nobody's error


def transport_errors() -> tuple[type[Exception], ...]:
    """All that reading a socket can raise: the SDKs' aiohttp transport lets some errors through as they are."""
    import aiohttp  # with an SDK, on first use
    import httpx2

    return (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
