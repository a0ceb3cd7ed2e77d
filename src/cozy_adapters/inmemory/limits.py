"""Limits in memory: for one process, and for each process while there is no shared store."""

from cozy_domain.access.limits import Admission, Claim, admission, fits, used_us
from cozy_domain.clock import Clock

MOST = 100_000
"""Buckets that are not full. A minute's worth of 1,600 new ones a second, some 20 MB."""


class InMemoryLimitStore:
    """Keeps at most ``most`` buckets. When there are more, the one that was claimed longest ago is forgotten, which is as if
    it were full: memory is bounded for all, at the price of some requests too many for one."""

    def __init__(self, clock: Clock, *, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._full_at: dict[str, int] = {}
        """By key, in µs of the monotonic clock; in the order of the last claim."""

    def __len__(self) -> int:
        return len(self._full_at)

    async def take(self, claims: tuple[Claim, ...]) -> Admission:
        now = self._clock.monotonic_ns() // 1_000
        used = [used_us(self._full_at.get(claim.key), claim.limit, now) for claim in claims]
        admitted = all(fits(it, claim.limit) for it, claim in zip(used, claims, strict=True))
        if admitted:
            for position, claim in enumerate(claims):
                used[position] += claim.limit.interval_us
                self._keep(claim.key, now + used[position])
            self._forget(now)
        return admission(claims, used, admitted=admitted)

    def _keep(self, key: str, full_at: int) -> None:
        self._full_at.pop(key, None)
        self._full_at[key] = full_at

    def _forget(self, now: int) -> None:
        """Looks at as many as a claim can add, so that it costs the same whatever came before."""
        for _ in range(4):
            oldest = next(iter(self._full_at), None)
            if oldest is None or (self._full_at[oldest] > now and len(self._full_at) <= self._most):
                return
            del self._full_at[oldest]
