"""What is noticed of one connection while it lasts."""

import asyncio
from collections.abc import Callable, Sequence

MAX_MESSAGE = 4_194_304
"""Bytes of one message; a list of 128 tools at their limits, or a picture."""
MAX_PACE = 500
"""Messages in a second. One takes some 0.3 ms of the event loop that all conversations share."""
_GRUMBLED = 4_096
_MASK = "********"
_SHORTEST_SECRET = 4


class FloodError(Exception):
    """More messages in a second than anybody needs."""


class Watch:
    """``wake`` is called when the connection was lost, and when its tools may have changed."""

    def __init__(self, wake: Callable[[], None], secrets: Sequence[str] = ()) -> None:
        self.lost: str | None = None
        """Why it ended, in words for people, without the server's own."""
        self.stale = False
        """Whether its tools should be listed again; until they are, ``fresh`` is not set."""
        self.fresh = asyncio.Event()
        self.status: int | None = None
        """The last HTTP status that was an error."""
        self._wake = wake
        self._ended = False
        self._secrets = sorted((it for it in secrets if len(it) >= _SHORTEST_SECRET), key=len, reverse=True)
        self._second = 0
        self._counted = 0
        self._grumbled = b""

    def lose(self, reason: str) -> None:
        """The first reason counts, and none that we brought about ourselves at the end."""
        if not self._ended:
            self.lost = self.lost or reason
        self.end()
        self._wake()

    def end(self) -> None:
        """The connection is over: nobody need wait for a list of tools any more."""
        self._ended = True
        self.fresh.set()

    def outdate(self) -> None:
        self.stale = True
        if not self._ended:
            self.fresh.clear()
        self._wake()

    def listed(self) -> None:
        if not self.stale:
            self.fresh.set()

    def count(self) -> None:
        """
        Raises:
            FloodError: there were too many within this second.
        """
        second = int(asyncio.get_running_loop().time())
        self._counted = self._counted + 1 if second == self._second else 1
        self._second = second
        if self._counted > MAX_PACE:
            self.lose(f"it sent more than {MAX_PACE} messages in a second")
            raise FloodError

    def grumble(self, said: bytes) -> None:
        """What a child wrote to standard error; only the end is kept."""
        self._grumbled = (self._grumbled + said)[-_GRUMBLED:]

    @property
    def grumbled(self) -> str:
        """For the log: without the secrets that the child was given."""
        return self.masked(self._grumbled.decode(errors="replace"))

    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text
