"""SIGTERM: readiness falls first, streams under way finish, the exit code is 0; twice means now."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx2

from cozy_domain.ids import Owner, SessionId
from cozy_domain.messages import AssistantMessage, UserMessage
from cozy_server.container.container import Container
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import AUDIT_KEY, PATIENCE_S, Process, command, server_process, settings_for

SHORT = "ok?chunks=20&gap_ms=100"
LONG = "ok?chunks=1000&gap_ms=100"


@asynccontextmanager
async def started(folder: Path, fake: FakeOpenAI, **variables: str) -> AsyncIterator[Process]:
    """`cozy dev` with the fake provider and a data folder below ``folder``."""
    async with server_process(
        "dev",
        "--port",
        "0",
        folder=folder,
        COZY_MODEL=f"fake/{SHORT}",
        COZY_MODELS__PROVIDERS__FAKE__BASE_URL=fake.base_url,
        COZY_MODELS__ALLOWED=f"fake/{SHORT},fake/{LONG}",
        **variables,
    ) as server:
        yield server


@asynccontextmanager
async def streaming(server: Process, model: str, session: str) -> AsyncIterator[AsyncIterator[str]]:
    body = {
        "model": f"fake/{model}",
        "messages": [{"role": "user", "content": "Count."}],
        "stream": True,
        "cozy": {"session_id": session},
    }
    async with (
        httpx2.AsyncClient(timeout=60) as client,
        client.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer,
    ):
        assert answer.status_code == 200
        yield answer.aiter_lines()


async def begun(lines: AsyncIterator[str]) -> None:
    """Until the first words are there."""
    async for line in lines:
        if '"content":"' in line and '"content":""' not in line:
            return


async def stored(folder: Path, session: str) -> list[tuple[str, str]]:
    """Role and state of a session's messages, as another process finds them."""
    container = Container(
        settings=settings_for(folder / ".cozy"), audit_key=AUDIT_KEY, database_role="reader", development=True
    )
    await container.database().aopen()
    try:
        owner = Owner(account="dev", subject="dev")
        found = await container.sessions().messages(owner, SessionId(UUID(session)), 10)
    finally:
        await container.database().aclose()
    kinds = {UserMessage: "user", AssistantMessage: "assistant"}
    return [(kinds[type(it.message)], it.state) for it in found]


async def cut_off(lines: AsyncIterator[str]) -> bool:
    """Reads to the end; whether that was a broken connection and not a whole answer."""
    try:
        return not [line async for line in lines if "[DONE]" in line]
    except httpx2.TransportError:
        return True


async def readiness(server: Process) -> int:
    """The status of the probe; 0 when nothing listens any more."""
    try:
        async with httpx2.AsyncClient(timeout=60) as client:
            return (await client.get(f"{server.url}/readyz")).status_code
    except httpx2.TransportError:
        return 0


async def test_sigterm_lets_a_stream_finish_and_exits_0(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    session = str(uuid4())
    async with (
        started(tmp_path, fake_openai, COZY_SERVER__DRAIN_S="5") as server,
        streaming(server, SHORT, session) as lines,
        httpx2.AsyncClient(timeout=60) as client,
    ):
        await begun(lines)
        assert (await client.get(f"{server.url}/readyz")).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):  # readiness falls while connections are still taken
            while (await client.get(f"{server.url}/readyz")).json() != {"status": "draining"}:
                pass
        seen = [line async for line in lines if line]
        assert seen[-1] == "data: [DONE]"
        assert await server.ended() == 0
    assert await stored(tmp_path, session) == [("user", "completed"), ("assistant", "completed")]


async def test_new_connections_are_refused_while_a_stream_finishes(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with (
        started(tmp_path, fake_openai, COZY_SERVER__DRAIN_S="0") as server,
        streaming(server, SHORT, str(uuid4())) as lines,
    ):
        await begun(lines)
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
                except ConnectionRefusedError:
                    break
                except ConnectionResetError:  # it was waiting to be accepted when the listening ended
                    continue
                writer.close()
        assert [line async for line in lines if line][-1] == "data: [DONE]"
        assert await server.ended() == 0


async def test_a_stream_that_outlives_the_timeout_is_cut_and_kept_as_interrupted(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    session = str(uuid4())
    async with started(
        tmp_path, fake_openai, COZY_SERVER__SHUTDOWN_TIMEOUT_S="0.6", COZY_SERVER__DRAIN_S="0.1"
    ) as server:
        async with streaming(server, LONG, session) as lines:
            await begun(lines)
            server.process.send_signal(signal.SIGTERM)
            assert await cut_off(lines)
        assert await server.ended() == 0
    assert await stored(tmp_path, session) == [("user", "interrupted"), ("assistant", "interrupted")]


async def test_a_second_sigterm_does_not_wait_for_streams(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    session = str(uuid4())
    async with started(tmp_path, fake_openai) as server:
        async with streaming(server, LONG, session) as lines:
            await begun(lines)
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                while await readiness(server) == 200:
                    pass
            server.process.send_signal(signal.SIGTERM)
            assert await cut_off(lines)
        assert await server.ended() == 0
    assert await stored(tmp_path, session) == [("user", "interrupted"), ("assistant", "interrupted")]


async def test_ctrl_c_ends_an_idle_server_with_0_and_leaves_nothing_unsealed(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with started(tmp_path, fake_openai) as server, httpx2.AsyncClient(timeout=60) as client:
        await client.post(
            f"{server.url}/v1/chat/completions",
            json={"model": "default", "messages": [{"role": "user", "content": "Hello"}]},
        )
        server.process.send_signal(signal.SIGINT)
        assert await server.ended() == 0
    code, out, _ = await command("audit", "verify", "--json", folder=tmp_path)
    assert code == 0
    found = json.loads(out)
    assert found["intact"]
    assert found["unsealed"] == 0
    assert found["sealed"] > 0
