"""Postgres can answer the questions of every turn from an index, however much is stored."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from cozy_adapters.sql import audit, blobs, history, jobs, keys, opening, sessions, turns
from cozy_adapters.sql.engine import Statement
from cozy_adapters.sql.postgres import DIALECT
from tests.fixtures.postgres import postgres_url

# `audit verify` reads all of the log, and an operator lists all jobs and keys.
WHOLE_TABLES = {"audit._ALL", "audit._ALL_PENDING", "audit._SEALS", "jobs._LIST_OF_STATE", "keys._LIST"}
MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (audit, blobs, history, jobs, keys, opening, sessions, turns)
}
STATEMENTS = {
    f"{name}.{variable}": value
    for name, module in MODULES.items()
    for variable, value in vars(module).items()
    if isinstance(value, Statement)
} | {"jobs._find_due": jobs._find_due(2)}


@pytest.fixture
async def connection() -> AsyncIterator[asyncpg.Connection]:
    """To a database that reads a table from one end to the other only where it has to."""
    async with postgres_url() as url:
        connection = await asyncpg.connect(
            url, server_settings={"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan"}
        )
        yield connection
        await connection.close()


async def plan_of(name: str, connection: asyncpg.Connection) -> str:
    compiled = STATEMENTS[name].compiled(DIALECT)
    await connection.execute(f"PREPARE asked AS {compiled.sql}")
    unknown = ", ".join(["NULL"] * len(compiled.binds))
    rows = await connection.fetch(f"EXPLAIN EXECUTE asked{f'({unknown})' if unknown else ''}")
    await connection.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)


async def test_what_is_asked_is_found_through_an_index(connection: asyncpg.Connection) -> None:
    plans = {name: await plan_of(name, connection) for name in STATEMENTS.keys() - WHOLE_TABLES}
    assert {name: plan for name, plan in plans.items() if "Seq Scan" in plan} == {}


async def test_the_check_sees_a_table_that_is_read_whole(connection: asyncpg.Connection) -> None:
    assert "Seq Scan on api_keys" in await plan_of("keys._LIST", connection)
