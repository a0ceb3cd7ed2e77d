"""When the client goes away, the work upstream stops within 200 ms, and what was said so far is kept as interrupted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import msgspec
import pytest
from dependency_injector import providers

from cozy_adapters.inmemory.toolbox import InMemoryToolBox
from cozy_domain.tools.builtin import CALCULATOR
from cozy_domain.tools.tool import ToolContext
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.promptness import SOON_S, soonest
from tests.fixtures.server import PATIENCE_S, Running, container_for, running, settings_for, with_fake

SLOW_FIRST = "slow-first?ms=20000"
LONG = "ok?chunks=400&gap_ms=50"
STALLED = "hang"
TOOL = 'tool?args={"expression":"6*7"}'


@pytest.fixture
async def server(tmp_path: Path, fake_openai: FakeOpenAI) -> AsyncIterator[Running]:
    settings = with_fake(settings_for(tmp_path), fake_openai, SLOW_FIRST, LONG, STALLED, TOOL)
    async with running(container_for(settings)) as started:
        yield started


class Caller:
    """A client that can leave at once."""

    def __init__(self, server: Running, model: str, *, stream: bool) -> None:
        self._server = server
        self._model = model
        self._stream = stream
        self.session = str(uuid4())

    def anew(self) -> "Caller":
        """The same in a session that is not begun yet."""
        self.session = str(uuid4())
        return self

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[asyncio.StreamReader]:
        """The answer as it comes; the end of the context is a reset of the connection."""
        body = json.dumps(
            {
                "model": f"fake/{self._model}",
                "messages": [{"role": "user", "content": "Tell me a long story."}],
                "stream": self._stream,
                "cozy": {"session_id": self.session},
            }
        ).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        try:
            yield reader
        finally:
            writer.transport.abort()

    async def said(self) -> list[tuple[str, str, str]]:
        """Role, state and text of what is stored, once no turn of the session is running."""
        url = f"{self._server.base_url}/cozy/sessions/{self.session}/messages"
        async with asyncio.timeout(PATIENCE_S), httpx2.AsyncClient(timeout=60) as client:
            while True:
                data = (await client.get(url)).json().get("data", [])
                found = [(it["role"], it["turn_state"], it["content"]) for it in data]
                if found and all(state != "started" for _, state, _ in found):
                    return found
                await asyncio.sleep(0.01)


async def leave_when(fake: FakeOpenAI, caller: Caller, chunks: int, sent: int = 0) -> float:
    """Leaves after so many chunks, and as many that the provider ``sent``; how many seconds later that noticed."""
    before = len(fake.closed_early)
    async with caller.asking() as reader:
        await fake.until(lambda: any(it.sent >= sent for it in fake.open_streams))
        for _ in range(chunks):
            await reader.readuntil(b"\n\n")
    left = asyncio.get_running_loop().time()
    await fake.until(lambda: len(fake.closed_early) > before)
    return fake.closed_early[-1].at_s - left


async def test_leaving_before_the_first_byte_stops_the_model(
    server: Running, fake_openai: FakeOpenAI
) -> None:
    caller = Caller(server, SLOW_FIRST, stream=True)
    assert await soonest(lambda: leave_when(fake_openai, caller.anew(), 0)) < SOON_S
    assert await caller.said() == [("user", "interrupted", "Tell me a long story.")]


async def test_leaving_in_mid_stream_stops_the_model_and_keeps_the_words(
    server: Running, fake_openai: FakeOpenAI
) -> None:
    caller = Caller(server, LONG, stream=True)
    assert await soonest(lambda: leave_when(fake_openai, caller.anew(), 5)) < SOON_S
    user, answer = await caller.said()
    assert user[0] == "user"
    assert answer[:2] == ("assistant", "interrupted")
    assert len(answer[2].split()) >= 3


async def test_leaving_a_plain_call_stops_the_model(server: Running, fake_openai: FakeOpenAI) -> None:
    caller = Caller(server, LONG, stream=False)
    assert await soonest(lambda: leave_when(fake_openai, caller.anew(), 0, sent=6)) < SOON_S
    answer = (await caller.said())[-1]
    assert answer[:2] == ("assistant", "interrupted")
    assert answer[2]


async def test_leaving_a_plain_call_that_has_no_answer_yet_stops_the_model(
    server: Running, fake_openai: FakeOpenAI
) -> None:
    caller = Caller(server, STALLED, stream=False)
    assert await soonest(lambda: leave_when(fake_openai, caller.anew(), 0)) < SOON_S
    assert {state for _, state, _ in await caller.said()} == {"interrupted"}


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_during_a_tool_stops_the_tool(
    tmp_path: Path, fake_openai: FakeOpenAI, *, stream: bool
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang(arguments: msgspec.Raw, context: ToolContext) -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    container = container_for(with_fake(settings_for(tmp_path), fake_openai, TOOL))
    container.toolbox.override(providers.Object(InMemoryToolBox([(CALCULATOR, hang)])))
    async with running(container) as server:
        caller = Caller(server, TOOL, stream=stream)

        async def leave() -> float:
            began.clear()
            ended.clear()
            async with asyncio.timeout(PATIENCE_S), caller.anew().asking():
                await began.wait()
            left = asyncio.get_running_loop().time()
            async with asyncio.timeout(PATIENCE_S):
                await ended.wait()
            return asyncio.get_running_loop().time() - left

        assert await soonest(leave) < SOON_S
        assert {state for _, state, _ in await caller.said()} == {"interrupted"}
    assert not fake_openai.open_streams
