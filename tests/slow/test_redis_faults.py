"""Redis is away, slow, hung, full, or forgets everything; nobody who chats notices (reliability D4).

The server is a process of its own under a steady load of chats; its provider, the Redis and the slow line to it are in this
one. Which limit an answer tells shows who counted: all processes together, or this one by itself with its share.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.redis import RedisServer
from tests.fixtures.server import Process, server_process
from tests.fixtures.slow_line import SlowLine

SHARED, SHARE = 60_000, 20_000
"""Requests a minute, and what one of three processes admits by itself."""
RATE = 20
BEFORE_S, DURING_S = 5.0, 8.0
ADDED_P95_S = 0.1
SLACK_S = 0.05
"""Of this machine, which does everything at once."""
RECOVERED_S = 10.0
CHAT = {"model": "fake/ok?chunks=3", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Answer:
    begun: float
    took: float
    status: int
    limit: int | None


@dataclass
class Load:
    """Chats, ``RATE`` a second whatever becomes of them."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> "Load":
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._generator = asyncio.create_task(self._generate())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._generator.cancel()
        await asyncio.gather(self._generator, return_exceptions=True)
        await asyncio.gather(*self._under_way)
        await self._http.close()

    def between(self, begin: float, end: float) -> list[Answer]:
        return [it for it in self.answers if begin <= it.begun < end]

    async def counted_by(self, limit: int, within_s: float) -> float:
        """Seconds until an answer tells that ``limit``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(within_s):
            while not any(it.limit == limit for it in self.answers if it.begun > began):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # another process's condition
        return loop.time() - began

    async def _generate(self) -> None:
        due = asyncio.get_running_loop().time()
        while True:
            task = asyncio.create_task(self._one())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    async def _one(self) -> None:
        now = asyncio.get_running_loop().time
        begun = now()
        async with self._http.post(f"{self.url}/v1/chat/completions", json=CHAT) as answer:
            await answer.read()
            limit = answer.headers.get("x-ratelimit-limit-requests")
            self.answers.append(Answer(begun, now() - begun, answer.status, int(limit) if limit else None))


@dataclass
class Place:
    redis: RedisServer
    line: SlowLine
    server: Process

    async def status_of(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.server.url}{path}") as answer:
            return answer.status, (await answer.json())["status"]


@asynccontextmanager
async def placed(folder: Path) -> AsyncIterator[Place]:
    redis = RedisServer()
    await asyncio.to_thread(redis.start)
    try:
        async with FakeOpenAI() as upstream, SlowLine(redis.port) as line:
            told = {
                "redis": {"url": f"redis://127.0.0.1:{line.port}/0"},
                "limits": {"owner_per_minute": SHARED, "processes": SHARED // SHARE},
                "models": {
                    "default": CHAT["model"],
                    "allowed": [CHAT["model"]],
                    "providers": {"fake": {"base_url": upstream.base_url, "api_key": "k"}},
                },
                "telemetry": {"log_level": "error"},
            }
            (folder / "cozy.yaml").write_text(json.dumps(told))
            model = str(CHAT["model"])
            async with server_process("dev", "--port", "0", folder=folder, COZY_MODEL=model) as server:
                assert "shared through Redis" in server.banner
                yield Place(redis, line, server)
    finally:
        await asyncio.to_thread(redis.close)


async def down(place: Place) -> None:
    await asyncio.to_thread(place.redis.stop)


async def up(place: Place) -> None:
    await asyncio.to_thread(place.redis.start)


async def hung(place: Place) -> None:
    place.redis.hang()


async def resumed(place: Place) -> None:
    place.redis.resume()


async def slow(place: Place) -> None:
    place.line.delay_s = 30.0


async def fast(place: Place) -> None:
    place.line.delay_s = 0.0


async def full(place: Place) -> None:
    async with Redis.from_url(place.redis.url) as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", "1")


async def roomy(place: Place) -> None:
    async with Redis.from_url(place.redis.url) as client:
        await client.config_set("maxmemory", "0")


Deed = Callable[[Place], Awaitable[None]]
FAULTS = {"down": (down, up), "hung": (hung, resumed), "+30 s": (slow, fast), "out of memory": (full, roomy)}


@pytest.mark.parametrize("fault", FAULTS)
async def test_d4_nobody_who_chats_notices(
    tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harm, mend = FAULTS[fault]
    loop = asyncio.get_running_loop()
    async with placed(tmp_path) as place, Load(place.server.url) as load:
        await load.counted_by(SHARED, within_s=10)
        begun = loop.time()
        await asyncio.sleep(BEFORE_S)
        broken = loop.time()
        await harm(place)
        fell = await load.counted_by(SHARE, within_s=10)
        await asyncio.sleep(DURING_S - fell)
        ready, overall = await place.status_of("/readyz"), await place.status_of("/health")
        mended = loop.time()
        await mend(place)
        back = await load.counted_by(SHARED, within_s=30)
        assert await place.status_of("/health") == (200, "ok")
    before, during = load.between(begun, broken), load.between(broken, mended)
    added = p95(during) - p95(before)
    say(
        capsys,
        f"D4 {fault}: {len(load.answers)} chats; p95 {p95(before) * 1e3:.0f} ms before, {p95(during) * 1e3:.0f} ms "
        f"during (+{added * 1e3:.0f} ms, longest {max(it.took for it in during) * 1e3:.0f} ms); "
        f"own share after {fell:.2f} s, shared again {back:.2f} s after the end",
    )
    assert {it.status for it in load.answers} == {200}
    assert {it.limit for it in load.answers} == {SHARED, SHARE}
    assert ready == (200, "ready")
    assert overall == (200, "degraded")
    assert added <= ADDED_P95_S + SLACK_S
    assert back <= RECOVERED_S


async def test_d4_a_redis_that_forgets_everything_costs_nobody_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = asyncio.get_running_loop()
    async with placed(tmp_path) as place, Load(place.server.url) as load:
        await load.counted_by(SHARED, within_s=10)
        begun = loop.time()
        await asyncio.sleep(BEFORE_S)
        broken = loop.time()
        for _ in range(10):
            async with Redis.from_url(place.redis.url) as client:
                await client.flushall()
                await client.script_flush()
            await asyncio.sleep(0.5)
        mended = loop.time()
        overall = await place.status_of("/health")
    before, during = load.between(begun, broken), load.between(broken, mended)
    added = p95(during) - p95(before)
    say(
        capsys,
        f"D4 FLUSHALL and SCRIPT FLUSH, ten times: {len(load.answers)} chats; +{added * 1e3:.0f} ms at p95",
    )
    assert {(it.status, it.limit) for it in load.answers} == {(200, SHARED)}
    assert overall == (200, "ok")
    assert added <= ADDED_P95_S + SLACK_S


def p95(answers: list[Answer]) -> float:
    took = sorted(it.took for it in answers)
    return took[int(len(took) * 0.95)]


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")
