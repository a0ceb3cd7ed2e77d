"""The events of a turn on their way to its caller."""

import asyncio

from cozy_domain.chat.events import ChatEvent, TurnEnded
from cozy_domain.errors import CozyError


class EventStream:
    """One writer, one reader. Writing never waits; a writer who minds looks at ``has_room`` first."""

    def __init__(self, unread: int) -> None:
        self._unread = unread
        self._events: asyncio.Queue[ChatEvent | CozyError] = asyncio.Queue()
        self._read = asyncio.Event()
        self._released = asyncio.Event()
        self._abandoned = False
        self._over = False

    def release(self) -> None:
        """Lets the reader see the events; until then it waits."""
        self._released.set()

    def abandon(self) -> None:
        """Nobody reads any more: what is written from now on is discarded."""
        self._abandoned = True
        self._released.set()
        self._read.set()

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
            StopAsyncIteration: it was over before.
        """
        if self._over:
            raise StopAsyncIteration
        await self._released.wait()
        event = await self._events.get()
        self._read.set()
        if isinstance(event, CozyError):
            self._over = True
            raise event
        self._over = isinstance(event, TurnEnded)
        return event
