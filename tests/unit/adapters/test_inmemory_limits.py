"""Limits in memory stay small."""

from datetime import timedelta

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_domain.access.limits import Claim, Limit

LIMIT = Limit(2)


async def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = InMemoryClock()
    store = InMemoryLimitStore(clock)
    for number in range(1_000):
        clock.advance(timedelta(seconds=1))
        await store.take((Claim(f"address/{number}", LIMIT), Claim("account/anna", Limit(1_000))))
    assert len(store) < 40


async def test_a_flood_of_names_takes_no_more_than_its_place() -> None:
    store = InMemoryLimitStore(InMemoryClock(), most=100)
    for number in range(1_000):
        await store.take((Claim(f"address/{number}", LIMIT), Claim(f"account/{number}", LIMIT)))
        assert len(store) <= 100


async def test_of_too_many_the_one_claimed_longest_ago_is_forgotten() -> None:
    store = InMemoryLimitStore(InMemoryClock(), most=2)
    one = Limit(1)
    busy, idle, new = Claim("busy", Limit(9)), Claim("idle", one), Claim("new", one)
    for claim in (busy, idle, busy, new):
        await store.take((claim,))
    assert (await store.take((new,))).admitted is False
    assert (await store.take((busy,))).standings[0].remaining == 6
    assert (await store.take((idle,))).admitted
