"""A server that takes calls, on engines that need no time, and says what it holds whenever it is asked.

``python -m tests.slow.counted DATA CALLS`` serves the real application on a free port, with its store in DATA and at most
CALLS calls at once. On standard output: ``port N``, then a line of JSON, a `Held`, for each line on standard input.
"""

import asyncio
import ctypes
import gc
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from cozy_server.app import create_app
from cozy_server.container.container import Container
from cozy_server.serving import listen, serve
from cozy_server.telemetry import configure_logs
from tests.fixtures.fastrtc import calls_for
from tests.fixtures.server import PATIENCE_S, environment
from tests.fixtures.webrtc import sockets


class Held(msgspec.Struct):
    """``tasks`` by what they run, ``objects`` those that the collector knows, ``seats`` of calls."""

    tasks: dict[str, int]
    sockets: int
    threads: int
    seats: int
    lines: int
    conversations: int
    connections: int
    objects: int
    resident_mb: float

    @property
    def of_calls(self) -> tuple[int, ...]:
        return self.seats, self.lines, self.conversations, self.connections


class CountedServer:
    """Seen from the test."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def held(self) -> Held:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"?\n")
        async with asyncio.timeout(PATIENCE_S):
            return msgspec.json.decode(await self._process.stdout.readline(), type=Held)

    async def at_rest(self, within_s: float) -> Held:
        """What it holds when there is no call."""
        found = await self.back_to(await self.held(), within_s)
        assert not any(found.of_calls), found
        return found

    async def back_to(self, before: Held, within_s: float) -> Held:
        """What it holds when no call is left, nor more tasks and sockets than ``before``, or at the end of the time."""
        ends = asyncio.get_running_loop().time() + within_s
        while True:
            now = await self.held()
            more = Counter(now.tasks) - Counter(before.tasks)
            rest = not any(now.of_calls) and not more and now.sockets <= before.sockets
            if rest or asyncio.get_running_loop().time() > ends:
                return now
            await asyncio.sleep(0.2)


@asynccontextmanager
async def counted_server(folder: Path, calls: int) -> AsyncIterator[CountedServer]:
    """Its log is ``folder / "stderr"``."""
    with (folder / "stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.slow.counted",
            str(folder),
            str(calls),
            env=environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            said = (await process.stdout.readline()).decode()
        assert said.startswith("port "), (folder / "stderr").read_text()
        yield CountedServer(process, f"http://127.0.0.1:{said.split()[1]}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else the pipe is closed by the collector, with a warning


def _held(container: Container) -> Held:
    calling, connections = container.calling(), container.peer_connections()
    assert calling is not None
    assert connections is not None
    conversations = container.conversations()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is nothing that is held
    return Held(
        tasks=Counter(_named(it) for it in asyncio.all_tasks()),
        sockets=sockets(),
        threads=threading.active_count(),
        seats=calling.calls_open,
        lines=len(conversations.lines),
        conversations=len(conversations),
        connections=connections.open,
        objects=len(gc.get_objects()),
        resident_mb=int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1_024,
    )


def _named(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", task.get_name()))


def main(arguments: Sequence[str]) -> None:
    folder, calls = arguments
    container = calls_for(Path(folder), calls_at_once=int(calls))
    configure_logs("warning")
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]

    def say() -> None:
        if os.read(0, 1_024):
            os.write(1, msgspec.json.encode(_held(container)) + b"\n")
        else:
            asyncio.get_running_loop().remove_reader(0)

    def ready(_: object) -> None:
        asyncio.get_running_loop().add_reader(0, say)
        os.write(1, f"port {port}\n".encode())

    asyncio.run(
        serve(create_app(container), [listening], container.settings().server, on_ready=ready),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
