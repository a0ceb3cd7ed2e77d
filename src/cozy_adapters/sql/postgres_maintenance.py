"""A Postgres looked at and looked after from outside of a server."""

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from cozy_adapters.sql.maintenance import StoreState
from cozy_adapters.sql.postgres import PostgresDatabase
from cozy_adapters.sql.postgres_failures import BROKEN, said_by
from cozy_adapters.sql.postgres_schema import downgrade, revision_of
from cozy_domain.errors import ConfigError, StorageUnavailableError

_FAILURES = (asyncpg.PostgresError, *BROKEN)


class PostgresMaintenance:
    """Of the database that ``url`` names; as ``StoreMaintenance``."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def look(self, check_s: float) -> StoreState:  # noqa: ARG002 - Postgres checks itself
        connection = await self._database().connect()
        try:
            found = await connection.fetch("SELECT extname FROM pg_extension ORDER BY extname")
            return StoreState(
                "postgres",
                place_of(self._url),
                version=await connection.fetchval("SHOW server_version"),
                revision=await revision_of(connection),
                bytes=await connection.fetchval("SELECT pg_database_size(current_database())"),
                extensions=tuple(row["extname"] for row in found),
            )
        except _FAILURES as error:
            raise _unavailable(error) from error
        finally:
            await connection.close()

    async def upgrade(self) -> None:
        database = self._database()
        await database.aopen()
        await database.aclose()

    async def downgrade(self, revision: str) -> None:
        from alembic.util import CommandError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            await downgrade(self._database().connect, revision)
        except CommandError as error:
            raise ConfigError(f"the schema cannot go back to '{revision}': {error}") from None
        except SQLAlchemyError as error:
            raise StorageUnavailableError(f"the database could not be migrated: {error}") from error
        except _FAILURES as error:
            raise _unavailable(error) from error

    async def backup(self, target: Path) -> int:
        raise ConfigError(
            "the store is a Postgres, which its own tools copy",
            hint=f"Type: pg_dump --format=custom --file={target} postgresql://USER@{place_of(self._url)}",
        )

    def _database(self) -> PostgresDatabase:
        return PostgresDatabase(self._url)


def place_of(url: str) -> str:
    """``host:port/name``: what may be shown of an address that holds a password."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path}"
    except ValueError:
        return "the address in database.url"


def _unavailable(error: Exception) -> StorageUnavailableError:
    return StorageUnavailableError(f"the database does not answer: {said_by(error)}")
