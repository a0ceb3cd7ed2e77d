"""The schema: Alembic's way and the short way lead to the same, and back."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cozy_adapters.sql.migrate import SCRIPTS, downgrade, engine_of, upgrade
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.tables import HEAD, metadata
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.sessions.turn import Opened
from tests.fixtures.stores import sql_stores
from tests.fixtures.turns import ANNA, closed, demand, opened, record, session_id

ALEMBIC_TABLE = "alembic_version"


def schema_of(path: Path) -> set[tuple[str, str, str]]:
    """Every table, index and trigger, whatever the layout of its SQL."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {(kind, name, " ".join(sql.split())) for kind, name, sql in rows}


def columns_of(path: Path, table: str) -> list[object]:
    connection = sqlite3.connect(path)
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    connection.close()
    return rows


async def used(path: Path) -> None:
    """Leaves a turn in the file, with all that comes with one."""
    database = SqliteDatabase(path)
    await database.aopen()
    stores = sql_stores(database)
    await stores.turns.open(opened(1, session=1))
    await stores.turns.close(closed(1, audit=(record(1),), jobs=(demand(),)))
    await database.aclose()


async def test_a_new_file_is_what_the_migrations_make(tmp_path: Path) -> None:
    short, long = tmp_path / "short.db", tmp_path / "long.db"
    database = SqliteDatabase(short)
    await database.aopen()
    await database.aclose()
    upgrade(long)
    assert {(kind, name) for kind, name, _ in schema_of(short)} == {
        (kind, name) for kind, name, _ in schema_of(long)
    }
    assert {one for one in schema_of(short) if one[0] != "table"} == {
        one for one in schema_of(long) if one[0] != "table"
    }
    for table in (*metadata.tables, ALEMBIC_TABLE):
        assert columns_of(short, table) == columns_of(long, table)


def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(tmp_path: Path) -> None:
    upgrade(tmp_path / "long.db")
    engine = engine_of(tmp_path / "long.db")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_stamp_of_a_new_file_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_a_used_file_goes_down_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    await used(path)
    before = schema_of(path)
    downgrade(path, "base")
    assert {name for kind, name, _ in schema_of(path) if kind == "table"} == {ALEMBIC_TABLE}
    upgrade(path)
    assert {one[:2] for one in schema_of(path)} == {one[:2] for one in before}
    await used(path)


async def test_a_file_whose_migrations_were_taken_back_is_brought_up_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    await used(path)
    downgrade(path, "base")
    await used(path)
    database = SqliteDatabase(path)
    await database.aopen()
    assert await sql_stores(database).turns.open(opened(2, session=1)) == Opened(2)
    await database.aclose()


async def test_upgrading_the_newest_schema_keeps_every_row(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    await used(path)
    upgrade(path)
    database = SqliteDatabase(path)
    await database.aopen()
    stores = sql_stores(database)
    assert len(await stores.sessions.messages(ANNA, session_id(1), 10)) == 2
    assert await stores.audit.read() == ((record(1),), ())
    assert len(await stores.jobs.list()) == 1
    await database.aclose()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    await used(path)
    downgrade(path, "base")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE persona_revisions (in_the_way TEXT)")
    connection.close()
    before = schema_of(path)
    with pytest.raises(StorageUnavailableError):
        await SqliteDatabase(path).aopen()
    assert schema_of(path) == before


async def test_a_file_of_a_newer_version_is_refused_with_a_hint_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cozy.db"
    await used(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = schema_of(path)
    with pytest.raises(StorageUnavailableError) as refused:
        await SqliteDatabase(path).aopen()
    assert refused.value.code == "schema_unknown"
    assert refused.value.hint
    assert schema_of(path) == before
