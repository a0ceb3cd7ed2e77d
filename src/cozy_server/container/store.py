"""What is kept: the database that ``database.url`` names."""

from collections.abc import Awaitable, Callable

from cozy_adapters.sql.engine import OpenedDatabase, Role
from cozy_adapters.sql.maintenance import SqliteMaintenance
from cozy_adapters.sql.maintenance import StoreMaintenance as StoreMaintenance  # for the command line
from cozy_adapters.sql.maintenance import StoreState as StoreState  # as above
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_domain.errors import ConfigError
from cozy_domain.jobs import JobQueue
from cozy_server.data_folder import database_file, postgres_url
from cozy_server.settings.tree import (
    Settings,
)


def store(settings: Settings, role: Role) -> OpenedDatabase:
    """What ``database.url`` names.

    Raises:
        ConfigError: it names nothing that we know, or the driver is not installed.
    """
    url = postgres_url(settings)
    if url is None:
        return SqliteDatabase(database_file(settings), role=role)
    try:
        from cozy_adapters.sql.postgres import PostgresDatabase, PostgresLimits
    except ModuleNotFoundError:
        raise ConfigError(
            "database.url names a Postgres, and its driver is not installed",
            hint="pip install 'cozy-engine[postgres]'",
        ) from None
    return PostgresDatabase(url, role=role, limits=PostgresLimits(pool_size=settings.database.pool_size))


def maintenance(settings: Settings) -> StoreMaintenance:
    """Of what ``database.url`` names, for who is no server.

    Raises:
        ConfigError: as `store`.
    """
    url = postgres_url(settings)
    if url is None:
        return SqliteMaintenance(database_file(settings))
    store(settings, "reader")  # tells about a driver that is not there
    from cozy_adapters.sql.postgres_maintenance import PostgresMaintenance

    return PostgresMaintenance(url)


def probe(jobs: JobQueue) -> Callable[[], Awaitable[object]]:
    """The cheapest question to the store that it cannot answer without its file."""
    return lambda: jobs.list(limit=1)
