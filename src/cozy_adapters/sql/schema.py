"""A SQLite file's schema: written at once into a new file, migrated in an old one.

A new file takes the tables as they are and Alembic's stamp, which spares the start Alembic's import (0.3 s) and every
step of the past; an existing one of the newest revision costs one SELECT.
"""

import sqlite3
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from cozy_adapters.sql.tables import HEAD, metadata, refusals
from cozy_domain.errors import StorageUnavailableError

STAMP_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Gives the open file the newest schema.

    Raises:
        StorageUnavailableError: ``schema_unknown``, a newer version of this program wrote it.
    """
    revision = revision_of(connection)
    if revision is None:
        _create(connection)
    elif revision != HEAD:
        _migrate(path, revision)


def revision_of(connection: sqlite3.Connection) -> str | None:
    """The migration that the file stands at: None before the first one ever, empty when all were taken back."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
    if not known:
        return None
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if rows else ""


def creation() -> tuple[str, ...]:
    """The whole schema in SQLite's words."""
    dialect = sqlite.dialect()
    tables = metadata.sorted_tables
    made: list[DDLElement] = [CreateTable(table) for table in tables]
    made += [CreateIndex(i) for table in tables for i in sorted(table.indexes, key=lambda i: str(i.name))]
    return tuple(str(ddl.compile(dialect=dialect)) for ddl in made) + refusals()


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in creation():
        connection.execute(statement)
    connection.execute(STAMP_TABLE)
    connection.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))
    connection.execute("COMMIT")


def _migrate(path: Path, revision: str) -> None:
    from alembic.util import CommandError  # Alembic, only when there is something to do

    from cozy_adapters.sql.migrate import upgrade

    try:
        upgrade(path)
    except CommandError as error:
        raise StorageUnavailableError(
            f"{path} has the unknown schema {revision}: {error}",
            code="schema_unknown",
            hint="A newer version wrote it; install that one, or go back to a copy from before.",
        ) from error
    except SQLAlchemyError as error:
        raise StorageUnavailableError(f"{path} could not be migrated: {error}") from error
