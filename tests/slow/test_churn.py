"""A thousand clients that come and go at every point of a turn leave no task, no socket and no turn behind."""

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]

CYCLES = 1_000
AT_ONCE = 20
SEED = 20_261_122
SLACK = 5
"""Sockets that a pool of connections may keep."""
MODELS = ("ok?chunks=30&gap_ms=2", "slow-first?ms=40", 'tool?args={"expression":"6*7"}')


def open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # called from async code


async def come_and_go(server: Running, chance: random.Random) -> str:
    """One client; where it left."""
    stream = chance.random() < 0.7
    body = json.dumps(
        {
            "model": f"fake/{chance.choice(MODELS)}",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": stream,
        }
    ).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    place = chance.choice(("connected", "half a head", "half a body", "asked", "reading", "finished"))
    try:
        sent = {"connected": b"", "half a head": head[:40], "half a body": head + body[:20]}
        writer.write(sent.get(place, head + body))
        async with asyncio.timeout(20):
            if place == "asked":
                await asyncio.sleep(chance.random() * 0.05)
            elif place == "reading":
                await reader.read(1)
                await asyncio.sleep(chance.random() * 0.03)
            elif place == "finished":
                await reader.readuntil(b"[DONE]" if stream else b'"chat.completion"}')
    finally:
        writer.transport.abort()
    return place


async def settled(server: Running, fake: FakeOpenAI, before: tuple[int, int] | None) -> tuple[int, int]:
    """Tasks and open files once nothing is under way, and once they are as ``before`` if that comes."""
    for _ in range(500):
        now = len(asyncio.all_tasks()), open_files()
        idle = not server.container.pipeline().turns_running and not fake.open_streams
        if idle and (before is None or (now[0] <= before[0] + SLACK and now[1] <= before[1] + SLACK)):
            break
        await asyncio.sleep(0.02)
    return now


async def test_a_thousand_clients_that_leave_are_forgotten(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    chance = random.Random(SEED)
    settings = with_fake(settings_for(tmp_path), fake_openai, *MODELS)
    async with running(container_for(settings)) as server:
        for _ in range(5):  # pools, caches and threads are filled before anything is counted
            await asyncio.gather(*(come_and_go(server, chance) for _ in range(AT_ONCE)))
        tasks, files = await settled(server, fake_openai, None)
        places: Counter[str] = Counter()
        for _ in range(CYCLES // AT_ONCE):
            places.update(await asyncio.gather(*(come_and_go(server, chance) for _ in range(AT_ONCE))))
        after = await settled(server, fake_openai, (tasks, files))
        assert places.total() == CYCLES
        assert len(places) == 6
        assert server.container.pipeline().turns_running == 0
        assert not fake_openai.open_streams
        assert after[0] <= tasks + SLACK, f"{tasks} tasks before, {after[0]} after {places}"
        assert after[1] <= files + SLACK, f"{files} open files before, {after[1]} after {places}"
