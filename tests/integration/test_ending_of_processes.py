"""How a process of ours is ended, whatever it was about to say."""

import asyncio
import sys

import pytest

from cozy_adapters.child.ending import end

PATIENCE_S = 30.0
MUCH = 1_000_000
"""Bytes: more than a pipe holds."""
LIMIT = 1_024
"""asyncio reads no further when it holds twice as much."""


@pytest.mark.parametrize("where", ["stdout", "stderr"])
async def test_a_process_ends_though_nobody_read_what_it_wrote(where: str) -> None:
    program = f"import sys; sys.{where}.write('.' * {MUCH})"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LIMIT,
    )
    written = process.stdout if where == "stdout" else process.stderr
    assert written is not None
    assert await written.readexactly(1) == b"."
    async with asyncio.timeout(PATIENCE_S):
        await end(process)
    assert process.returncode


async def test_a_process_ends_while_somebody_waits_for_what_it_says() -> None:
    """As when the server stops in the middle of a recognition."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; print('.', end='', flush=True); sys.stdin.read()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    answers = process.stdout
    assert answers is not None
    waits = asyncio.Event()

    async def wait() -> bytes:
        await answers.readexactly(1)
        waits.set()
        return await answers.read()

    waiting = asyncio.create_task(wait())
    async with asyncio.timeout(PATIENCE_S):
        await waits.wait()
        await end(process)
        assert await waiting == b""
    assert process.returncode
