"""SQLite answers the questions of every turn from an index, however much is stored."""

import sqlite3
from pathlib import Path

import pytest

from cozy_adapters.sql import audit, blobs, history, jobs, keys, opening, sessions, turns
from cozy_adapters.sql.engine import Statement
from cozy_adapters.sql.schema import bring_up_to_date
from cozy_adapters.sql.sqlite import DIALECT
from cozy_adapters.sql.tables import metadata

# `audit verify` reads all of the log, and an operator lists all jobs and keys.
WHOLE_TABLES = {
    "audit._ALL",
    "audit._ALL_PENDING",
    "audit._SEALS",
    "jobs._LIST",
    "jobs._LIST_OF_STATE",
    "keys._LIST",
}
# These walk along an order that is stored, and stop at their limit.
WALKS = {"audit._LAST_SEAL", "audit._NEWEST", "audit._ORPHANS", "audit._PENDING"}
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


def plan_of(statement: Statement, folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "cozy.db", isolation_level=None)
    bring_up_to_date(connection, folder / "cozy.db")
    compiled = statement.compiled(DIALECT)
    unknown = [None] * len(compiled.binds)
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", unknown)]
    connection.close()
    return steps


def scanned(statement: Statement, folder: Path) -> set[str]:
    """The tables that are read from one end to the other; the result of a subquery is none."""
    steps = [step.split() for step in plan_of(statement, folder)]
    return {words[1] for words in steps if words[0] == "SCAN"} & metadata.tables.keys()


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WHOLE_TABLES - WALKS))
def test_what_is_asked_is_found_through_an_index(name: str, tmp_path: Path) -> None:
    assert scanned(STATEMENTS[name], tmp_path) == set()


@pytest.mark.parametrize("name", sorted(WALKS))
def test_a_walk_sorts_nothing_before_it_stops(name: str, tmp_path: Path) -> None:
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan_of(STATEMENTS[name], tmp_path)


def test_the_check_sees_a_table_that_is_read_whole(tmp_path: Path) -> None:
    assert scanned(STATEMENTS["keys._LIST"], tmp_path) == {"api_keys"}
