"""Port to stored API keys."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from cozy_domain.access.keys import ApiKey


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
