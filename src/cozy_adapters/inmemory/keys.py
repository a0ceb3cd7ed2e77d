"""API keys in memory."""

from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from cozy_domain.access.keys import ApiKey
from cozy_domain.errors import MissingError, StorageConflictError


class InMemoryKeyStore:
    def __init__(self) -> None:
        self._keys: dict[UUID, ApiKey] = {}

    async def add(self, key: ApiKey) -> None:
        if key.id in self._keys or await self.find(key.prefix):
            raise StorageConflictError("an API key with this prefix exists")
        self._keys[key.id] = key

    async def find(self, prefix: str) -> ApiKey | None:
        return next((key for key in self._keys.values() if key.prefix == prefix), None)

    async def list(self) -> tuple[ApiKey, ...]:
        return tuple(sorted(self._keys.values(), key=lambda key: (key.created_at, key.id)))

    async def revoke(self, key: UUID, at: datetime) -> None:
        if key not in self._keys:
            raise MissingError("no such API key")
        if self._keys[key].revoked_at is None:
            self._keys[key] = replace(self._keys[key], revoked_at=at)
