"""The system's clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time may jump when the machine's clock is set; ``monotonic_ns`` never goes back."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
