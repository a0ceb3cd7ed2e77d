"""A deadline for the store: it answers in time, or it counts as unavailable."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from cozy_domain.errors import StorageUnavailableError

T = TypeVar("T")


class LateStorageError(StorageUnavailableError):
    """The store may still do what it was asked for: nobody waited to see."""


async def stored(work: Awaitable[T], within_s: float) -> T:
    """
    Raises:
        LateStorageError: the store did not answer within ``within_s`` seconds.
    """
    try:
        async with asyncio.timeout(within_s) as deadline:
            return await work
    except TimeoutError:
        if not deadline.expired():
            raise
        raise LateStorageError(f"The store did not answer within {within_s:g} s.") from None
