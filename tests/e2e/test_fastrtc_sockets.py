"""FastRTC's WebSocket, as its pages use it, and what we add: PCM, `clear`, limits that hold."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.voice.phrases import ENGLISH
from cozy_server.fastrtc.conversations import SILENT_TURNS
from cozy_server.fastrtc.socket import MOST_BEFORE_START
from tests.fixtures.calls import loud_seconds, tone, until
from tests.fixtures.fastrtc import SocketCaller, calls_for, socket_to, taking_calls
from tests.fixtures.server import Running, running
from tests.fixtures.speech import hearing

Served = tuple[Running, httpx2.AsyncClient]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with taking_calls(tmp_path) as it:
        yield it


def heard(caller: SocketCaller) -> bytes:
    return b"".join(it for _, it in caller.sound)


async def test_a_page_over_a_socket_is_greeted_heard_and_answered_in_mulaw(served: Served) -> None:
    server, client = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("session.active")
        await until(lambda: loud_seconds(heard(caller), SPEAKING_RATE) > 0.5)
        await caller.until_told("output_audio_buffer.stopped")
        await caller.say(tone(1.5, 440, 24_000) + bytes(24_000 * 2))
        committed = await caller.until_told("input_audio_buffer.committed")
        assert "Tell me" in committed["text"]
        latency = await caller.until_told("turn.latency")
        assert latency["total_ms"] == pytest.approx(sum(it["ms"] for it in latency["stages"]), abs=0.001)
        log = [it["data"] for it in caller.messages if it.get("type") == "log"]
        assert log[-3:] == ["started_talking", "pause_detected", "response_starting"]
        assert not [it for it in caller.messages if it.get("type") == "fetch_output"]
        assert len(server.container.conversations().lines) == 1
        await caller.send(event="stop")
        assert await caller.closed() == 1000
    await until(lambda: len(server.container.conversations()) == 0)
    assert (await client.get("/outputs?webrtc_id=w1")).status_code == 404


async def test_sound_comes_no_faster_than_it_is_played(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await until(lambda: loud_seconds(heard(caller), SPEAKING_RATE) > 1)
        first = caller.sound[0][0]
        sent = 0
        for at, piece in caller.sound:
            assert sent / SPEAKING_RATE <= at - first + 0.3
            sent += len(piece) // 2


async def test_who_asks_for_pcm_gets_it_and_is_told_to_clear(served: Served) -> None:
    server, client = served
    path = "/websocket/offer?format=pcm16&input_rate=16000&clear=true"
    async with socket_to(server, path, 16_000, mulaw=False) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("output_audio_buffer.started")
        await until(lambda: len(caller.sound) > 10)
        answer = await client.post("/input_hook", json={"webrtc_id": "w1", "text": "Something else"})
        assert answer.status_code == 200
        await caller.until_message(lambda it: it.get("event") == "clear")
        done = await caller.until_told("response.done")
        assert done["status"] == "cancelled"
        await caller.until_told("turn.latency")
        assert {len(it) for _, it in caller.sound} <= {*range(2, 961, 2)}


async def test_a_ping_is_answered_before_and_during_a_call(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        for number in (1, 2):
            await caller.send(event="ping")
            await until(lambda n=number: caller.messages.count({"event": "pong"}) == n)  # type: ignore[misc]
            await caller.send(event="start", websocket_id="w1")


async def refused(
    server: Running, path: str = "/websocket/offer", **start: Any
) -> tuple[dict[str, Any], int]:
    async with socket_to(server, path) as caller:
        with suppress(ConnectionClosed):  # some are refused before they say a word
            await caller.send(event="start", **start)
        code = await caller.closed()
        return caller.messages[0], code


async def test_a_full_line_is_refused_with_fastrtcs_message(tmp_path: Path) -> None:
    async with taking_calls(tmp_path, calls_per_owner=1) as (server, _), socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("session.active")
        assert await refused(server, websocket_id="w2") == (
            {"status": "failed", "meta": {"error": "concurrency_limit_reached", "limit": 1}},
            1000,
        )
        told, _ = await refused(server, websocket_id="w1")
        assert told["meta"] == {"error": "connection_already_exists"}


@pytest.mark.parametrize(
    ("path", "start", "code"),
    [
        ("/websocket/offer", {}, "missing_required_parameter"),
        ("/websocket/offer?input_rate=7", {"websocket_id": "w"}, "invalid_value"),
        ("/websocket/offer?format=mp3", {"websocket_id": "w"}, "invalid_value"),
        ("/websocket/offer?session=x", {"websocket_id": "w"}, "invalid_value"),
        ("/websocket/offer?persona=nobody", {"websocket_id": "w"}, "persona_not_found"),
        ("/websocket/offer?timezone=../../etc/passwd", {"websocket_id": "w"}, "invalid_value"),
        ("/websocket/offer", {"websocket_id": "w", "cozy": {"timezone": "Europe"}}, "invalid_value"),
        ("/websocket/offer", {"websocket_id": "w", "cozy": {"call": "x"}}, "not_found"),
        ("/websocket/offer", {"websocket_id": ""}, "invalid_value"),
    ],
)
async def test_a_bad_start_is_refused_and_leaves_nothing(
    served: Served, path: str, start: dict[str, Any], code: str
) -> None:
    server, _ = served
    told, closed = await refused(server, path, **start)
    assert (told["status"], told["meta"]["error"], closed) == ("failed", code, 1000)
    assert len(server.container.conversations().lines) == 0


async def test_floods_large_messages_rubbish_and_bytes_end_the_call_with_a_code(served: Served) -> None:
    server, _ = served
    address = f"ws{server.url.removeprefix('http')}/websocket/offer"
    for flood, code in (
        (["{}"] * 2_000, 1008),
        (["x" * 70_000], 1009),
        (["nonsense"], 1007),
        ([b"\x00\x01"], 1007),
        (["x" * 1_100_000], 1009),
    ):
        async with connect(address, proxy=None, open_timeout=60) as socket:
            await socket.send(json.dumps({"event": "start", "websocket_id": "w"}))
            try:
                for message in flood:
                    await socket.send(message)
                async with asyncio.timeout(60):
                    async for _ in socket:
                        pass
            except ConnectionClosed:
                pass
            assert socket.close_code == code
        await until(lambda: len(server.container.conversations()) == 0)


async def test_a_stranger_who_floods_before_he_says_who_he_is_is_refused(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        with suppress(ConnectionClosed):
            for _ in range(2 * MOST_BEFORE_START):
                await caller.send(event="x")
        assert await caller.closed() == 1000
        assert caller.messages[0]["meta"]["param"] == "event"


async def test_a_program_cannot_order_answers_without_end(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w")
        await caller.until_told("session.active")
        for number in range(SILENT_TURNS.requests + 5):
            await caller.send(type="cozy", data={"type": "client.text", "text": f"Question {number}"})
        await caller.until_message(lambda it: it.get("type") == "error" and "wait" in it["data"])
        assert len(caller.of("input_audio_buffer.committed")) <= SILENT_TURNS.requests
        await caller.send(event="ping")
        await caller.until_message(lambda it: it.get("event") == "pong")


async def test_typed_words_that_are_too_long_for_a_socket_are_refused_with_the_limit(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w")
        await caller.until_told("session.active")
        await caller.send(type="cozy", data={"type": "client.text", "text": "x" * 40_000})
        refused = await caller.until_message(lambda it: it.get("type") == "error")
        assert "32,768" in refused["data"]
        assert refused["message"] == refused["data"]
        await caller.send(type="cozy", data={"type": "client.text", "text": "Hello"})
        assert (await caller.until_told("input_audio_buffer.committed"))["text"] == "Hello"


async def test_sockets_that_never_speak_leave_nothing(served: Served) -> None:
    server, _ = served
    address = f"ws{server.url.removeprefix('http')}/websocket/offer"
    for _ in range(50):
        socket = await connect(address, proxy=None, open_timeout=60)
        socket.transport.abort()
    await until(lambda: not [it for it in asyncio.all_tasks() if it.get_name().startswith("socket")])
    assert len(server.container.conversations().lines) == 0


async def test_a_server_that_stops_says_so_before_it_closes(tmp_path: Path) -> None:
    async with taking_calls(tmp_path) as (server, _), socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("session.active")
        server.stop()
        await caller.until_told("session.draining")
        await caller.until_message(lambda it: it.get("type") == "end_stream")
        assert await caller.closed() == 1000


async def test_a_page_that_closes_its_socket_has_hung_up(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("session.active")
    await until(lambda: len(server.container.conversations()) == 0)


async def test_a_lost_call_goes_on_over_the_socket(served: Served) -> None:
    server, client = served
    async with socket_to(server) as first:
        await first.send(event="start", websocket_id="w1")
        started = await first.until_told("call.started")
        await first.until_told("output_audio_buffer.stopped")
        await client.post("/input_hook", json={"webrtc_id": "w1", "text": "My name is Mei."})
        await first.until_told("turn.latency")
        await first.vanish()
    async with socket_to(server) as second:
        await second.send(event="start", websocket_id="w2", cozy={"call": started["call_id"]})
        assert await second.until_told("call.started") == started
        assert (await client.post("/input_hook", json={"webrtc_id": "w1", "text": "Me?"})).status_code == 404
        async with socket_to(server) as other:
            await other.send(event="start", websocket_id="w1")
            assert (await other.until_told("call.started"))["call_id"] != started["call_id"]
        await client.post("/input_hook", json={"webrtc_id": "w2", "text": "Still there?"})
        await second.until_told("turn.latency")
        await second.send(event="stop")
        assert await second.closed() == 1000
    await until(lambda: len(server.container.conversations().lines) == 0)
    path = f"/v1/cozy/sessions/{started['session_id']}/messages"
    told = (await client.get(path)).json()["data"]
    assert [it["content"] for it in told if it["role"] == "user"] == ["My name is Mei.", "Still there?"]
    assert told[0]["role"] == "assistant", "the greeting"


async def test_when_no_recogniser_works_the_page_is_warned_and_the_persona_asks_again(
    tmp_path: Path,
) -> None:
    dead = ProviderUnavailableError("dead", provider="test")
    container = hearing(calls_for(tmp_path), dead, dead)
    async with running(container) as server, socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("output_audio_buffer.stopped")  # the greeting
        await caller.say(tone(1.5, 440, 24_000) + bytes(24_000 * 2))
        failed = await caller.until_told("conversation.item.input_audio_transcription.failed")
        assert failed["code"] == dead.code
        warned = await caller.until_message(lambda it: it.get("type") == "warning")
        assert "could not be understood" in warned["message"]
        assert (await caller.until_told("response.done", 2))["text"] == ENGLISH.not_understood


async def test_the_program_of_the_guide_works(served: Served, tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "frontends.md"
    (program,) = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    server, _ = served
    script = tmp_path / "call.py"
    script.write_text(program.replace("ws://127.0.0.1:8000", f"ws{server.url.removeprefix('http')}"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        told, _ = await process.communicate()
    assert process.returncode == 0
    assert float(told.split()[0]) > 1
