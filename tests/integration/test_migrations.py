"""Every migration down and up again on a database that was in use, on both stores."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cozy_adapters.sql import migrate, postgres_schema
from cozy_adapters.sql.engine import Database
from cozy_adapters.sql.migrate import SCRIPTS
from cozy_adapters.sql.sqlite import SqliteDatabase
from tests.fixtures.filled import fill, read
from tests.fixtures.postgres import empty_database, postgres_database

Rows = dict[str, list[dict[str, Any]]]
FIRST = {
    "api_keys",
    "audit_pending",
    "audit_records",
    "audit_seals",
    "idempotency_keys",
    "jobs",
    "messages",
    "persona_revisions",
    "sessions",
    "turns",
}
"""The tables of the first migration; each has rows here, so that losing them is seen."""


def revisions() -> list[str]:
    """From the first to the newest."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in scripts][::-1]


def rows_of(connection: Connection) -> Rows:
    """What stands in each table, as the driver gives it."""
    metadata = MetaData()
    metadata.reflect(connection)
    found: Rows = {}
    for name, table in metadata.tables.items():
        if name != "alembic_version":
            rows = connection.execute(select(table)).mappings()
            found[name] = sorted(({**row} for row in rows), key=repr)
    return found


def shared(rows: Rows, other: Rows) -> Rows:
    """The tables of ``rows`` that ``other`` has too, with the columns that it has too."""
    return {
        name: sorted(
            ({key: row[key] for key in row if not other[name] or key in other[name][0]} for row in found),
            key=repr,
        )
        for name, found in rows.items()
        if name in other
    }


class MigrationsWithData(ABC):
    """One store: how to come to it, and how to move it."""

    @abstractmethod
    def database(self) -> AbstractAsyncContextManager[Database]:
        """Brings the schema up to date, as each start of a server does."""

    @abstractmethod
    async def down(self, revision: str) -> None: ...

    @abstractmethod
    async def up(self, revision: str) -> None: ...

    @abstractmethod
    async def look(self, at: Callable[[Connection], Rows]) -> Rows: ...

    async def test_every_migration_down_and_up_again_keeps_what_the_older_schema_can_hold(self) -> None:
        async with self.database() as database:
            await fill(database)
            before = await read(database)
        rows = await self.look(rows_of)
        assert {name for name, found in rows.items() if not found} & FIRST == set()
        lower = revisions()
        for revision in reversed(lower[:-1]):
            await self.down(revision)
            found = await self.look(rows_of)
            assert shared(found, rows) == shared(rows, found), revision
        for revision in lower[1:]:
            kept = await self.look(rows_of)
            await self.up(revision)
            found = await self.look(rows_of)
            assert shared(found, kept) == shared(kept, found), revision
        async with self.database() as database:
            assert await read(database) == before
        assert before.audit.intact
        assert (before.audit.sealed, before.audit.unsealed) == (4, 1)

    async def test_a_database_of_each_older_version_is_brought_up_by_a_start(self) -> None:
        async with self.database() as database:
            await fill(database)
            before = await read(database)
        for revision in revisions():
            await self.down(revision)
            async with self.database() as database:
                assert await read(database) == before

    async def test_what_went_all_the_way_down_can_be_used_again(self) -> None:
        async with self.database() as database:
            await fill(database)
            before = await read(database)
        await self.down("base")
        assert await self.look(rows_of) == {}
        for revision in revisions():
            await self.up(revision)
        async with self.database() as database:
            await fill(database)
            assert await read(database) == before


class TestOnSqlite(MigrationsWithData):
    @pytest.fixture(autouse=True)
    def path(self, tmp_path: Path) -> None:
        self.file = tmp_path / "cozy.db"

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = SqliteDatabase(self.file)
        await database.aopen()
        yield database
        await database.aclose()

    async def down(self, revision: str) -> None:
        migrate.downgrade(self.file, revision)

    async def up(self, revision: str) -> None:
        migrate.upgrade(self.file, revision)

    async def look(self, at: Callable[[Connection], Rows]) -> Rows:
        engine = migrate.engine_of(self.file)
        with engine.connect() as connection:
            found = at(connection)
        engine.dispose()
        return found


class TestOnPostgres(MigrationsWithData):
    @pytest.fixture(autouse=True)
    async def url(self) -> AsyncIterator[None]:
        async with empty_database() as url:
            self.address = url
            yield

    def database(self) -> AbstractAsyncContextManager[Database]:
        return postgres_database(self.address)

    async def down(self, revision: str) -> None:
        await postgres_schema.downgrade(self._connect, revision)

    async def up(self, revision: str) -> None:
        await postgres_schema.upgrade(self._connect, revision)

    async def look(self, at: Callable[[Connection], Rows]) -> Rows:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=self._connect, poolclass=NullPool)
        async with engine.connect() as connection:
            found = await connection.run_sync(at)
        await engine.dispose()
        return found

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.address)
