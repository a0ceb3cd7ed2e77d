"""What a call has said so far, for those who read along at ``/outputs``. Every reader gets all of it, from the first on."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

MOST_KEPT = 200
"""Outputs of one call; the oldest are forgotten."""
MOST_READERS = 8
"""Of one call at once."""


class Outputs:
    """Of one call. Each is one JSON object, encoded."""

    def __init__(self) -> None:
        self._kept: deque[bytes] = deque(maxlen=MOST_KEPT)
        self._added = 0
        self._closed = False
        self._news = asyncio.Event()
        self._readers = 0

    @property
    def full(self) -> bool:
        return self._readers >= MOST_READERS

    def add(self, output: bytes) -> None:
        self._kept.append(output)
        self._added += 1
        self._tell()

    def close(self) -> None:
        """Readers end when they have read what there is."""
        self._closed = True
        self._tell()

    async def read(self) -> AsyncGenerator[bytes]:
        """All outputs, until the call is over. A reader that is slow misses what was forgotten meanwhile."""
        self._readers += 1
        read = 0
        try:
            while True:
                read = max(read, self._added - len(self._kept))
                while read < self._added:
                    index = read - (self._added - len(self._kept))
                    read += 1
                    yield self._kept[index]
                    read = max(read, self._added - len(self._kept))
                if self._closed:
                    return
                await self._news.wait()
        finally:
            self._readers -= 1

    def _tell(self) -> None:
        """Wakes all who wait now; who comes later waits for the next."""
        self._news.set()
        self._news = asyncio.Event()
