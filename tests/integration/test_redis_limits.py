"""Limits on a real Redis: several processes, the rule beside its twin, and what Redis may do to us."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_adapters.redis.connections import RedisConnections
from cozy_adapters.redis.limits import RedisLimitStore
from cozy_domain.access.limits import Claim, Limit
from cozy_domain.errors import ConfigError, StorageUnavailableError
from tests.fixtures.clocks import LoopClock
from tests.fixtures.redis import RedisServer, keys_under, redis_prefix, server_url
from tests.fixtures.slow_line import SlowLine

HOUR_US = 3_600_000_000
CLAIM = Claim("account/anna", Limit(100, HOUR_US))

WORKER = """
import asyncio, sys
from cozy_adapters.redis.connections import RedisConnections
from cozy_adapters.redis.limits import RedisLimitStore
from cozy_domain.access.limits import Claim, Limit

async def main(url, prefix):
    store = RedisLimitStore(RedisConnections(url), prefix=prefix)
    await store.aopen()
    print("ready", flush=True)
    sys.stdin.readline()
    claim = Claim("account/anna", Limit(100, 3_600_000_000))
    found = await asyncio.gather(*(store.take((claim,)) for _ in range(80)))
    await store.aclose()
    print(sum(it.admitted for it in found), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def prefix() -> AsyncIterator[str]:
    async with redis_prefix() as made:
        yield made


@pytest.fixture
async def store(prefix: str) -> AsyncIterator[RedisLimitStore]:
    opened = RedisLimitStore(RedisConnections(server_url()), prefix=prefix)
    yield opened
    await opened.aclose()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """One that the test may harm."""
    server = RedisServer()
    server.start()
    yield server
    server.close()


async def test_four_processes_admit_a_hundred_together(prefix: str) -> None:
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, server_url(), prefix,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=dict(os.environ),
        )
        for _ in range(4)
    ]  # fmt: skip
    async with asyncio.timeout(60):
        for worker in workers:
            assert worker.stdout
            assert await worker.stdout.readline() == b"ready\n"
        said = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    admitted = [int(out) for out, _ in said]
    assert 98 <= sum(admitted) <= 102
    assert min(admitted) > 0, "they were to run at once"


STEPS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True), min_size=1, max_size=25)


@given(steps=STEPS, sizes=st.lists(st.integers(1, 6), min_size=4, max_size=4))
@settings(max_examples=25, deadline=None)
def test_the_script_and_its_twin_decide_alike(steps: list[list[int]], sizes: list[int]) -> None:
    asyncio.run(_alike(steps, sizes))


async def _alike(steps: list[list[int]], sizes: list[int]) -> None:
    claims = [Claim(f"bucket/{number}", Limit(size, HOUR_US)) for number, size in enumerate(sizes)]
    twin = InMemoryLimitStore(LoopClock())
    async with redis_prefix() as prefix:
        store = RedisLimitStore(RedisConnections(server_url()), prefix=prefix)
        for step in steps:
            asked = tuple(claims[number] for number in step)
            ours, theirs = await store.take(asked), await twin.take(asked)
            assert ours.admitted == theirs.admitted
            assert [it.remaining for it in ours.standings] == [it.remaining for it in theirs.standings]
            for one, other in zip(ours.standings, theirs.standings, strict=True):
                assert one.reset_us == pytest.approx(other.reset_us, abs=2_000_000)
        await store.aclose()


async def test_a_bucket_is_gone_when_it_is_full(store: RedisLimitStore, prefix: str) -> None:
    await store.take((Claim("account/anna", Limit(100, 10_000_000)),))
    async with Redis.from_url(server_url()) as client:
        (key,) = await keys_under(client, prefix)
        assert 0 < await client.pttl(key) <= 100


async def test_what_somebody_else_wrote_under_our_name_counts_as_full(
    store: RedisLimitStore, prefix: str
) -> None:
    async with Redis.from_url(server_url()) as client:
        await client.set(f"{{{prefix}:limits}}:{CLAIM.key}", "garbage")
    assert (await store.take((CLAIM,))).standings[0].remaining == 99
    assert (await store.take((CLAIM,))).standings[0].remaining == 98


async def test_a_clock_that_was_set_back_shuts_nobody_out_for_longer_than_a_window(
    store: RedisLimitStore, prefix: str
) -> None:
    async with Redis.from_url(server_url()) as client:
        await client.set(f"{{{prefix}:limits}}:{CLAIM.key}", 9 * 10**15)
    found = await store.take((CLAIM,))
    assert not found.admitted
    assert found.standings[0].reset_us == HOUR_US
    assert found.standings[0].retry_after_us == CLAIM.limit.interval_us


