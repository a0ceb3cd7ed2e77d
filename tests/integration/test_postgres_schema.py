"""The schema on Postgres: up, down and up again, by one of many; and what it refuses."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cozy_adapters.sql.engine import Statement, Transaction
from cozy_adapters.sql.postgres import PostgresDatabase
from cozy_adapters.sql.postgres_schema import downgrade, revision_of, upgrade
from cozy_adapters.sql.tables import APPEND_ONLY, HEAD, metadata
from cozy_domain.audit.chain import Seal
from cozy_domain.errors import StorageConflictError, StorageUnavailableError
from cozy_domain.messages import AssistantMessage
from cozy_domain.sessions.turn import Opened
from tests.fixtures.postgres import empty_database, postgres_database
from tests.fixtures.stores import sql_stores
from tests.fixtures.turns import ANNA, at, closed, demand, opened, record, session_id, turn_id

ALEMBIC_TABLE = "alembic_version"
SCHEMA = """
    SELECT 'table ' || relname FROM pg_class WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
        FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Of a database without anything in it."""
    async with empty_database() as url:
        yield url


async def schema_of(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(SCHEMA)
    await connection.close()
    return {row[0] for row in rows}


async def tell(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def used(url: str, turn: int = 1) -> None:
    """Leaves a turn in the database, with all that comes with one."""
    async with postgres_database(url) as database:
        stores = sql_stores(database)
        await stores.turns.open(opened(turn, session=turn))
        await stores.turns.close(closed(turn, audit=(record(turn),), jobs=(demand(str(turn)),)))


async def test_a_used_database_goes_down_and_up_again(url: str) -> None:
    await used(url)
    before = await schema_of(url)
    await downgrade(lambda: asyncpg.connect(url), "base")
    assert await schema_of(url) == {
        "table alembic_version",
        "table alembic_version_pkc",
        "column alembic_version.version_num character varying NO",
    }
    await upgrade(lambda: asyncpg.connect(url))
    assert await schema_of(url) == before
    await used(url)


async def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    await used(url)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_times_are_kept_with_their_zone_and_ids_as_such(url: str) -> None:
    await used(url)
    columns = {line.removeprefix("column ") for line in await schema_of(url) if line.startswith("column")}
    assert "turns.at timestamp with time zone NO" in columns
    assert "turns.id uuid NO" in columns


async def test_many_that_start_at_once_make_the_schema_once(url: str) -> None:
    databases = [PostgresDatabase(url) for _ in range(4)]
    await asyncio.gather(*(database.aopen() for database in databases))
    answers = await asyncio.gather(
        *(sql_stores(database).turns.open(opened(n)) for n, database in enumerate(databases))
    )
    assert answers == [Opened(0)] * 4
    await asyncio.gather(*(database.aclose() for database in databases))
    connection = await asyncpg.connect(url)
    assert await revision_of(connection) == HEAD
    await connection.close()


async def test_upgrading_the_newest_schema_keeps_every_row(url: str) -> None:
    await used(url)
    await upgrade(lambda: asyncpg.connect(url))
    async with postgres_database(url) as database:
        stores = sql_stores(database)
        assert len(await stores.sessions.messages(ANNA, session_id(1), 10)) == 2
        assert await stores.audit.read() == ((record(1),), ())
        assert len(await stores.jobs.list()) == 1


async def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    await tell(url, "CREATE TABLE persona_revisions (in_the_way TEXT)")
    before = await schema_of(url)
    with pytest.raises(StorageUnavailableError, match="migrated"):
        await PostgresDatabase(url).aopen()
    assert await schema_of(url) == before


async def test_a_database_of_a_newer_version_is_refused_with_a_hint_and_left_alone(url: str) -> None:
    await used(url)
    await tell(url, "UPDATE alembic_version SET version_num = '9999'")
    before = await schema_of(url)
    with pytest.raises(StorageUnavailableError) as refused:
        await PostgresDatabase(url).aopen()
    assert refused.value.code == "schema_unknown"
    assert refused.value.hint
    assert await schema_of(url) == before


async def test_only_a_server_makes_a_schema(url: str) -> None:
    guest = PostgresDatabase(url, role="guest")
    await guest.aopen()
    with pytest.raises(StorageUnavailableError):
        await sql_stores(guest).jobs.list()
    await guest.aclose()
    assert await schema_of(url) == set()


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET record = record", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_is_audited_cannot_be_changed_by_accident(url: str, table: str, change: str) -> None:
    statement = change.format(table)
    if table == "audit_records":
        statement = statement.replace("record = record", "body = body")

    def changed() -> Transaction[None]:
        yield Statement(text(statement))()

    async with postgres_database(url) as database:
        audit = sql_stores(database).audit
        await audit.write((record(1),))
        await audit.seal((Seal(1, record(1).id, "a" * 64),))
        with pytest.raises(StorageConflictError, match="append-only"):
            await database.write(changed)
        assert await audit.read() == ((record(1),), (Seal(1, record(1).id, "a" * 64),))


async def test_a_nul_that_a_model_wrote_spoils_nothing(url: str) -> None:
    async with postgres_database(url) as database:
        stores = sql_stores(database)
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=2))
        await stores.turns.checkpoint(((turn_id(1), "a\0b"), (turn_id(2), "c")), at(20))
        await stores.turns.close(closed(2, messages=(AssistantMessage("x\0y"),), title="t\0"))
        await stores.turns.reap(at(60))
        assert [one.message.content for one in await stores.sessions.messages(ANNA, session_id(1), 9)][
            1:
        ] == ["a\ufffdb"]
        assert [one.message.content for one in await stores.sessions.messages(ANNA, session_id(2), 9)][
            1:
        ] == ["x\0y"]
        assert (await stores.sessions.list(ANNA, 1))[0].title == "t\ufffd"
