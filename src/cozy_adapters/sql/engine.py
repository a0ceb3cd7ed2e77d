"""What the stores need of a database, whichever it is.

A transaction is a generator: it yields steps (a statement with its values), is sent the rows of each, and returns the
answer. It does no I/O itself, so one code runs on SQLite's thread and on an asyncio driver. Statements are SQLAlchemy Core
compiled once for each dialect: building them anew for every turn costs more than running them.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, TypeVar

from sqlalchemy import Select, UpdateBase
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement, ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler

from cozy_adapters.sql.types import Convert

Row = tuple[Any, ...]
Role = Literal["server", "guest", "reader"]

P = ParamSpec("P")
T = TypeVar("T")


class Step(NamedTuple):
    """One statement to run: once with ``values``, or for each of ``many``."""

    statement: "Statement"
    values: dict[str, object]
    many: Sequence[dict[str, object]] | None = None


Transaction = Generator[Step, list[Row], T]


class Database(Protocol):
    """Runs transactions. Every call may raise ``StorageUnavailableError``, and ``StorageConflictError`` when a
    constraint of the schema refuses."""

    async def write(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The transaction's answer, after its commit. When it raises, nothing of it is stored."""
        ...

    async def read(self, transaction: Callable[P, Transaction[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same on one snapshot, without writing."""
        ...


class OpenedDatabase(Database, Protocol):
    """One that the application opens before its first use and closes after the last."""

    async def aopen(self) -> None:
        """
        Raises:
            ConfigError: it cannot be found by what it was named.
            StorageUnavailableError: it cannot be reached, or its schema is not one of ours.
        """
        ...

    async def aclose(self) -> None:
        """Finishes what was handed over; later calls raise ``StorageUnavailableError``."""
        ...


class Compiled(NamedTuple):
    """A statement in the words of one driver. ``binds`` in the order of its placeholders, ``columns`` in that of its
    rows; ``constants`` are parameters that the statement itself sets."""

    sql: str
    binds: tuple[tuple[str, Convert | None], ...]
    columns: tuple[Convert | None, ...]
    constants: dict[str, object]

    def parameters(self, values: dict[str, object]) -> tuple[object, ...]:
        if self.constants:
            values = self.constants | values
        return tuple([convert(values[name]) if convert else values[name] for name, convert in self.binds])

    def rows(self, raw: list[Row]) -> list[Row]:
        if not any(self.columns):
            return raw
        return [
            tuple(
                [
                    convert(value) if convert else value
                    for convert, value in zip(self.columns, row, strict=True)
                ]
            )
            for row in raw
        ]


class Statement:
    """A Core construct whose parameters are given by name: ``SOME(id=..., at=...)`` is a step."""

    def __init__(self, construct: ClauseElement) -> None:
        self._construct = construct
        self._compiled: dict[str, Compiled] = {}
        self.only_reads = isinstance(construct, Select) and construct._for_update_arg is None
        """Needs no transaction that writes."""

    def __call__(self, **values: object) -> Step:
        return Step(self, values)

    def many(self, rows: Sequence[dict[str, object]]) -> Step:
        return Step(self, {}, rows)

    def compiled(self, dialect: Dialect) -> Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = _compile(self._construct, dialect)
        return found


def _columns_of(construct: ClauseElement) -> Iterable[ColumnElement[Any]]:
    if isinstance(construct, Select):
        return construct.selected_columns
    return construct.exported_columns if isinstance(construct, UpdateBase) else ()


def _compile(construct: ClauseElement, dialect: Dialect) -> Compiled:
    compiled = construct.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - narrows for mypy; DDL is not given here
    names = compiled.positiontup or []
    types = [column.type for column in _columns_of(construct)]
    return Compiled(
        str(compiled),
        tuple(
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in names
        ),
        tuple(type_.dialect_impl(dialect).result_processor(dialect, None) for type_ in types),
        {name: compiled.binds[name].value for name in names if not compiled.binds[name].required},
    )
