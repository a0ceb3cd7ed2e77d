"""Which failures of Postgres are worth another try."""

import asyncpg
import pytest

from cozy_adapters.sql.postgres_failures import CLASH_TRIES, LOST_TRIES, Tries, named
from cozy_domain.errors import StorageConflictError, StorageUnavailableError

DEADLOCK = asyncpg.DeadlockDetectedError("deadlock detected")
SHUTDOWN = asyncpg.AdminShutdownError("terminating connection due to administrator command")


def taken(value: int) -> asyncpg.UniqueViolationError:
    error = asyncpg.UniqueViolationError("duplicate key value violates unique constraint")
    error.detail = f"Key (revision)=({value}) already exists."
    return error


@pytest.mark.parametrize("error", [SHUTDOWN, ConnectionResetError(), asyncpg.InterfaceError("closed")])
def test_a_lost_connection_is_tried_again_a_few_times(error: Exception) -> None:
    tries = Tries()
    assert [tries.again(error) for _ in range(LOST_TRIES)] == [True] * (LOST_TRIES - 1) + [False]


@pytest.mark.parametrize("error", [DEADLOCK, asyncpg.SerializationError("could not serialize access")])
def test_those_in_each_others_way_are_tried_again_more_often(error: Exception) -> None:
    tries = Tries()
    assert [tries.again(error) for _ in range(CLASH_TRIES)] == [True] * (CLASH_TRIES - 1) + [False]


def test_the_same_key_taken_three_times_is_a_conflict() -> None:
    tries = Tries()
    assert [tries.again(taken(1)) for _ in range(3)] == [True, True, False]


def test_another_key_each_time_is_a_race_that_goes_on() -> None:
    tries = Tries()
    assert all(tries.again(taken(value)) for value in range(20))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ForeignKeyViolationError("violates foreign key constraint"),
        asyncpg.DiskFullError("could not extend file"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        asyncpg.DataError("invalid input"),
        asyncpg.PostgresSyntaxError("syntax error"),
        KeyError("a bug"),
    ],
)
def test_nothing_else_is_tried_again(error: Exception) -> None:
    assert not Tries().again(error)


def test_a_conflict_is_named_without_what_was_written() -> None:
    conflict = named(taken(4_711))
    assert isinstance(conflict, StorageConflictError)
    assert "4711" not in str(conflict)


@pytest.mark.parametrize("error", [SHUTDOWN, DEADLOCK, OSError("no route"), asyncpg.DiskFullError("full")])
def test_what_keeps_the_store_from_answering_is_named_so(error: Exception) -> None:
    assert isinstance(named(error), StorageUnavailableError)


@pytest.mark.parametrize("error", [KeyError("a bug"), asyncpg.PostgresSyntaxError("a bug of ours")])
def test_a_fault_of_ours_keeps_its_name(error: Exception) -> None:
    assert named(error) is error
