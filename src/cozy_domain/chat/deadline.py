"""A deadline for the store: it answers in time, or it counts as unavailable."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from cozy_domain.errors import StorageUnavailableError

T = TypeVar("T")


async def stored(work: Awaitable[T], within_s: float) -> T:
    """
    Raises:
        StorageUnavailableError: the store did not answer ``within_s`` seconds.
    """
    try:
        async with asyncio.timeout(within_s) as deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
        raise StorageUnavailableError(f"The store did not answer within {within_s:g} s.") from None
