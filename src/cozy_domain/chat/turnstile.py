"""Lets turns in a few at a time, until their model is asked.

Of many turns that come at once the event loop does each step for all before the next for any: their models are asked late,
and then all wait together with nothing left to do. Let in one after another, the first wait while the last begin.
"""

import asyncio
from collections import deque


class Turnstile:
    """``places`` turns are inside at once. Nobody waits for longer than ``patience_s``: then what those inside wait for
    takes long, and to keep others out gains nothing."""

    def __init__(self, places: int, patience_s: float) -> None:
        self._free = places
        self._patience_s = patience_s
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> "Passage":
        """In the order of coming."""
        if self._free > 0:
            self._free -= 1
            return Passage(self)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        impatience = loop.call_later(self._patience_s, self._squeeze_in, turn)
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.free()
            raise
        finally:
            impatience.cancel()
        return Passage(self)

    def free(self) -> None:
        """A turn has passed: the next one may."""
        while self._free >= 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _squeeze_in(self, turn: asyncio.Future[None]) -> None:
        """It takes a place that there is not, which the next to pass does not hand on."""
        if not turn.done():
            self._free -= 1
            turn.set_result(None)


class Passage:
    """A place inside, or none yet."""

    def __init__(self, turnstile: Turnstile | None = None) -> None:
        self._turnstile = turnstile

    def end(self) -> None:
        """Gives the place back; to do it again does nothing."""
        turnstile, self._turnstile = self._turnstile, None
        if turnstile is not None:
            turnstile.free()
