"""A thousand sockets that say nothing, twenty that send without end, hundreds that vanish: cheap, and gone in the end."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.fixtures.dictation import PATH
from tests.fixtures.server import Process, server_process

IDLE = 1_000
SLACK = 10
"""Sockets of other things."""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Process]:
    async with server_process("dev", "--port", "0", "--simulate", "0/0/0", folder=tmp_path) as server:
        await spoken(server)
        yield server


async def opened(server: Process) -> ClientConnection:
    address = f"ws{server.url.removeprefix('http')}{PATH}"
    return await connect(address, proxy=None, compression=None, open_timeout=60)


async def spoken(server: Process) -> None:
    socket = await opened(server)
    await socket.send('{"type":"start"}')
    await socket.send(bytes(32_000))
    await socket.send('{"type":"stop"}')
    async with asyncio.timeout(30):
        assert [message async for message in socket][-1] == '{"duration":1.0,"type":"done"}'


def memory_mb(server: Process) -> float:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize() / 1e6


def files(server: Process) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))  # noqa: PTH208  # called from async code


async def few_files(server: Process, most: int) -> None:
    async with asyncio.timeout(90):
        while files(server) > most:  # noqa: ASYNC110  the other process tells nobody
            await asyncio.sleep(0.1)


async def test_a_thousand_idle_sockets_cost_little_and_are_closed(served: Process) -> None:
    before, memory = files(served), memory_mb(served)
    sockets = [await opened(served) for _ in range(IDLE)]
    assert files(served) >= before + IDLE
    assert memory_mb(served) - memory < 100
    await spoken(served)
    async with asyncio.timeout(40):
        await asyncio.gather(*(socket.wait_closed() for socket in sockets))
    assert {socket.close_code for socket in sockets} == {1008}
    await few_files(served, before + SLACK)


async def test_who_sends_without_end_is_not_read_from(served: Process) -> None:
    memory = memory_mb(served)

    async def flood() -> None:
        socket = await opened(served)
        await socket.send('{"type":"start"}')
        try:
            async with asyncio.timeout(8):
                while True:
                    await socket.send(os.urandom(64_000))
        except (TimeoutError, ConnectionClosed):
            socket.transport.abort()

    await asyncio.gather(*(flood() for _ in range(20)))
    assert memory_mb(served) - memory < 60
    await spoken(served)


async def test_hundreds_that_vanish_leave_nothing(served: Process) -> None:
    before, memory = files(served), memory_mb(served)
    for _ in range(500):
        socket = await opened(served)
        await socket.send('{"type":"start"}')
        await socket.send(os.urandom(32_000))
        socket.transport.abort()
    await few_files(served, before + SLACK)
    assert memory_mb(served) - memory < 40
    await spoken(served)
