"""How a process of ours is ended. By itself, because `process` is imported in the child, which needs no asyncio."""

import asyncio
from contextlib import suppress

_CHUNK = 65_536


async def end(process: asyncio.subprocess.Process) -> None:
    """Kills it, and waits until it is gone, which goes on when who waits is cancelled."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(gone(process))


async def gone(process: asyncio.subprocess.Process) -> None:
    """Waits until it has ended, and forgets what it wrote: asyncio tells the end of a process after that of its pipes, and
    stops to read one that is full. What somebody else is reading is left to them: asyncio lets only one read."""
    for written in (process.stdout, process.stderr):
        if written is not None:
            with suppress(OSError, RuntimeError):
                while await written.read(_CHUNK):
                    pass
    await process.wait()
