"""The events of a turn on their way to its caller."""

import asyncio

from cozy_domain.chat.events import ChatEvent, TurnEnded
from cozy_domain.errors import CozyError


class EventStream:
    """One writer, one reader. Writing never waits; a writer who minds looks at ``has_room`` first."""

    def __init__(self, unread: int) -> None:
        self._unread = unread
        self._events: asyncio.Queue[ChatEvent | CozyError | None] = asyncio.Queue()
        self._read = asyncio.Event()
        self._released = asyncio.Event()
        self._abandoned = False
        self._over = False

    def release(self) -> None:
        """Lets the reader see the events; until then it waits."""
        self._released.set()

    def abandon(self) -> None:
        """Nobody reads any more: what was not read, and all that is written from now on, is discarded."""
        self._abandoned = True
        self._released.set()
        self._read.set()
        self._events.put_nowait(None)

    def end(self) -> None:
        """Nothing more is written. Events that were never released stay unseen."""
        if not self._released.is_set():
            self.abandon()
        self._events.put_nowait(None)

    def write(self, event: ChatEvent | CozyError) -> None:
        """An error is raised in the reader; it and ``TurnEnded`` are the last of the stream."""
        if not self._abandoned:
            self._events.put_nowait(event)

    def has_room(self) -> bool:
        return self._abandoned or self._events.qsize() < self._unread

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
        await self._released.wait()
        event = None if self._over or self._abandoned else await self._events.get()
        self._read.set()
        if event is None or self._abandoned:
            self._over = True
            raise StopAsyncIteration
        self._over = isinstance(event, TurnEnded | CozyError)
        if isinstance(event, CozyError):
            raise event
        return event
