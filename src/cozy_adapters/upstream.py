"""What every adapter of a provider's HTTP API has to do with the way there: failures of the connection in the domain's
words, the wish to be asked later, the end of a body.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from email.utils import parsedate_to_datetime

from cozy_domain.errors import ProviderUnavailableError

CONNECT_S = 5.0
"""The only time limit of an adapter (settled question 17)."""
DRAIN_S = 0.05
"""A server ends its body with, or right behind, its last event; a new connection would cost more than this."""
LONGEST_MESSAGE = 500
"""Characters of a provider's own message."""


def told(words: str, secret: str) -> str:
    """A provider's own words, as far as they may be handed on; ``secret`` is the API key."""
    return (words.replace(secret, "[key]") if secret else words)[:LONGEST_MESSAGE]


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
