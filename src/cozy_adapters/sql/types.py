"""Column types that both databases store well: time and identifiers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, Uuid
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Convert = Callable[[Any], Any]


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (moment - EPOCH) // _MICROSECOND


def moment_of(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """A moment, timezone-aware: ``timestamptz`` on Postgres, integer microseconds since 1970 UTC on SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native = DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger()
        return dialect.type_descriptor(native)

    # The processors are given whole, and not through `process_bind_param`, which costs a second call for every value.
    def bind_processor(self, dialect: Dialect) -> Convert | None:
        return None if dialect.name == "postgresql" else _or_null(micros_of)

    def result_processor(self, dialect: Dialect, coltype: object) -> Convert | None:  # noqa: ARG002 - SQLAlchemy's
        return None if dialect.name == "postgresql" else _or_null(moment_of)


class Id(TypeDecorator[UUID]):
    """A UUID: ``uuid`` on Postgres, 16 bytes on SQLite, where text would double the size of every index."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native: TypeEngine[Any] = Uuid() if dialect.name == "postgresql" else LargeBinary(16)
        return dialect.type_descriptor(native)

    def bind_processor(self, dialect: Dialect) -> Convert | None:
        return None if dialect.name == "postgresql" else _or_null(attrgetter("bytes"))

    def result_processor(self, dialect: Dialect, coltype: object) -> Convert | None:  # noqa: ARG002 - SQLAlchemy's
        return None if dialect.name == "postgresql" else _or_null(lambda raw: UUID(bytes=raw))


class Words(TypeDecorator[str]):
    """What somebody wrote, or a model. Postgres has no NUL in text; there it becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Convert | None:
        return _or_null(_without_nul) if dialect.name == "postgresql" else None


def _without_nul(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)
