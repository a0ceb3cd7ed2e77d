"""API keys, without their secrets."""

from datetime import datetime
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import bindparam, func, insert, select, update

from cozy_adapters.sql.engine import Database, Row, Statement, Transaction
from cozy_adapters.sql.tables import api_keys
from cozy_domain.access.keys import ApiKey
from cozy_domain.errors import MissingError, StorageConflictError

_INSERT = Statement(insert(api_keys))
_KEY = select(*(api_keys.c[field] for field in ApiKey.__struct_fields__))
_FIND = Statement(_KEY.where(api_keys.c.prefix == bindparam("public")))
_FIND_BY_ID = Statement(_KEY.where(api_keys.c.id == bindparam("key")))
_LIST = Statement(_KEY.order_by(api_keys.c.created_at, api_keys.c.id))
_REVOKE = Statement(
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"))
    .values(
        revoked_at=func.coalesce(api_keys.c.revoked_at, bindparam("now", type_=api_keys.c.revoked_at.type))
    )
)


class SqlKeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> None:
        try:
            await self._database.write(_add, key)
        except StorageConflictError:
            raise StorageConflictError("an API key with this prefix exists") from None

    async def find(self, prefix: str) -> ApiKey | None:
        return await self._database.read(_find, prefix)

    async def list(self) -> tuple[ApiKey, ...]:
        return await self._database.read(_list)

    async def revoke(self, key: UUID, at: datetime) -> None:
        await self._database.write(_revoke, key, at)


def _add(key: ApiKey) -> Transaction[None]:
    yield _INSERT(**asdict(key))


def _find(prefix: str) -> Transaction[ApiKey | None]:
    rows = yield _FIND(public=prefix)
    return _key(rows[0]) if rows else None


def _list() -> Transaction[tuple[ApiKey, ...]]:
    rows = yield _LIST()
    return tuple(_key(row) for row in rows)


def _revoke(key: UUID, at: datetime) -> Transaction[None]:
    if not (yield _FIND_BY_ID(key=key)):
        raise MissingError("no such API key")
    yield _REVOKE(key=key, now=at)


def _key(row: Row) -> ApiKey:
    return ApiKey(*row)
