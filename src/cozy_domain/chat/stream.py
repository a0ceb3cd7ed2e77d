"""The events of a turn on their way to its caller."""

import asyncio
from collections import deque
from collections.abc import Sequence

from cozy_domain.chat.events import ChatEvent, TurnEnded
from cozy_domain.errors import CozyError

_LAST = (TurnEnded, CozyError)


class EventStream:
    """One writer, one reader. Writing never waits; a writer who minds looks at ``has_room`` first."""

    def __init__(self, unread: int) -> None:
        self._unread = unread
        self._events: deque[ChatEvent | CozyError] = deque()
        self._news: asyncio.Future[None] | None = None
        self._read = asyncio.Event()
        self._released = False
        self._abandoned = False
        self._ended = False

    def release(self) -> None:
        """Lets the reader see the events; until then it waits."""
        self._released = True
        self._wake()

    def abandon(self) -> None:
        """Nobody reads any more: what was not read, and all that is written from now on, is discarded."""
        self._abandoned = True
        self._events.clear()
        self._read.set()
        self._wake()

    def end(self) -> None:
        """Nothing more is written. Events that were never released stay unseen."""
        self._ended = True
        if not self._released:
            self.abandon()
        self._wake()

    def write(self, event: ChatEvent | CozyError) -> None:
        """An error is raised in the reader; it and ``TurnEnded`` are the last of the stream."""
        if not self._abandoned:
            self._events.append(event)
            self._wake()

    def has_room(self) -> bool:
        return len(self._events) < self._unread

    async def room(self) -> None:
        """Waits until the reader has taken something."""
        self._read.clear()
        if not self.has_room():
            await self._read.wait()

    async def read(self) -> ChatEvent:
        """
        Raises:
            CozyError: the turn failed.
            StopAsyncIteration: it is over, or was abandoned.
        """
        while not self._abandoned and not (self._released and (self._events or self._ended)):
            await self._wait()
        if not self._events:
            raise StopAsyncIteration
        event = self._events.popleft()
        self._took(event)
        if isinstance(event, CozyError):
            raise event
        return event

    def ready(self) -> Sequence[ChatEvent]:
        """All that can be read without waiting; an error is left to ``read``."""
        found: list[ChatEvent] = []
        while self._released and self._events and not isinstance(event := self._events[0], CozyError):
            found.append(event)
            self._events.popleft()
        if found:
            self._took(found[-1])
        return found

    def _took(self, event: ChatEvent | CozyError) -> None:
        self._read.set()
        if isinstance(event, _LAST):
            self.abandon()

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
