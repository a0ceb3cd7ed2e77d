"""Identifiers that sort by time: UUIDv7 (RFC 9562, section 5.7)."""

import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

_VERSION = 7 << 76
_VARIANT = 0b10 << 62
_STEPS_PER_MS = 1 << 12
_NS_PER_MS = 1_000_000
_DRAWN_AT_ONCE = 512
"""Each draw is a system call during which another thread may take the interpreter, and keep it for milliseconds."""


class TimeOrderedIds:
    """Every id is greater than all that this object made before, also when the clock stands still or goes back.

    The 12 bits behind the milliseconds hold their fraction (RFC 9562, section 6.2, method 3); 62 bits are random.
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._last = 0
        self._lock = threading.Lock()
        self._random: Iterator[tuple[int]] = iter(())
        self._process = os.getpid()

    def new(self) -> UUID:
        with self._lock:
            steps = max(self._wall_ns() * _STEPS_PER_MS // _NS_PER_MS, self._last + 1)
            self._last = steps
            random = self._drawn()
        milliseconds, fraction = divmod(steps, _STEPS_PER_MS)
        return UUID(int=milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | random)

    def _drawn(self) -> int:
        """62 random bits. A process that was forked does not go on with what its parent had in store."""
        if self._process != os.getpid():
            self._random, self._process = iter(()), os.getpid()
        for (drawn,) in self._random:
            return drawn >> 2
        self._random = struct.iter_unpack("Q", secrets.token_bytes(struct.calcsize("Q") * _DRAWN_AT_ONCE))
        return self._drawn()
