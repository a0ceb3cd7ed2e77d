"""A clock that is wound by hand."""

from datetime import UTC, datetime, timedelta


class InMemoryClock:
    """Stands still until ``advance``."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = timedelta()

    def now(self) -> datetime:
        return self._start + self._passed

    def monotonic_ns(self) -> int:
        return self._passed // timedelta(microseconds=1) * 1000

    def advance(self, by: timedelta) -> None:
        """Moves both times on; ``by`` must not be negative."""
        if by < timedelta():
            raise ValueError("time does not go back")
        self._passed += by
