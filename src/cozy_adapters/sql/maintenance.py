"""A store looked at and looked after from outside of a server: what state it is in, migrations, backups."""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from cozy_adapters.sql import lock
from cozy_adapters.sql.schema import revision_of
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.tables import HEAD
from cozy_domain.errors import ConfigError, MissingError, StorageUnavailableError

MOST_DAMAGE = 20
"""Complaints that are kept: one is enough to know."""
_STEPS = 10_000
"""Of SQLite's machine between two looks at the clock; some milliseconds."""


class StoreState(msgspec.Struct, frozen=True):
    """``place`` is the file, or ``host:port/name``. ``revision`` is the migration that it stands at, None where there is no
    schema of ours; ``damage`` what a check of the file found, and ``checked`` whether the check came to its end.
    ``in_use``: a server has the file."""

    kind: Literal["sqlite", "postgres"]
    place: str
    version: str
    revision: str | None
    head: str = HEAD
    exists: bool = True
    bytes: int | None = None
    in_use: bool = False
    checked: bool = False
    damage: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()

    @property
    def is_current(self) -> bool:
        return self.revision == self.head


class StoreMaintenance(Protocol):
    """Every method raises ``StorageUnavailableError`` when the store cannot be used."""

    async def look(self, check_s: float) -> StoreState:
        """Changes nothing. A file is checked for ``check_s`` seconds at most."""
        ...

    async def upgrade(self) -> None:
        """To the newest schema; creates the store where there is none."""
        ...

    async def downgrade(self, revision: str) -> None:
        """Back to an older schema; what only the newer one can hold is lost.

        Raises:
            ConfigError: there is no such revision.
        """
        ...

    async def backup(self, target: Path) -> int:
        """Copies the store while it is in use; the copy's bytes.

        Raises:
            ConfigError: the target exists, or this kind of store is copied by its own tools.
            MissingError: there is no store yet.
        """
        ...


class SqliteMaintenance:
    """Of the file ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def look(self, check_s: float) -> StoreState:
        return await asyncio.to_thread(self._look, check_s)

    async def upgrade(self) -> None:
        database = SqliteDatabase(self._path)
        await database.aopen()
        await database.aclose()

    async def downgrade(self, revision: str) -> None:
        await asyncio.to_thread(self._downgrade, revision)

    async def backup(self, target: Path) -> int:
        return await asyncio.to_thread(self._backup, target)

    def _look(self, check_s: float) -> StoreState:
        state = StoreState(
            "sqlite", str(self._path), sqlite3.sqlite_version, None, exists=self._path.exists()
        )
        if not state.exists:
            return state
        with self._opened() as connection:
            checked, damage = _checked(connection, check_s)
            return msgspec.structs.replace(
                state,
                revision=revision_of(connection),
                bytes=self._path.stat().st_size,
                in_use=lock.is_taken(self._path),
                checked=checked,
                damage=damage,
            )

    def _downgrade(self, revision: str) -> None:
        from alembic.util import CommandError
        from sqlalchemy.exc import SQLAlchemyError

        from cozy_adapters.sql.migrate import downgrade

        self._must_exist()
        held = lock.take(self._path)
        try:
            downgrade(self._path, revision)
        except CommandError as error:
            raise ConfigError(f"the schema cannot go back to '{revision}': {error}") from None
        except SQLAlchemyError as error:
            raise StorageUnavailableError(f"{self._path} could not be migrated: {error}") from error
        finally:
            os.close(held)

    def _backup(self, target: Path) -> int:
        """Into a file beside the target first, so that what has the target's name is whole, and nothing is written over."""
        self._must_exist()
        half = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            os.close(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with self._opened() as source, closing(sqlite3.connect(half)) as copy:
                source.backup(copy)
                # A copy is one file: without this it would need two more as soon as somebody looks at it.
                copy.execute("PRAGMA journal_mode=DELETE")
            _settle(half)
            os.link(half, target)
            return target.stat().st_size
        except FileExistsError:
            raise ConfigError(f"{target} exists", hint="Name a file that does not exist yet.") from None
        except (sqlite3.Error, OSError) as error:
            raise StorageUnavailableError(f"no backup could be written to {target}: {error}") from error
        finally:
            half.unlink(missing_ok=True)

    def _must_exist(self) -> None:
        if not self._path.exists():
            raise MissingError(
                f"there is no store at {self._path}", hint="Name its folder with --data or COZY_DATA."
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            with closing(connection):
                yield connection
        except sqlite3.Error as error:
            raise StorageUnavailableError(f"{self._path}: {error}") from error


def _checked(connection: sqlite3.Connection, within_s: float) -> tuple[bool, tuple[str, ...]]:
    """Whether SQLite's own check came to its end in time, and what it found."""
    until = time.monotonic() + within_s
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        found = connection.execute(f"PRAGMA quick_check({MOST_DAMAGE})").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname == "SQLITE_INTERRUPT":
            return False, ()
        return True, (str(error),)
    finally:
        connection.set_progress_handler(None, 0)
    return True, tuple(str(row[0]) for row in found if row[0] != "ok")


def _settle(file: Path) -> None:
    """On the disk, before it gets its name."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
