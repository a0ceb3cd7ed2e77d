"""A store looked after from outside: its state, migrations, and copies made while it is written."""

import asyncio
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from cozy_adapters.sql import lock
from cozy_adapters.sql.maintenance import SqliteMaintenance
from cozy_adapters.sql.migrate import downgrade
from cozy_adapters.sql.postgres_maintenance import PostgresMaintenance, place_of
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.tables import HEAD
from cozy_domain.errors import ConfigError, MissingError, StorageUnavailableError
from tests.fixtures.postgres import empty_database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cozy.db"


def spoil(file: Path) -> None:
    """A page in the middle."""
    data = bytearray(file.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(data)


async def test_no_file_is_a_state_and_nothing_is_made_by_looking(file: Path) -> None:
    state = await SqliteMaintenance(file).look(1.0)
    assert (state.exists, state.revision, state.is_current) == (False, None, False)
    assert list(file.parent.iterdir()) == []
    with pytest.raises(MissingError):
        await SqliteMaintenance(file).backup(file.with_name("copy.db"))


async def test_upgrade_makes_the_newest_schema_and_look_finds_it_whole(file: Path) -> None:
    maintenance = SqliteMaintenance(file)
    await maintenance.upgrade()
    state = await maintenance.look(10.0)
    assert (state.revision, state.head, state.checked, state.damage) == (HEAD, HEAD, True, ())
    assert not state.in_use


async def test_a_server_on_the_file_is_noticed_and_keeps_the_schema_as_it_is(file: Path) -> None:
    server = SqliteDatabase(file)
    await server.aopen()
    maintenance = SqliteMaintenance(file)
    assert (await maintenance.look(1.0)).in_use
    with pytest.raises(StorageUnavailableError, match="another server"):
        await maintenance.upgrade()
    with pytest.raises(StorageUnavailableError, match="another server"):
        await maintenance.downgrade("base")
    await server.aclose()
    assert not (await maintenance.look(1.0)).in_use


async def test_who_looks_turns_no_server_away(file: Path) -> None:
    await SqliteMaintenance(file).upgrade()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            lock.is_taken(file)

    looking = [asyncio.create_task(asyncio.to_thread(look)) for _ in range(2)]
    try:
        for _ in range(100):
            os.close(await asyncio.to_thread(lock.take, file))
    finally:
        over.set()
        await asyncio.wait(looking)
    assert not lock.is_taken(file)


async def test_an_old_schema_is_told_and_brought_up_to_date(file: Path) -> None:
    maintenance = SqliteMaintenance(file)
    await maintenance.upgrade()
    downgrade(file, "base")
    assert not (await maintenance.look(1.0)).is_current
    await maintenance.upgrade()
    assert (await maintenance.look(1.0)).is_current
    await maintenance.downgrade("base")
    assert not (await maintenance.look(1.0)).is_current
    with pytest.raises(ConfigError, match="cannot go back to 'nowhere'"):
        await maintenance.downgrade("nowhere")


async def test_damage_is_found_and_a_check_that_takes_too_long_is_given_up(file: Path) -> None:
    await SqliteMaintenance(file).upgrade()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE many (n INTEGER, t TEXT)")
        database.execute("CREATE INDEX many_n ON many (n)")
        database.executemany("INSERT INTO many VALUES (?, ?)", [(n, "x" * 100) for n in range(5_000)])
    database.close()
    assert not (await SqliteMaintenance(file).look(0.0)).checked
    spoil(file)
    state = await SqliteMaintenance(file).look(10.0)
    assert state.checked
    assert state.damage


async def test_a_copy_is_whole_while_the_store_is_written_and_never_written_over(file: Path) -> None:
    server = SqliteDatabase(file)
    await server.aopen()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE counted (n INTEGER PRIMARY KEY)")
    copying = True

    def write() -> int:
        with sqlite3.connect(file, isolation_level=None, timeout=60) as writer:
            n = 0
            while copying:
                writer.execute("BEGIN IMMEDIATE")
                writer.executemany("INSERT INTO counted VALUES (?)", [(n,), (n + 1,)])
                writer.execute("COMMIT")
                n += 2
        writer.close()
        return n

    writing = asyncio.create_task(asyncio.to_thread(write))
    copies = [file.with_name(f"copy{n}.db") for n in range(3)]
    for copy in copies:
        assert await SqliteMaintenance(file).backup(copy) == copy.stat().st_size
    copying = False
    written = await writing
    await server.aclose()
    database.close()
    for copy in copies:
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        with sqlite3.connect(copy) as kept:
            ((count, last),) = kept.execute("SELECT count(*), coalesce(max(n), -1) FROM counted").fetchall()
        kept.close()
        assert count == last + 1 <= written
        assert count % 2 == 0
        assert (await SqliteMaintenance(copy).look(10.0)).is_current
    with pytest.raises(ConfigError, match="exists"):
        await SqliteMaintenance(file).backup(copies[0])
    assert not list(file.parent.glob(".copy*"))


async def test_a_copy_that_cannot_be_written_leaves_nothing(file: Path) -> None:
    await SqliteMaintenance(file).upgrade()
    with pytest.raises(StorageUnavailableError, match="no backup"):
        await SqliteMaintenance(file).backup(file.parent / "nowhere" / "copy.db")


async def test_a_postgres_tells_its_schema_and_how_it_is_copied() -> None:
    async with empty_database() as url:
        maintenance = PostgresMaintenance(url)
        assert (await maintenance.look(1.0)).revision is None
        await maintenance.upgrade()
        state = await maintenance.look(1.0)
        assert (state.kind, state.is_current, state.damage) == ("postgres", True, ())
        assert state.version
        await maintenance.downgrade("base")
        assert not (await maintenance.look(1.0)).is_current
    with pytest.raises(ConfigError) as told:
        await maintenance.backup(Path("copy.dump"))
    assert "pg_dump" in str(told.value.hint)


async def test_a_postgres_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StorageUnavailableError, match="cannot be reached"):
        await PostgresMaintenance("postgresql://cozy:secret@127.0.0.1:1/cozy").look(1.0)


def test_an_address_is_shown_without_its_password() -> None:
    assert place_of("postgresql://cozy:secret@db:5433/cozy") == "db:5433/cozy"
    assert place_of("postgresql://cozy:secret@db/cozy") == "db:5432/cozy"
    assert "secret" not in place_of("postgresql://cozy:secret@db:port/cozy")
