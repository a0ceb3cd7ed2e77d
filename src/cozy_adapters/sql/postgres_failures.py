"""What Postgres and asyncpg say when something goes wrong, and what is to be done about it (pure).

Source: PostgreSQL 18, appendix A (error codes); asyncpg 0.32, ``asyncpg.exceptions``.
"""

from typing import Literal

import asyncpg

from cozy_domain.errors import StorageConflictError, StorageUnavailableError

Kind = Literal["lost", "clash", "conflict", "unavailable", "ours"]

LOST = ("08", "57P01", "57P02", "57P05", "25P03")
"""The connection is gone: broken, or ended by an administrator, a crash, or for idling."""
CLASH = ("40001", "40P01", "0A000")
"""Two transactions in each other's way, or a statement prepared before a migration: undone, and good to run again."""
CONFLICT = ("23",)
UNAVAILABLE = (
    "25006",  # read-only: a server that is no longer the primary
    "28", "3D",  # not let in; no such database
    "42P01",  # the schema is not there
    "53",  # disk full, out of memory, too many connections
    "55P03", "57014",  # lock and statement timeout
    "57", "58", "XX",  # starting or stopping, trouble with the machine, damage
)  # fmt: skip
BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)

LOST_TRIES = 3
"""Of a transaction whose connection was lost; one after the other may have died of the same cause."""
CLASH_TRIES = 10
SAME_CONFLICT_TRIES = 3


def kind_of(error: BaseException) -> Kind:
    """``ours`` is a rule of the transaction, or a fault of ours."""
    if isinstance(error, asyncpg.PostgresError):
        return _kind_of_code(error.sqlstate or "")
    if isinstance(error, asyncpg.DataError):  # a value that does not fit its column
        return "ours"
    return "lost" if isinstance(error, BROKEN) else "ours"


def named(error: BaseException) -> BaseException:
    """The domain's name for it."""
    kind = kind_of(error)
    if kind == "ours":
        return error
    if kind == "conflict":
        return StorageConflictError(f"the database refused: {said_by(error)}")
    return StorageUnavailableError(f"the database does not answer: {said_by(error)}")


def said_by(error: BaseException) -> str:
    """Its message, without the details that Postgres adds: they may be what a user wrote."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.args[0])
    return str(error) or type(error).__name__


class Tries:
    """Whether a transaction that failed and left nothing behind is worth another try.

    A unique key that is taken may have been taken by somebody who committed in between: the next try sees their row and
    goes another way. It is a conflict when the same one comes again and again.
    """

    def __init__(self) -> None:
        self._lost = 0
        self._clashes = 0
        self._conflicts: list[str] = []

    def again(self, error: BaseException) -> bool:
        match kind_of(error):
            case "lost":
                self._lost += 1
                return self._lost < LOST_TRIES
            case "clash":
                self._clashes += 1
                return self._clashes < CLASH_TRIES
            case "conflict":
                self._conflicts.append(str(error))
                newest = self._conflicts[-SAME_CONFLICT_TRIES:]
                same = len(newest) == SAME_CONFLICT_TRIES and len(set(newest)) == 1
                return isinstance(error, asyncpg.UniqueViolationError) and not same
            case _:
                return False


def _kind_of_code(code: str) -> Kind:
    if code.startswith(LOST):
        return "lost"
    if code.startswith(CLASH):
        return "clash"
    if code.startswith(CONFLICT):
        return "conflict"
    return "unavailable" if code.startswith(UNAVAILABLE) else "ours"