async def test_a_redis_that_forgot_everything_starts_anew(redis: RedisServer) -> None:
    store = RedisLimitStore(RedisConnections(redis.url))
    await store.take((CLAIM,))
    async with Redis.from_url(redis.url) as client:
        await client.flushall()
        await client.script_flush()
    assert (await store.take((CLAIM,))).standings[0].remaining == 99
    await store.aclose()


async def test_a_redis_that_was_started_anew_is_noticed_by_nobody(redis: RedisServer) -> None:
    store = RedisLimitStore(RedisConnections(redis.url))
    await asyncio.gather(*(store.take((CLAIM,)) for _ in range(5)))
    await asyncio.to_thread(
        redis.stop
    )  # in a thread: meanwhile the loop hears that its connections are closed
    await asyncio.to_thread(redis.start)
    found = await asyncio.gather(*(store.take((CLAIM,)) for _ in range(5)))
    assert all(it.admitted for it in found)
    await store.aclose()


async def test_a_request_whose_answer_was_lost_is_not_counted_twice(redis: RedisServer) -> None:
    async with (
        SlowLine(redis.port) as line,
        Redis.from_url(redis.url) as direct,
        aclosing(RedisLimitStore(RedisConnections(f"redis://127.0.0.1:{line.port}/0"))) as store,
    ):
        await store.take((CLAIM,))
        line.delay_s = 60.0
        asked = asyncio.create_task(store.take((CLAIM,)))
        async with asyncio.timeout(60):
            while await counted(direct) < 2:
                pass
        line.delay_s = 0.0
        await line.cut()
        with pytest.raises(StorageUnavailableError):
            await asked
        assert await counted(direct) == 2
        assert (await store.take((CLAIM,))).standings[0].remaining == 97


async def counted(client: Redis) -> int:
    """How many requests are in the only bucket there is."""
    (key,) = await keys_under(client, "limits")
    full_in_ms: int = await client.pttl(key)
    return round(full_in_ms * 1_000 / CLAIM.limit.interval_us)


async def test_a_redis_that_is_away_is_said_to_be_away(redis: RedisServer) -> None:
    store = RedisLimitStore(RedisConnections(redis.url))
    await store.aopen()
    redis.stop()
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            await store.take((CLAIM,))
    redis.start()
    assert (await store.take((CLAIM,))).admitted
    await store.aclose()


async def test_a_redis_without_memory_is_said_to_be_away() -> None:
    server = RedisServer(maxmemory="1", **{"maxmemory-policy": "noeviction"})
    server.start()
    store = RedisLimitStore(RedisConnections(server.url))
    try:
        with pytest.raises(StorageUnavailableError, match="OOM"):
            await store.take((CLAIM,))
        async with Redis.from_url(server.url) as client:
            await client.config_set("maxmemory", "100mb")
        assert (await store.take((CLAIM,))).admitted
    finally:
        await store.aclose()
        server.close()


async def test_a_wrong_password_is_said_and_not_shown(redis: RedisServer) -> None:
    wrong = redis.url.replace("127.0.0.1", "anna:hush@127.0.0.1")
    store = RedisLimitStore(RedisConnections(wrong))
    with pytest.raises(StorageUnavailableError) as error:
        await store.aopen()
    assert "hush" not in str(error.value)
    await store.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:6379",
        "http://hush@host",
        "redis://hush@host:port",
        "",
        "redis://:hush@127.0.0.1:1/0?foo=hush",
        "redis://:hush@127.0.0.1:1/0?protocol=hush",
        "rediss://:hush@127.0.0.1:1/0?ssl_cert_reqs=hush",
    ],
)
def test_an_address_of_something_else_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis\.url") as error:
        RedisConnections(url)
    assert "hush" not in str(error.value)


async def test_a_hanging_redis_is_left_as_soon_as_the_caller_wants(redis: RedisServer) -> None:
    store = RedisLimitStore(RedisConnections(redis.url))
    await store.aopen()
    redis.hang()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.take((CLAIM,))
    assert loop.time() - began < 30
    redis.resume()
    async with asyncio.timeout(60):
        assert (await store.take((CLAIM,))).admitted
    await store.aclose()


async def test_a_closed_store_connects_no_more(prefix: str) -> None:
    store = RedisLimitStore(RedisConnections(server_url()), prefix=prefix)
    await store.aopen()
    await store.aclose()
    with pytest.raises(StorageUnavailableError):
        await store.take((CLAIM,))


async def test_connections_are_bounded_and_kept(redis: RedisServer) -> None:
    store = RedisLimitStore(RedisConnections(redis.url, most=4))
    await asyncio.gather(*(store.take((CLAIM,)) for _ in range(50)))
    async with Redis.from_url(redis.url) as client:
        assert len(await client.client_list()) == 4 + 1
    await store.aclose()
