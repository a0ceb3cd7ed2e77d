"""Limits that all processes share.

The time is Redis's own: machines whose clocks differ would see each other's buckets as too full or too empty. Should that
one clock be set back, a bucket counts as used up at most once, so it costs a window.
"""

from importlib.resources import files

from cozy_adapters.redis.connections import RedisConnections, Script
from cozy_domain.access.limits import Admission, Claim, admission

PREFIX = "cozy"
_TAKE = Script(files("cozy_adapters.redis").joinpath("take.lua").read_text(encoding="utf-8"))


class RedisLimitStore:
    """One script, one round trip. Its keys begin with ``prefix``; in a cluster all of them live in one slot."""

    def __init__(self, connections: RedisConnections, *, prefix: str = PREFIX) -> None:
        self._connections = connections
        self._prefix = f"{{{prefix}:limits}}:"

    async def aopen(self) -> None:
        """Connects, so that the first request need not.

        Raises:
            StorageUnavailableError: Redis does not answer.
        """
        await self.take(())

    async def take(self, claims: tuple[Claim, ...]) -> Admission:
        keys = [self._prefix + claim.key for claim in claims]
        costs = [it for claim in claims for it in (claim.limit.interval_us, claim.limit.capacity_us)]
        admitted, *used = await self._connections.run(_TAKE, keys, costs)
        return admission(claims, used, admitted=admitted == 1)

    async def aclose(self) -> None:
        await self._connections.aclose()
