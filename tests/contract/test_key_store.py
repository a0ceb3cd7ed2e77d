"""What every KeyStore promises."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_domain.access.keys import ApiKey
from cozy_domain.errors import MissingError, StorageConflictError
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import at, number

KEY = ApiKey(
    id=number(1),
    prefix="abcdefgh",
    hash="a" * 64,
    name="laptop",
    account="acme",
    role="admin",
    created_at=at(1),
    serves_many=True,
    expires_at=at(99),
)
PLAIN = ApiKey(number(2), "ABCDEFGH", "b" * 64, "phone", "acme", "user", at(0))


class KeyStoreContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    async def test_a_key_is_found_by_its_public_part(self, stores: Stores) -> None:
        await stores.keys.add(KEY)
        await stores.keys.add(PLAIN)
        assert await stores.keys.find("abcdefgh") == KEY
        assert await stores.keys.find("ABCDEFGH") == PLAIN
        assert await stores.keys.find("abcdefg_") is None

    async def test_a_public_part_is_given_once(self, stores: Stores) -> None:
        await stores.keys.add(KEY)
        with pytest.raises(StorageConflictError):
            await stores.keys.add(replace(PLAIN, prefix=KEY.prefix))
        assert await stores.keys.list() == (KEY,)

    async def test_keys_are_listed_oldest_first(self, stores: Stores) -> None:
        await stores.keys.add(KEY)
        await stores.keys.add(PLAIN)
        assert await stores.keys.list() == (PLAIN, KEY)

    async def test_a_revoked_key_is_still_found_and_keeps_its_first_time(self, stores: Stores) -> None:
        await stores.keys.add(KEY)
        await stores.keys.revoke(KEY.id, at(5))
        await stores.keys.revoke(KEY.id, at(9))
        assert await stores.keys.find(KEY.prefix) == replace(KEY, revoked_at=at(5))

    async def test_revoking_one_key_leaves_the_others(self, stores: Stores) -> None:
        await stores.keys.add(KEY)
        await stores.keys.add(PLAIN)
        await stores.keys.revoke(KEY.id, at(5))
        assert await stores.keys.find(PLAIN.prefix) == PLAIN

    async def test_an_unknown_key_cannot_be_revoked(self, stores: Stores) -> None:
        with pytest.raises(MissingError):
            await stores.keys.revoke(number(9), at(5))


class TestInMemoryKeyStore(KeyStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteKeyStore(KeyStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresKeyStore(KeyStoreContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
