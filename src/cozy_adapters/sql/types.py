"""Column types that both databases store well: time and identifiers."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Uuid
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (moment - EPOCH) // _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """A moment, timezone-aware: ``timestamptz`` on Postgres, integer microseconds since 1970 UTC on SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native = DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger()
        return dialect.type_descriptor(native)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name == "postgresql":
            return value  # type: ignore[no-any-return]  # a datetime already
        return EPOCH + timedelta(microseconds=value)


class Id(TypeDecorator[UUID]):
    """A UUID: ``uuid`` on Postgres, 16 bytes on SQLite, where text would double the size of every index."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native: TypeEngine[Any] = Uuid() if dialect.name == "postgresql" else LargeBinary(16)
        return dialect.type_descriptor(native)

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return value.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        if value is None or dialect.name == "postgresql":
            return value  # type: ignore[no-any-return]  # a UUID already
        return UUID(bytes=value)
