"""The event loop beside the terminal.

Reading a line blocks the thread that does it, and signals are heard in the main thread alone. So the terminal has the main
thread, and everything asynchronous lives here.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

from cozy_domain.errors import CozyError
from cozy_server.cli.chat.said import Asked, Said, Talk, Turn

T = TypeVar("T")


class Background:
    """One talk, and of it one turn at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, talk: Talk) -> None:
        self._loop = loop
        self._talk = talk
        self._turn: Turn | None = None
        self._stopped = False

    def ask(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    @property
    def talk(self) -> Talk:
        return self._talk

    def answer(self, asked: Asked) -> Iterator[Said]:
        """What is said, as it comes.

        Raises:
            CozyError: the turn failed.
        """
        heard: SimpleQueue[Said | BaseException | None] = SimpleQueue()
        self._stopped = False
        work = asyncio.run_coroutine_threadsafe(self._listen(asked, heard), self._loop)
        while (said := heard.get()) is not None:
            if isinstance(said, BaseException):
                raise said
            yield said
        work.result()

    def stop(self) -> None:
        """Stops the answer under way; from any thread, also from a signal's handler."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._stopped = True
        if self._turn is not None:
            self._turn.stop()

    async def _listen(self, asked: Asked, heard: "SimpleQueue[Said | BaseException | None]") -> None:
        try:
            async with self._talk.turn(asked) as turn:
                self._turn = turn
                if self._stopped:
                    turn.stop()
                async for said in turn:
                    heard.put(said)
            heard.put(None)
        except CozyError as error:
            heard.put(error)
        except BaseException as error:
            heard.put(error)
            raise
        finally:
            self._turn = None


@contextmanager
def background(talk: AbstractAsyncContextManager[Talk]) -> Iterator[Background]:
    """Opens ``talk`` on a loop of its own, and closes both.

    Raises:
        CozyError: it could not be opened.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chat", daemon=True)
    thread.start()
    opened: SimpleQueue[Talk | None] = SimpleQueue()
    done = asyncio.Event()
    held = asyncio.run_coroutine_threadsafe(_hold(talk, opened, done), loop)
    held.add_done_callback(lambda _: opened.put(None))
    try:
        found = opened.get()
        if found is None:
            held.result()
            raise RuntimeError("a talk ended before it began")
        yield Background(loop, found)
    finally:
        loop.call_soon_threadsafe(done.set)
        try:
            if not held.done() or not held.exception():
                held.result()
        finally:
            asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _hold(
    talk: AbstractAsyncContextManager[Talk], opened: "SimpleQueue[Talk | None]", done: asyncio.Event
) -> None:
    """Entered and left by one task, as task groups insist."""
    async with talk as found:
        opened.put(found)
        await done.wait()
