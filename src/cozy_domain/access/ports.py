"""Ports to stored API keys, and to what is used up of the limits."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from cozy_domain.access.keys import ApiKey
from cozy_domain.access.limits import Admission, Claim


class KeyStore(Protocol):
    """API keys without their secrets. Every method raises ``StorageUnavailableError`` when the store does not answer."""

    async def add(self, key: ApiKey) -> None:
        """
        Raises:
            StorageConflictError: its ``prefix`` is taken.
        """
        ...

    async def find(self, prefix: str) -> ApiKey | None:
        """The key with that public prefix, revoked or not."""
        ...

    async def list(self) -> tuple[ApiKey, ...]:
        """All keys, oldest first."""
        ...

    async def revoke(self, key: UUID, at: datetime) -> None:
        """Ends the key; one already revoked keeps its time.

        Raises:
            MissingError: no such key.
        """
        ...


class LimitStore(Protocol):
    """How much of each limit is used up, for all processes that share it."""

    async def take(self, claims: tuple[Claim, ...]) -> Admission:
        """Counts one request in each of the claims' buckets, or in none if one of them refuses: atomic, whoever else asks.

        A bucket is made by its first claim and forgotten when it is full. The ``key``s of ``claims`` differ. Not
        idempotent; after an error it may have counted.

        Raises:
            StorageUnavailableError: the store does not answer, or cannot write.
        """
        ...
