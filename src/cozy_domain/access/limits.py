"""How often somebody may ask: a bucket of requests that fills again at a steady pace (pure).

This is the generic cell rate algorithm (ITU-T I.371, annex A) in its simplest form. All that is kept of a bucket is
one time, when it will be full again; the time until then is what was used up. A request costs one ``interval_us``, and is
admitted while what is used up stays within ``capacity_us``. So ``requests`` may come at once, and after that one in each
interval; over any span of time never more than a full bucket and what filled it meanwhile.

Times are integer microseconds: whole numbers of them up to 2^53 are exact in Lua as well, where the same rule runs.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

MINUTE_US = 60_000_000


class Limit(msgspec.Struct, frozen=True):
    """``requests``, at least 1, in ``window_us``: as many at once, and a full bucket again after a whole window."""

    requests: int
    window_us: int = MINUTE_US

    @property
    def interval_us(self) -> int:
        """What one request costs; rounded up, so that rounding never admits one more."""
        return -(-self.window_us // self.requests)

    @property
    def capacity_us(self) -> int:
        return self.requests * self.interval_us


class Claim(msgspec.Struct, frozen=True):
    """One request counted for ``key``: whose bucket it is, such as ``account/acme``."""

    key: str
    limit: Limit


class Standing(msgspec.Struct, frozen=True):
    """A bucket after a claim. ``remaining`` requests may come at once, in ``reset_us`` all of them; ``retry_after_us`` is 0
    unless this bucket refused: until then it refuses all."""

    key: str
    limit: Limit
    remaining: int
    reset_us: int
    retry_after_us: int = 0


class Admission(msgspec.Struct, frozen=True):
    """What became of several claims at once: all were admitted, or nothing was taken from any bucket."""

    admitted: bool
    standings: tuple[Standing, ...]

    @property
    def tightest(self) -> Standing:
        """The bucket that a client should go by: the one that refuses longest, else the one with the least in it."""
        found = self.standings[0]
        for it in self.standings[1:]:
            if (it.retry_after_us, -it.remaining) > (found.retry_after_us, -found.remaining):
                found = it
        return found


def used_us(full_at_us: int | None, limit: Limit, now_us: int) -> int:
    """How much of the bucket is used up. A clock that was set back cannot make it more than all of it, so that nobody is
    shut out for longer than one window."""
    if full_at_us is None or full_at_us <= now_us:
        return 0
    return min(full_at_us - now_us, limit.capacity_us)


def fits(used: int, limit: Limit) -> bool:
    """Whether one more request is admitted."""
    return used <= (limit.requests - 1) * limit.interval_us


def admission(claims: Sequence[Claim], used: Sequence[int], *, admitted: bool) -> Admission:
    """``used``: of each claim's bucket, with this request if it was ``admitted``."""
    found = [_standing(claim, it, admitted) for claim, it in zip(claims, used, strict=True)]
    return Admission(admitted, tuple(found))


class Bucket:
    """One that nobody else needs to know of: of a line, or a call."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._full_at_us = 0

    def admits(self, now_us: int) -> bool:
        """Whether one more may come now; if so it is counted."""
        used = used_us(self._full_at_us, self._limit, now_us)
        if not fits(used, self._limit):
            return False
        self._full_at_us = now_us + used + self._limit.interval_us
        return True


def share(limit: Limit, processes: int) -> Limit:
    """What one of several processes may admit by itself, so that all of them together stay near the limit."""
    return replace(limit, requests=max(1, limit.requests // processes))


def _standing(claim: Claim, used: int, admitted: bool) -> Standing:
    limit = claim.limit
    interval = limit.interval_us
    remaining = limit.requests - -(-used // interval)
    retry_after = 0 if admitted else max(0, used - (limit.requests - 1) * interval)
    return Standing(claim.key, limit, remaining, used, retry_after)
