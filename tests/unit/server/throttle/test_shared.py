"""Limits while their shared store answers, and while it does not."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_domain.access.limits import Admission, Claim, Limit
from cozy_domain.errors import ConfigError, StorageUnavailableError
from cozy_domain.routing.circuit import FAILURES_TO_OPEN, OPEN_NS
from cozy_server.throttle.shared import ASK_AGAIN_S, SharedLimits
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time

HOUR_US = 3_600_000_000
CLAIM = Claim("account/anna", Limit(40, HOUR_US))


class FlakyStore(InMemoryLimitStore):
    """``away`` and ``slow`` are set by the test."""

    away = False
    slow = False
    asked = 0
    closed = False

    async def aopen(self) -> None:
        await self.take(())

    async def take(self, claims: tuple[Claim, ...]) -> Admission:
        self.asked += 1
        if self.slow:
            await asyncio.Event().wait()
        if self.away:
            raise StorageUnavailableError("gone")
        return await super().take(claims)

    async def aclose(self) -> None:
        self.closed = True


class Place:
    def __init__(self) -> None:
        clock = LoopClock()
        self.redis = FlakyStore(clock)
        self.limits = SharedLimits(self.redis, InMemoryLimitStore(clock), clock, deadline_s=0.1, processes=4)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Place"]:
        async with self.limits.running():
            self.redis.asked = 0
            yield self

    def answers(self) -> bool:
        return self.limits.answers

    async def limit(self) -> int:
        """Of the bucket that counted."""
        return (await self.limits.take((CLAIM,))).standings[0].limit.requests

    async def took_s(self) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.limits.take((CLAIM,))
        return loop.time() - began


async def test_while_the_store_answers_it_counts_for_all() -> None:
    async with Place().running() as place:
        assert await place.limit() == 40
        assert place.answers()


async def test_while_it_does_not_each_process_admits_its_share() -> None:
    async with Place().running() as place:
        place.redis.away = True
        found = [(await place.limits.take((CLAIM,))).admitted for _ in range(12)]
        assert found == [True] * 10 + [False] * 2


async def test_nobody_waits_longer_than_the_deadline_and_after_five_nobody_waits() -> None:
    async with Place().running() as place:
        place.redis.slow = True
        waits = [await place.took_s() for _ in range(FAILURES_TO_OPEN + 3)]
        assert waits == [pytest.approx(0.1)] * FAILURES_TO_OPEN + [0.0] * 3
        assert place.redis.asked == FAILURES_TO_OPEN
        assert not place.answers()


async def test_of_many_at_once_each_waits_for_the_deadline_alone() -> None:
    async with Place().running() as place:
        place.redis.slow = True
        waits = await asyncio.gather(*(place.took_s() for _ in range(50)))
        assert max(waits) == pytest.approx(0.1)
        assert await place.took_s() == 0.0


@pytest.mark.parametrize("fault", ["slow", "away"])
async def test_a_store_that_is_back_is_found_by_itself(fault: str) -> None:
    async with Place().running() as place:
        setattr(place.redis, fault, True)
        for _ in range(FAILURES_TO_OPEN):
            await place.limit()
        await asyncio.sleep(10 * ASK_AGAIN_S)
        assert not place.answers()
        setattr(place.redis, fault, False)
        await asyncio.sleep(2 * ASK_AGAIN_S)
        assert place.answers()
        assert await place.limit() == 40


async def test_a_request_that_finds_it_back_ends_the_outage_too() -> None:
    place = Place()
    place.redis.away = True
    for _ in range(FAILURES_TO_OPEN):
        await place.limit()
    place.redis.away = False
    assert await place.limit() == 10
    await asyncio.sleep(OPEN_NS / 1e9)
    assert await place.limit() == 40
    assert place.answers()


async def test_a_store_that_is_away_at_the_start_keeps_nobody_from_starting() -> None:
    for fault in ("slow", "away"):
        place = Place()
        setattr(place.redis, fault, True)
        async with asyncio.timeout(3), place.running():
            assert not place.answers()
            assert await place.took_s() == 0.0
        assert place.redis.closed


async def test_a_start_that_fails_inside_fails_as_itself_and_closes_the_store() -> None:
    place = Place()
    with pytest.raises(ConfigError, match="no such model"):
        async with place.running():
            raise ConfigError("no such model")
    assert place.redis.closed


async def test_who_gives_up_waiting_is_let_go() -> None:
    async with Place().running() as place:
        place.redis.slow = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await place.limits.take((CLAIM,))
        assert place.answers()


async def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[str]:
        return [record.message for record in caplog.records if record.name == "cozy_server.throttle.shared"]

    with caplog.at_level(logging.INFO):
        async with Place().running() as place:
            place.redis.away = True
            for _ in range(20):
                await place.limit()
            place.redis.away = False
            await asyncio.sleep(2 * ASK_AGAIN_S)
    assert told() == ["limits_not_shared", "limits_shared_again"]
