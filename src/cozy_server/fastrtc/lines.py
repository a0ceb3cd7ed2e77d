"""Whose id is whose. Clients make up the ids of their calls, so an id alone opens nothing: it is looked up among those of
its caller."""

import asyncio
from collections import OrderedDict

import msgspec

from cozy_domain.access.caller import Caller
from cozy_domain.clock import Clock
from cozy_domain.voice.driver import VoiceCall
from cozy_server.fastrtc.outputs import Outputs
from cozy_server.fastrtc.refusals import EXISTS, refused

CANDIDATES = 30
"""Requests that belong to one call and are not counted by themselves: a browser on a machine with many networks sends some
20 candidates, and most of them before the offer is answered (limit of candidates: reliability I10)."""
REMEMBERED_NS = 30_000_000_000
MOST_REMEMBERED = 10_000
AWAITED_S = 3.0
"""Pages read along as soon as they have made up an id, and some before they have offered."""
MOST_AWAITING = 256
"""Who wait for a call to begin."""

Key = tuple[str, str]
"""Account and id."""


class Line:
    """One id, from the offer to the end of its call. ``subject`` is the person, where the key serves many."""

    def __init__(self, key: Key, subject: str | None) -> None:
        self.key = key
        self.subject = subject
        self.outputs = Outputs()
        self.call: VoiceCall | None = None

    @property
    def name(self) -> str:
        """For the connection: nobody else's begins with this account."""
        return name_of(*self.key)


def name_of(account: str, id: str) -> str:
    return f"{len(account)}:{account}/{id}"


class _Seen(msgspec.Struct):
    until_ns: int
    candidates: int = 0


class Lines:
    """All of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[Key, Line] = {}
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        self._ended: OrderedDict[Key, int] = OrderedDict()
        self._awaiting: list[tuple[Key, asyncio.Future[None]]] = []

    def __len__(self) -> int:
        return len(self._open)

    def belongs(self, account: str, id: str) -> bool:
        """Whether one more candidate of that id is part of something that was counted already; counts it."""
        now_ns = self._clock.monotonic_ns()
        while self._seen and next(iter(self._seen.values())).until_ns <= now_ns:
            self._seen.popitem(last=False)
        seen = self._seen.get((account, id))
        if seen is None:
            if len(self._seen) >= MOST_REMEMBERED:
                self._seen.popitem(last=False)
            self._seen[account, id] = _Seen(now_ns + REMEMBERED_NS)
            return False
        seen.candidates += 1
        return seen.candidates < CANDIDATES

    def claim(self, caller: Caller, id: str, subject: str | None) -> Line:
        """A new line, to be handed to ``release``.

        Raises:
            RefusedError: ``connection_already_exists``.
        """
        key = (caller.account, id)
        if key in self._open:
            raise refused(EXISTS)
        self.belongs(*key)
        line = self._open[key] = Line(key, subject)
        self._ended.pop(key, None)
        for wanted, begun in self._awaiting:
            if wanted == key and not begun.done():
                begun.set_result(None)
        return line

    def find(self, caller: Caller, id: str, subject: str | None = None) -> Line | None:
        """The caller's open line of that id; a ``subject`` that is given must be its."""
        line = self._open.get((caller.account, id))
        return line if line and subject in (None, line.subject) else None

    async def awaited(self, caller: Caller, id: str, subject: str | None = None) -> Line | None:
        """As ``find``; a line that is about to be opened is waited for. None at once when it has just ended."""
        key = (caller.account, id)
        if key not in self._open and not self._has_ended(key) and len(self._awaiting) < MOST_AWAITING:
            waiting = (key, asyncio.get_running_loop().create_future())
            self._awaiting.append(waiting)
            try:
                await asyncio.wait((waiting[1],), timeout=AWAITED_S)
            finally:
                self._awaiting.remove(waiting)
        return self.find(caller, id, subject)

    @property
    def awaiting(self) -> int:
        return len(self._awaiting)

    def _has_ended(self, key: Key) -> bool:
        return self._ended.get(key, 0) > self._clock.monotonic_ns()

    def release(self, line: Line) -> None:
        """The call is over, or never began. Twice does nothing."""
        if self._open.get(line.key) is line:
            del self._open[line.key]
            line.outputs.close()
            self._ended[line.key] = self._clock.monotonic_ns() + REMEMBERED_NS
            self._ended.move_to_end(line.key)
            if len(self._ended) > MOST_REMEMBERED:
                self._ended.popitem(last=False)
