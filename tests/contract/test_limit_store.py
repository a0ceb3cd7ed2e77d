"""What every LimitStore promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_adapters.redis.connections import RedisConnections
from cozy_adapters.redis.limits import RedisLimitStore
from cozy_domain.access.limits import Admission, Claim, Limit
from cozy_domain.access.ports import LimitStore
from tests.fixtures.redis import keys_under, redis_prefix, server_url

HOUR_US = 3_600_000_000
SECOND_US = 1_000_000
NEAR_US = 5 * SECOND_US
"""A real server's clock goes on while a test runs; windows are hours, so that it does not matter."""

THREE = Claim("account/anna", Limit(3, HOUR_US))
ONE = Claim("address/192.0.2.1", Limit(1, HOUR_US))


@dataclass
class Limits:
    """``wait`` lets microseconds pass."""

    store: LimitStore
    wait: Callable[[int], Awaitable[None]]

    async def take(self, *claims: Claim) -> Admission:
        return await self.store.take(claims)


class LimitStoreContract(ABC):
    @pytest.fixture
    @abstractmethod
    def limits(self) -> object: ...

    async def test_as_many_as_the_limit_says_are_admitted_and_not_one_more(self, limits: Limits) -> None:
        found = [await limits.take(THREE) for _ in range(5)]
        assert [it.admitted for it in found] == [True, True, True, False, False]
        assert [it.standings[0].remaining for it in found] == [2, 1, 0, 0, 0]

    async def test_a_standing_tells_whose_it_is_and_when_all_of_it_is_back(self, limits: Limits) -> None:
        (standing,) = (await limits.take(THREE)).standings
        assert (standing.key, standing.limit, standing.retry_after_us) == (THREE.key, THREE.limit, 0)
        assert standing.reset_us == pytest.approx(HOUR_US // 3, abs=NEAR_US)

    async def test_after_what_a_refusal_says_one_more_is_admitted(self, limits: Limits) -> None:
        for _ in range(3):
            await limits.take(THREE)
        (refused,) = (await limits.take(THREE)).standings
        assert refused.retry_after_us == pytest.approx(HOUR_US // 3, abs=NEAR_US)
        await limits.wait(refused.retry_after_us - NEAR_US)
        assert not (await limits.take(THREE)).admitted
        await limits.wait(NEAR_US)
        assert (await limits.take(THREE)).admitted
        assert not (await limits.take(THREE)).admitted

    async def test_after_its_window_a_bucket_is_full_and_no_fuller(self, limits: Limits) -> None:
        for _ in range(3):
            await limits.take(THREE)
        await limits.wait(10 * HOUR_US)
        assert [(await limits.take(THREE)).admitted for _ in range(4)] == [True, True, True, False]

    async def test_keys_do_not_use_up_each_others_limits(self, limits: Limits) -> None:
        other = Claim("account/ben", ONE.limit)
        assert (await limits.take(ONE)).admitted
        assert (await limits.take(other)).admitted
        assert not (await limits.take(ONE)).admitted

    async def test_several_claims_are_admitted_at_once(self, limits: Limits) -> None:
        found = await limits.take(THREE, ONE)
        assert found.admitted
        assert [(it.key, it.remaining) for it in found.standings] == [(THREE.key, 2), (ONE.key, 0)]

    @pytest.mark.parametrize("claims", [(THREE, ONE), (ONE, THREE)])
    async def test_the_refusal_of_one_takes_nothing_from_the_others(
        self, limits: Limits, claims: tuple[Claim, ...]
    ) -> None:
        await limits.take(ONE)
        for _ in range(4):
            found = await limits.take(*claims)
            assert not found.admitted
            assert {it.key: it.remaining for it in found.standings} == {THREE.key: 3, ONE.key: 0}
            assert found.tightest.key == ONE.key
        assert (await limits.take(THREE)).standings[0].remaining == 2

    async def test_nothing_claimed_is_admitted(self, limits: Limits) -> None:
        assert await limits.take() == Admission(True, ())

    async def test_claims_that_come_at_once_are_counted_one_by_one(self, limits: Limits) -> None:
        claim = Claim("account/anna", Limit(20, HOUR_US))
        found = await asyncio.gather(*(limits.take(claim) for _ in range(60)))
        assert sum(it.admitted for it in found) == 20

    async def test_who_gives_up_waiting_does_not_harm_the_next(self, limits: Limits) -> None:
        for _ in range(10):
            task = asyncio.ensure_future(limits.take(THREE))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await limits.take(ONE)).standings[0].key == ONE.key

    async def test_a_changed_limit_holds_at_once(self, limits: Limits) -> None:
        for _ in range(3):
            await limits.take(THREE)
        smaller = await limits.take(Claim(THREE.key, Limit(1, HOUR_US)))
        larger = await limits.take(Claim(THREE.key, Limit(6, 2 * HOUR_US)))
        assert not smaller.admitted
        assert larger.admitted

    async def test_any_name_will_do(self, limits: Limits) -> None:
        names = ("account/", "account/{a}", "account/安娜 🌸", "account/a\r\nSET x y", "a" * 2_000)
        for name in names:
            assert (await limits.take(Claim(name, ONE.limit))).admitted
            assert not (await limits.take(Claim(name, ONE.limit))).admitted


class TestInMemoryLimitStore(LimitStoreContract):
    @pytest.fixture
    def limits(self) -> Limits:
        clock = InMemoryClock()

        async def wait(us: int) -> None:
            clock.advance(timedelta(microseconds=us))

        return Limits(InMemoryLimitStore(clock), wait)


class TestRedisLimitStore(LimitStoreContract):
    @pytest.fixture
    async def limits(self) -> AsyncIterator[Limits]:
        """Time is Redis's own: instead of letting it pass, what is stored is moved back by as much."""
        async with redis_prefix() as prefix, Redis.from_url(server_url()) as client:

            async def wait(us: int) -> None:
                for key in await keys_under(client, prefix):
                    left = await client.pttl(key) - us // 1_000
                    full_at = int(await client.get(key) or 0) - us
                    await (client.set(key, full_at, px=left) if left > 0 else client.delete(key))

            store = RedisLimitStore(RedisConnections(server_url()), prefix=prefix)
            await store.aopen()
            try:
                yield Limits(store, wait)
            finally:
                await store.aclose()
