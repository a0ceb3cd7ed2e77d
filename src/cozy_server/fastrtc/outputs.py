"""What a call has said so far, for those who read along at ``/outputs``. Every reader gets all of it, from the first on."""

import asyncio
from collections import deque

from cozy_domain.errors import LimitError

MOST_KEPT = 200
"""Outputs of one call; the oldest are forgotten."""
MOST_READERS = 8
"""Of one call at once."""
RETRY_S = 5.0


class Outputs:
    """Of one call. Each is one JSON object, encoded."""

    def __init__(self) -> None:
        self._kept: deque[bytes] = deque(maxlen=MOST_KEPT)
        self._added = 0
        self._news = asyncio.Event()
        self._readers = 0
        self.closed = False

    def add(self, output: bytes) -> None:
        self._kept.append(output)
        self._added += 1
        self._tell()

    def close(self) -> None:
        """Readers end when they have read what there is."""
        self.closed = True
        self._tell()

    def reader(self) -> "Reader":
        """One more, to be closed.

        Raises:
            LimitError: there are `MOST_READERS`.
        """
        if self._readers >= MOST_READERS:
            raise LimitError("Too many read along with this call.", retry_after_s=RETRY_S)
        self._readers += 1
        return Reader(self)

    def left(self) -> None:
        """A reader is closed."""
        self._readers -= 1

    def since(self, read: int) -> tuple[list[bytes], int]:
        """What is kept behind the first ``read``, and how many there were in all."""
        forgotten = self._added - len(self._kept)
        return list(self._kept)[max(0, read - forgotten) :], self._added

    async def news(self) -> None:
        """Waits for the next output, or the end."""
        if not self.closed:
            await self._news.wait()

    def _tell(self) -> None:
        """Wakes all who wait now; who comes later waits for the next."""
        self._news.set()
        self._news = asyncio.Event()


class Reader:
    """One who reads along. If he is slow he misses what was forgotten meanwhile."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._read = 0
        self._closed = False

    def close(self) -> None:
        """Twice does nothing."""
        if not self._closed:
            self._closed = True
            self._outputs.left()

    def take(self) -> list[bytes]:
        """What is new, oldest first."""
        new, self._read = self._outputs.since(self._read)
        return new

    async def wait(self, seconds: float) -> bool:
        """Until there is something new or the call is over, at most so long; whether there will be more."""
        try:
            async with asyncio.timeout(seconds):
                await self._outputs.news()
        except TimeoutError:
            pass
        return not self._outputs.closed
