"""How a process of ours is ended. By itself, because `process` is imported in the child, which needs no asyncio."""

import asyncio
from contextlib import suppress


async def end(process: asyncio.subprocess.Process) -> None:
    """Kills it, and waits until it is gone, which goes on when who waits is cancelled."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
