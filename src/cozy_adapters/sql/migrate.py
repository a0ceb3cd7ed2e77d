"""Alembic: up to the newest schema, or down to an older one, of a SQLite file. Each way is one transaction."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(path: Path, revision: str = "head") -> None:
    _on(path, lambda config: command.upgrade(config, revision))


def downgrade(path: Path, revision: str) -> None:
    """Back to ``revision``; ``base`` is a database without our tables."""
    _on(path, lambda config: command.downgrade(config, revision))


def engine_of(path: Path) -> Engine:
    """An ordinary SQLAlchemy engine on the file, for Alembic and for looking at schemas."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def config_for(connection: Connection) -> Config:
    """What Alembic needs to work on an open connection, whatever database it is to."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _on(path: Path, change: Callable[[Config], None]) -> None:
    engine = engine_of(path)
    with engine.begin() as connection:
        change(config_for(connection))
    engine.dispose()


def _leave_transactions_to_us(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Python's sqlite3 would commit before DDL, and half a migration would stay behind a crash."""
    connection.isolation_level = None
