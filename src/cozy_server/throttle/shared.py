"""Limits that all processes share, as long as their store answers; else each process admits its share by itself.

Nobody waits long for a limit: a question has a short deadline, and after five failures in a row a breaker spares the rest
the waiting. While it is open the store is asked every few seconds whether it is back, by us and not on a request's way.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from msgspec.structs import replace

from cozy_domain.access.limits import Admission, Claim, Limit, share
from cozy_domain.access.ports import LimitStore
from cozy_domain.clock import Clock
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.routing.circuit import (
    FAILURES_TO_OPEN,
    Circuit,
    after_failure,
    after_success,
    allows,
    probing,
)

OPEN_S = 2.0
"""How long the first connection may take; a start waits no longer for what it can do without."""
ASK_AGAIN_S = 5.0
PROBE = (Claim("probe", Limit(1_000_000)),)
"""It writes, because a Redis whose memory is full still reads."""

_log = logging.getLogger(__name__)


class OpenedLimitStore(LimitStore, Protocol):
    async def aopen(self) -> None:
        """
        Raises:
            StorageUnavailableError: the store does not answer.
        """
        ...

    async def aclose(self) -> None: ...


class SharedLimits:
    """``shared`` while it answers within ``deadline_s``, else ``own`` with the share of one of ``processes``."""

    def __init__(
        self, shared: OpenedLimitStore, own: LimitStore, clock: Clock, *, deadline_s: float, processes: int
    ) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._deadline_s = deadline_s
        self._processes = processes
        self._circuit = Circuit()

    @property
    def circuit(self) -> Circuit:
        return self._circuit

    @property
    def answers(self) -> bool:
        """Whether the limits are shared now, as far as is known."""
        return self._circuit.open_until_ns is None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connects first. A store that does not answer keeps nobody from starting."""
        try:
            async with asyncio.timeout(OPEN_S):
                await self._shared.aopen()
        except (StorageUnavailableError, TimeoutError) as error:
            self._failed(error, times=FAILURES_TO_OPEN)
        # No task group: whatever fails inside is to leave as it is, and a group would wrap it.
        watch = asyncio.create_task(self._watch(), name="shared limits")
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.wait((watch,))
            await self._shared.aclose()

    async def take(self, claims: tuple[Claim, ...]) -> Admission:
        """Never raises: whoever cannot be counted together is counted alone."""
        now_ns = self._clock.monotonic_ns()
        if not allows(self._circuit, now_ns):
            return await self._own_share(claims)
        self._circuit = probing(self._circuit, now_ns)
        try:
            async with asyncio.timeout(self._deadline_s):
                admission = await self._shared.take(claims)
        except (StorageUnavailableError, TimeoutError) as error:
            self._failed(error)
            return await self._own_share(claims)
        self._succeeded()
        return admission

    async def _own_share(self, claims: tuple[Claim, ...]) -> Admission:
        return await self._own.take(
            tuple(replace(claim, limit=share(claim.limit, self._processes)) for claim in claims)
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ASK_AGAIN_S)  # noqa: TID251  the pace of upkeep
            if self.answers:
                continue
            try:
                async with asyncio.timeout(OPEN_S):
                    await self._shared.take(PROBE)
            except (StorageUnavailableError, TimeoutError):
                continue
            self._succeeded()

    def _succeeded(self) -> None:
        if not self.answers:
            _log.info("limits_shared_again")
        self._circuit = after_success(self._circuit)

    def _failed(self, error: Exception, times: int = 1) -> None:
        answered = self.answers
        for _ in range(times):
            self._circuit = after_failure(self._circuit, self._clock.monotonic_ns())
        if answered and not self.answers:
            _log.warning("limits_not_shared", extra={"reason": str(error) or "it did not answer in time"})
