"""A Postgres database's schema, always by Alembic. One process migrates; others that start meanwhile wait for it.

Each change is one transaction, under an advisory lock of its database.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg

from cozy_adapters.sql.tables import HEAD
from cozy_domain.errors import StorageUnavailableError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

LOCK = int.from_bytes(b"cozy-sql")
"""Names the advisory lock; any number that nobody else uses."""

Connect = Callable[[], Awaitable[asyncpg.Connection]]


async def bring_up_to_date(connection: asyncpg.Connection, connect: Connect) -> None:
    """Gives the database the newest schema; costs a SELECT on ``connection`` when it has it. ``connect`` makes one whose
    statements may take their time.

    Raises:
        StorageUnavailableError: ``schema_unknown``, a newer version of this program wrote it; or it cannot be migrated.
        OSError, asyncpg.PostgresError: the connection broke.
    """
    revision = await revision_of(connection)
    if revision != HEAD:
        await _upgrade(connect, revision)


async def revision_of(connection: asyncpg.Connection) -> str | None:
    """The migration that the database stands at: None before the first one, and when all were taken back."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


async def upgrade(connect: Connect, revision: str = "head") -> None:
    from alembic import command

    await _on(connect, lambda config: command.upgrade(config, revision))


async def downgrade(connect: Connect, revision: str) -> None:
    """Back to ``revision``; ``base`` is a database without our tables."""
    from alembic import command

    await _on(connect, lambda config: command.downgrade(config, revision))


async def _upgrade(connect: Connect, revision: str | None) -> None:
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        await upgrade(connect)
    except CommandError as error:
        raise StorageUnavailableError(
            f"the database has the unknown schema {revision}: {error}",
            code="schema_unknown",
            hint="A newer version wrote it; install that one, or go back to a copy from before.",
        ) from error
    except SQLAlchemyError as error:
        raise StorageUnavailableError(f"the database could not be migrated: {error}") from error


async def _on(connect: Connect, change: "Callable[[Config], None]") -> None:
    """Alembic wants SQLAlchemy's connection, so it gets one around asyncpg's."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from cozy_adapters.sql.migrate import config_for

    def changed(connection: "Connection") -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        change(config_for(connection))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(changed)
    finally:
        await engine.dispose()
