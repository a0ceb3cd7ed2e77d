"""What FastRTC's clients rely on beside calls themselves: methods, addresses, pages of other origins, what comes early."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.fixtures.calls import until
from tests.fixtures.fastrtc import OFFER, Caller, calls_for, offered, socket_to, taking_calls
from tests.fixtures.server import Running, running

Served = tuple[Running, httpx2.AsyncClient]
PAGES = tuple(f"/voice{it}" for it in ("", "/voice.js", "/call.js", "/texts.js", "/voice.css", "/personas"))
ELSEWHERE = "http://localhost:5173"
FILE = "null"
"""The origin of a page of `file://`, as browsers say it."""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with taking_calls(tmp_path) as it:
        yield it


@pytest.mark.parametrize("path", PAGES)
async def test_the_head_of_the_page_is_that_of_the_page(served: Served, path: str) -> None:
    _, client = served
    head, whole = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


async def test_an_offer_can_only_be_posted(served: Served) -> None:
    _, client = served
    answer = await client.get(OFFER)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


async def test_a_slash_at_the_end_changes_nothing(served: Served) -> None:
    _, client = served
    line = {"candidate": {"candidate": ""}, "type": "ice-candidate", "webrtc_id": "x"}
    turn = {"fn_name": "turn", "data": [], "component_id": 11, "session_hash": "h"}
    for path, body in ((OFFER, line), ("/gradio_api/component_server", turn)):
        plain, slashed = await client.post(path, json=body), await client.post(f"{path}/", json=body)
        assert (
            (slashed.status_code, slashed.json()) == (plain.status_code, plain.json()) == (200, plain.json())
        )


async def test_a_candidate_says_as_much_as_its_browser_likes(served: Served) -> None:
    _, client = served
    for candidate in (
        {"candidate": ""},
        {"candidate": None, "sdpMid": None, "sdpMLineIndex": None, "usernameFragment": None},
        {"candidate": "candidate:1 1 udp 1 192.0.2.7 50000 typ host", "foundation": "1", "address": None},
    ):
        body = {"candidate": candidate, "type": "ice-candidate", "webrtc_id": "x", "extra": 1}
        answer = await client.post(OFFER, json=body)
        assert (answer.status_code, answer.json()) == (200, {"status": "success"})


async def test_pages_of_listed_origins_call_read_along_and_open_sockets(tmp_path: Path) -> None:
    container = calls_for(tmp_path, cors_origins=(ELSEWHERE, FILE))
    async with running(container) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for origin in (ELSEWHERE, FILE):
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            }
            for path in (OFFER, "/input_hook", "/gradio_api/component_server"):
                preflight = await client.options(path, headers=asked)
                assert preflight.headers["access-control-allow-origin"] == origin
            from_page = {"Origin": origin}
            bad = await client.post(OFFER, json={}, headers=from_page)
            reading = await client.get("/outputs?webrtc_id=", headers=from_page)
            for answer in (bad, reading):
                assert answer.headers["access-control-allow-origin"] == origin
            async with socket_to(server, Origin=origin) as caller:
                await caller.send(event="ping")
                await caller.until_message(lambda it: it == {"event": "pong"})


async def test_who_reads_along_before_the_call_begins_hears_it_from_its_beginning(served: Served) -> None:
    server, client = served
    seen: list[str] = []

    def note(text: str) -> None:
        if text.startswith("data: "):
            seen.append(json.loads(text.removeprefix("data: "))["role"])

    async def read() -> None:
        async with client.stream("GET", "/outputs?webrtc_id=w1") as stream:
            assert stream.status_code == 200
            async for text in stream.aiter_lines():
                note(text)

    reading = asyncio.create_task(read())
    await until(lambda: server.container.conversations().lines.awaiting == 1)
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await until(lambda: "assistant" in seen)
        await caller.send(event="stop")
    await asyncio.wait_for(reading, 30)


async def test_who_reads_along_after_the_call_is_told_so_at_once(served: Served) -> None:
    server, client = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("session.active")
        await caller.send(event="stop")
        await caller.closed()
    await until(lambda: len(server.container.conversations().lines) == 0)
    async with asyncio.timeout(5):
        assert (await client.get("/outputs?webrtc_id=w1")).status_code == 404


async def test_a_ninth_reader_is_refused_however_they_come(served: Served) -> None:
    _, client = served
    caller = Caller(client)
    await caller.call()
    statuses: list[int] = []
    over = asyncio.Event()

    async def read() -> None:
        async with client.stream("GET", f"/outputs?webrtc_id={caller.id}") as stream:
            statuses.append(stream.status_code)
            await over.wait()

    readers = [asyncio.create_task(read()) for _ in range(12)]
    await until(lambda: len(statuses) == len(readers))
    assert sorted(statuses) == [200] * 8 + [429] * 4
    over.set()
    await asyncio.gather(*readers)
    await caller.hang_up()


async def test_events_that_a_socket_does_not_know_are_ignored_without_a_word(served: Served) -> None:
    server, _ = served
    async with socket_to(server) as caller:
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("session.active")
        await caller.send(event="mark", mark={"name": "x"})
        await caller.send(hello="handshake")
        await caller.send(event="ping")
        await caller.until_message(lambda it: it.get("event") == "pong")
        assert not [it for it in caller.messages if "Server received" in str(it)]


async def test_a_message_on_the_data_channel_is_told_back_whole(served: Served) -> None:
    _, client = served
    caller = Caller(client)
    await caller.call()
    await caller.until_told("session.active")
    caller.tell("x" * 3_000)
    await until(lambda: f"Server received: {'x' * 3_000}" in caller.log)
    await caller.hang_up()


async def test_strangers_who_do_not_say_who_they_are_cannot_hold_more_than_some_sockets(
    tmp_path: Path,
) -> None:
    async with taking_calls(tmp_path) as (server, _):
        address = f"ws{server.url.removeprefix('http')}/websocket/offer"
        room = server.container.fastrtc_sockets().waiting
        silent = [await connect(address, proxy=None) for _ in range(room.each)]
        try:
            await until(lambda: room.taken == room.each)
            async with socket_to(server) as late:
                assert await late.closed() == 1000
                assert late.messages[0]["meta"]["error"] == "server_overloaded"
        finally:
            for socket in silent:
                await socket.close()
        await until(lambda: room.taken == 0)
        async with socket_to(server) as caller:
            await caller.send(event="start", websocket_id="w1")
            await caller.until_told("session.active")


async def test_rates_of_sockets_are_the_operators_where_the_page_names_none(tmp_path: Path) -> None:
    async with (
        taking_calls(tmp_path, socket_input_rate=48_000, socket_output_rate=16_000) as (server, _),
        socket_to(server, rate=16_000) as caller,
    ):
        await caller.send(event="start", websocket_id="w1")
        await caller.until_told("output_audio_buffer.stopped")
        assert max(len(it) for _, it in caller.sound) == 16_000 // 50 * 2


async def test_a_busy_server_refuses_calls_and_says_why(tmp_path: Path) -> None:
    async with taking_calls(tmp_path, busy_percent=1) as (server, _), asyncio.timeout(60):
        told: list[str] = []
        while "server_overloaded" not in told:  # to ask is work enough
            async with socket_to(server) as caller:
                await caller.send(event="start", websocket_id="w1")
                await caller.until_message(lambda it: True)
                told += [it["meta"].get("reason", "") for it in caller.messages if "meta" in it]


async def test_all_of_it_answers_below_a_prefix_as_well(tmp_path: Path) -> None:
    """As `Stream.mount(app, path="/rtc")` has it."""
    async with taking_calls(tmp_path, mount="/rtc") as (server, client):
        for below in ("", "/rtc"):
            body = {"sdp": await offered(client), "type": "offer", "webrtc_id": f"x{below}"}
            assert (await client.post(f"{below}{OFFER}", json=body)).json()["type"] == "answer"
            assert (await client.options(f"{below}{OFFER}")).headers["allow"] == "OPTIONS, POST"
            reading = await client.post(
                f"{below}/input_hook", json={"webrtc_id": f"x{below}", "text": "Hello"}
            )
            assert reading.json() == {"status": "ok"}
            turn = {"fn_name": "turn", "data": []}
            servers = await client.post(f"{below}/gradio_api/component_server", json=turn)
            assert servers.json() == {"iceServers": []}
            incoming = await client.post(f"{below}/telephone/incoming")
            assert f"{below}/telephone/handler" in incoming.text
            async with socket_to(server, f"{below}/websocket/offer") as page:
                await page.send(event="start", websocket_id="w1")
                await page.until_told("session.active")
            async with socket_to(server, f"{below}/telephone/handler", 8_000) as phone:
                await phone.send(event="start", streamSid="MZ1", start={"callSid": "CA1"})
                await until(lambda phone=phone: bool(phone.sound))  # type: ignore[misc]
