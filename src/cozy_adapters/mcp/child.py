"""A server as a child process: JSON-RPC messages as lines on its standard input and output.

Unlike the client's own transport this one bounds the length of a line, keeps what the child writes to standard error out
of ours, and leaves no descendant of it behind.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from cozy_adapters.mcp.lines import Lines, TooLong
from cozy_adapters.mcp.watch import MAX_MESSAGE, Watch

GRACE_S = 1.0
"""How long a child may take to end by itself, and then again after SIGTERM."""
_CHUNK = 65_536
_LOOK_S = 0.01

Inbound = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Inbound], MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def child(
    command: Sequence[str], environment: Mapping[str, str], folder: str | None, watch: Watch
) -> AsyncIterator[Streams]:
    """Runs ``command`` in ``folder`` (None: ours) until the end of the context. Of our environment it gets only what the
    client's ``get_default_environment`` finds safe: no key of ours.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=get_default_environment() | dict(environment),
        start_new_session=True,  # a group of its own, so that its descendants end with it
    )
    inbound, reading = anyio.create_memory_object_stream[Inbound](0)
    writing, outbound = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, process, inbound, watch)
            tasks.start_soon(_write, process, outbound, watch)
            tasks.start_soon(_drain, process, watch)
            try:
                yield reading, writing
            finally:
                watch.end()
                with anyio.CancelScope(shield=True):
                    await _end(process)
                tasks.cancel_scope.cancel()
    finally:
        for stream in (inbound, reading, writing, outbound):
            stream.close()
        _release(process)


async def _read(
    process: asyncio.subprocess.Process, inbound: MemoryObjectSendStream[Inbound], watch: Watch
) -> None:
    assert process.stdout is not None  # noqa: S101  it was made with pipes
    lines = Lines(MAX_MESSAGE)
    with inbound, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        while chunk := await process.stdout.read(_CHUNK):
            for line in lines.feed(chunk):
                message = _message(line)
                if message is None:
                    watch.count()  # messages are counted where they are received
                else:
                    await inbound.send(message)
        await _exit_code(process, GRACE_S)
        watch.lose(_told(process.returncode))


def _message(line: bytes | TooLong) -> SessionMessage | None:
    """None for what is no message: some servers greet on standard output."""
    if isinstance(line, TooLong):
        if line.id is None:
            return None
        error = types.ErrorData(
            code=types.INTERNAL_ERROR, message=f"the answer has more than {MAX_MESSAGE:,} bytes"
        )
        return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=line.id, error=error))
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None


async def _write(
    process: asyncio.subprocess.Process, outbound: MemoryObjectReceiveStream[SessionMessage], watch: Watch
) -> None:
    assert process.stdin is not None  # noqa: S101  it was made with pipes
    try:
        async for item in outbound:
            data = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(data.encode() + b"\n")
            await process.stdin.drain()
    except OSError:
        watch.lose("it no longer reads")


async def _drain(process: asyncio.subprocess.Process, watch: Watch) -> None:
    assert process.stderr is not None  # noqa: S101  it was made with pipes
    while chunk := await process.stderr.read(_CHUNK):
        watch.grumble(chunk)


async def _end(process: asyncio.subprocess.Process) -> None:
    """As the specification has it: close its input, wait, ask it to end, kill it (MCP 2025-11-25, lifecycle, shutdown). The
    group is killed in any case: a child may leave children."""
    if process.stdin is not None:
        process.stdin.close()
    if not await _exit_code(process, GRACE_S):
        _signal(process, signal.SIGTERM)
        await _exit_code(process, GRACE_S)
    _signal(process, _KILL)
    await _exit_code(process, GRACE_S)


async def _exit_code(process: asyncio.subprocess.Process, within_s: float) -> bool:
    """Whether it ended in time. ``wait`` would wait for the pipes too, which a grandchild may hold open."""
    with anyio.move_on_after(within_s):
        while process.returncode is None:  # noqa: ASYNC110  there is no event of the exit alone
            await anyio.sleep(_LOOK_S)
    return process.returncode is not None


_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the whole group, whose number is the leader's also when the leader is gone."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, number)


def _release(process: asyncio.subprocess.Process) -> None:
    """The pipes stay open while a descendant that left the group holds them, and asyncio closes them only at their end."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        with suppress(PermissionError):
            transport.close()


def _told(code: int | None) -> str:
    if code is None:
        return "it closed its output"
    return f"it was ended by signal {-code}" if code < 0 else f"it exited with code {code}"
