"""FastRTC's protocol over WebRTC, with a plain aiortc client in the manner of its documented page."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cozy_domain.audio import SPEAKING_RATE
from tests.fixtures.calls import loud_seconds, said, until
from tests.fixtures.fastrtc import OFFER, Caller, offered, socket_to, taking_calls
from tests.fixtures.server import Running
from tests.fixtures.webrtc import until_connected

Served = tuple[Running, httpx2.AsyncClient]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with taking_calls(tmp_path) as it:
        yield it


@pytest.fixture
async def caller(served: Served) -> AsyncIterator[Caller]:
    caller = Caller(served[1])
    yield caller
    await caller.hang_up()


async def test_a_spoken_turn_is_answered_logged_and_told_with_its_latency(caller: Caller) -> None:
    await caller.call()
    await until_connected(caller)
    await caller.until_told("session.active")
    caller.say(said(1.5))
    latency = await caller.until_told("turn.latency")
    assert latency["total_ms"] == pytest.approx(sum(it["ms"] for it in latency["stages"]), abs=0.001)
    assert [it["name"] for it in latency["stages"]] == ["endpointing", "model", "synthesis", "playout"]
    turn = [it for it in caller.log if it in ("started_talking", "pause_detected", "response_starting")]
    assert turn[-3:] == ["started_talking", "pause_detected", "response_starting"]
    committed = await caller.until_told("input_audio_buffer.committed")
    assert committed["text"]
    await until(lambda: loud_seconds(b"".join(it for _, it in caller.heard), SPEAKING_RATE) > 0.5)


async def test_the_answer_tells_the_conversation_and_so_does_the_first_message(
    served: Served, caller: Caller
) -> None:
    await caller.call()
    assert caller.answer["type"] == "answer"
    started = await caller.until_told("call.started")
    assert started == {"type": "call.started", **caller.answer["cozy"]}
    assert started["persona"] == "default"


async def test_typed_words_are_a_turn_and_the_text_history_holds_it(served: Served, caller: Caller) -> None:
    _, client = served
    await caller.call()
    session = caller.answer["cozy"]["session_id"]
    await caller.until_told("session.active")
    answer = await client.post("/input_hook", json={"webrtc_id": caller.id, "text": "Hello", "other": 1})
    assert answer.json() == {"status": "ok"}
    caller.tell(json.dumps({"type": "cozy", "data": {"type": "client.hangup"}}))
    await caller.until_told("session.closed")
    messages = (await client.get(f"/v1/cozy/sessions/{session}/messages")).json()["data"]
    assert messages[0]["role"] == "user"
    assert "Hello" in json.dumps(messages[0])


async def test_every_message_is_acknowledged_as_fastrtc_does(caller: Caller) -> None:
    await caller.call()
    await caller.until_told("session.active")
    caller.tell("handshake")
    await until(lambda: "Server received: handshake" in caller.log)


async def test_a_binary_message_is_acknowledged_as_fastrtc_does_and_is_no_order(caller: Caller) -> None:
    await caller.call()
    await caller.until_told("session.active")
    order = json.dumps({"type": "cozy", "data": {"type": "client.hangup"}}).encode()
    for message in (b"\x01\x02\xff", b"handshake", order):
        caller.tell(message)
        await until(lambda message=message: f"Server received: {message!r}" in caller.log)  # type: ignore[misc]
    caller.tell(bytes(50_000))
    await until(lambda: any(len(it) > 4_000 and it.startswith("Server received: b'") for it in caller.log))
    caller.tell("still there")
    await until(lambda: "Server received: still there" in caller.log)
    assert "error" not in caller.log


async def test_typed_words_that_are_too_long_are_refused_with_the_limit_and_the_call_goes_on(
    caller: Caller,
) -> None:
    await caller.call()
    await caller.until_told("session.active")
    for length in (40_000, 70_000):
        caller.tell(json.dumps({"type": "cozy", "data": {"type": "client.text", "text": "x" * length}}))
    await until(lambda: caller.log.count("error") == 2)
    for told, limit in zip(
        (it for it in caller.told if it["type"] == "error"), ("32,768", "65,536"), strict=True
    ):
        assert limit in told["data"]
        assert told["message"] == told["data"]
    longest = "word " * 6_553 + "end"
    caller.tell(json.dumps({"type": "cozy", "data": {"type": "client.text", "text": longest}}))
    committed = await caller.until_told("input_audio_buffer.committed")
    assert committed["text"] == longest


async def test_who_reads_along_gets_the_conversation_from_its_beginning(
    served: Served, caller: Caller
) -> None:
    _, client = served
    await caller.call()
    await caller.until_told("session.active")
    await client.post("/input_hook", json={"webrtc_id": caller.id, "text": "Hello"})
    await caller.until_told("response.created", 2)
    seen: list[Any] = []
    async with client.stream("GET", f"/outputs?webrtc_id={caller.id}") as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for text in stream.aiter_lines():
            if text.startswith("data: "):
                seen.append(json.loads(text.removeprefix("data: ")))
            if any(it == {"role": "user", "content": "Hello"} for it in seen):
                caller.tell(json.dumps({"type": "cozy", "data": {"type": "client.hangup"}}))
    assert {"role": "user", "content": "Hello"} in seen


async def test_a_spoken_interruption_silences_the_answer(served: Served, caller: Caller) -> None:
    _, client = served
    await caller.call()
    await caller.until_told("session.active")
    await asyncio.sleep(3.2)  # the first seconds of a call are guarded
    await client.post("/input_hook", json={"webrtc_id": caller.id, "text": "Hello"})
    await caller.until_told(
        "output_audio_buffer.started", len(caller.ours("output_audio_buffer.started")) + 1
    )
    await asyncio.sleep(0.5)
    caller.say(said(2))
    await caller.until_told("output_audio_buffer.cleared", 1)
    await until(lambda: bool([it for it in caller.ours("response.done") if it["reason"] == "turn_detected"]))


async def candidate(client: httpx2.AsyncClient, id: str, line: str) -> Any:
    body = {
        "candidate": {
            "candidate": line,
            "sdpMid": "0",
            "sdpMLineIndex": 0,
            "usernameFragment": "abcd",
        },
        "webrtc_id": id,
        "type": "ice-candidate",
    }
    answer = await client.post(OFFER, json=body)
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize(
    "line",
    [
        "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0 ufrag x network-id 1 network-cost 10",
        "candidate:1 1 UDP 2122260223 192.0.2.7 50000 typ host",
        "",
        "candidate:1 1 udp 2122260223 0f9d3a2e-1b5c-4c3e-9e4a-7d8f6b5a4c3d.local 50000 typ host generation 0",
        "candidate:1 2 udp 2122260222 192.0.2.7 50001 typ host generation 0 ufrag x network-cost 10",
        "candidate:1 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active generation 0 ufrag x network-id 1",
    ],
)
async def test_every_browsers_candidates_are_taken_before_and_after_the_offer(
    served: Served, caller: Caller, line: str
) -> None:
    _, client = served
    assert await candidate(client, caller.id, line) == {"status": "success"}
    await caller.call()
    assert await candidate(client, caller.id, line) == {"status": "success"}
    await until_connected(caller)


async def test_fastrtcs_refusals_have_its_status_and_its_bodies(tmp_path: Path) -> None:
    async with taking_calls(tmp_path, calls_per_owner=1) as (_, client):
        caller, second = Caller(client), Caller(client, "other")
        try:
            await caller.call()
            await caller.until_told("session.active")
            again = await client.post(
                OFFER, json={"sdp": await second.offered(), "type": "offer", "webrtc_id": caller.id}
            )
            assert (again.status_code, again.json()) == (
                200,
                {"status": "failed", "meta": {"error": "connection_already_exists"}},
            )
            more = await client.post(
                OFFER, json={"sdp": await second.offered(), "type": "offer", "webrtc_id": "third"}
            )
            assert (more.status_code, more.json()) == (
                200,
                {"status": "failed", "meta": {"error": "concurrency_limit_reached", "limit": 1}},
            )
            assert await candidate(client, caller.id, "nonsense") == {
                "status": "failed",
                "meta": {"error": "invalid_candidate_format"},
            }
            await client.post("/gradio_api/component_server", json=quit_of(caller.id))
            await caller.until_told("session.closed")
            await until(lambda: caller.ended)
            assert await candidate(client, caller.id, "") == {
                "status": "failed",
                "meta": {"error": "connection_closed"},
            }
        finally:
            await caller.hang_up()
            await second.hang_up()


def quit_of(id: str) -> dict[str, Any]:
    return {
        "data": {"webrtc_id": id},
        "component_id": 11,
        "fn_name": "quit_output_stream",
        "session_hash": "s",
    }


async def test_an_offer_that_cannot_be_answered_leaves_no_recording(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    async with taking_calls(tmp_path / "data", recordings=str(recordings)) as (_, client):
        refused = await client.post(OFFER, json={"sdp": "v=0\r\n", "type": "offer", "webrtc_id": "bad"})
        assert refused.json()["meta"]["error"] == "invalid_sdp"
        assert not list(recordings.glob("*"))
        caller = Caller(client)
        await caller.call()
        await caller.until_told("session.active")
        await caller.hang_up()
    (kept,) = recordings.glob("*")
    begun, *steps = kept.read_text().splitlines()
    assert "profile" in begun
    assert steps


async def test_a_full_server_says_why(tmp_path: Path) -> None:
    async with taking_calls(tmp_path, calls_at_once=1) as (_, client):
        caller, second = Caller(client), Caller(client, "other")
        try:
            await caller.call()
            full = await client.post(
                OFFER, json={"sdp": await second.offered(), "type": "offer", "webrtc_id": "other"}
            )
            assert full.status_code == 200
            meta = full.json()["meta"]
            assert (meta["error"], meta["limit"]) == ("concurrency_limit_reached", 1)
            assert meta["reason"] == "server_overloaded"
        finally:
            await caller.hang_up()
            await second.hang_up()


async def test_missing_fields_are_told_as_fastapi_does(served: Served) -> None:
    _, client = served
    answer = await client.post(OFFER, json={"sdp": None})
    assert answer.status_code == 422
    assert [(it["type"], it["loc"], it["msg"]) for it in answer.json()["detail"]] == [
        ("missing", ["body", "webrtc_id"], "Field required"),
        ("missing", ["body", "type"], "Field required"),
    ]


HOSTILE: list[tuple[object, int, str]] = [
    ({"type": "offer", "webrtc_id": "c"}, 400, "invalid_sdp"),
    ({"type": "offer", "webrtc_id": "c", "sdp": None}, 400, "invalid_sdp"),
    ({"type": "offer", "webrtc_id": "c", "sdp": "v=0"}, 400, "invalid_sdp"),
    ({"type": "answer", "webrtc_id": "c", "sdp": "v=0"}, 400, "invalid_value"),
    ({"type": "offer", "webrtc_id": "", "sdp": "v=0"}, 400, "invalid_value"),
    ({"type": "offer", "webrtc_id": 7, "sdp": "v=0"}, 400, "invalid_type"),
    ({"type": "offer", "webrtc_id": "c", "sdp": "v=0\r\n" * 20_000}, 413, "body_too_large"),
    ({"type": "offer", "webrtc_id": "c", "sdp": "v=0\r\n", "cozy": {"session": "x"}}, 400, "invalid_value"),
    ({"type": "offer", "webrtc_id": "c", "sdp": "v=0\r\n", "cozy": {"persona": 1}}, 400, "invalid_type"),
    (
        {"type": "offer", "webrtc_id": "c", "sdp": "v=0\r\n", "cozy": {"persona": "nobody"}},
        404,
        "persona_not_found",
    ),
    (
        {
            "type": "offer",
            "webrtc_id": "c",
            "sdp": "v=0\r\n",
            "cozy": {"session": "0193a6a0-0000-7000-8000-000000000000", "call": "x"},
        },
        404,
        "not_found",
    ),
    ([], 400, "invalid_type"),
]


@pytest.mark.parametrize(("body", "status", "code"), HOSTILE)
async def test_a_bad_offer_is_refused_in_fastrtcs_shape(
    served: Served, body: object, status: int, code: str
) -> None:
    _, client = served
    answer = await client.post(OFFER, json=body)
    told = answer.json()
    assert (answer.status_code, told["status"], told["meta"]["error"]) == (status, "failed", code)
    assert told["meta"]["message"]
    assert told["meta"]["hint"]
    assert told["meta"]["request_id"] == answer.headers["x-request-id"]


async def test_what_is_no_json_is_refused_in_fastrtcs_shape(served: Served) -> None:
    _, client = served
    for content, kind in ((b"{", "application/json"), (b"v=0", "application/sdp"), (b"", "application/json")):
        answer = await client.post(OFFER, content=content, headers={"content-type": kind})
        assert answer.status_code == 400
        assert answer.json()["status"] == "failed"


async def test_a_thousand_bad_offers_leave_nothing(served: Served, caller: Caller) -> None:
    server, client = served
    good = await offered(client)
    bad = [
        good.replace("a=fingerprint", "a=fingerprimp"),
        good.replace("a=ice-ufrag", "a=ice-xfrag"),
        good.replace("m=audio", "m=video"),
        good.replace("opus", "speex"),
        good[: len(good) // 2],
        good + "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n" * 5,
        "v=0\r\n",
        "",
    ]
    await client.post(OFFER, json={"sdp": bad[0], "type": "offer", "webrtc_id": "warm"})
    files, tasks = open_files(), len(asyncio.all_tasks())
    for number in range(1_000):
        body = {"sdp": bad[number % len(bad)], "type": "offer", "webrtc_id": f"h{number % 7}"}
        answer = await client.post(OFFER, json=body)
        assert answer.status_code == 400, (number % len(bad), answer.text)
    conversations = server.container.conversations()
    connections = server.container.peer_connections()
    assert connections is not None
    await until(lambda: len(conversations) == len(conversations.lines) == connections.open == 0)
    calling = server.container.calling()
    assert calling is not None
    assert calling.calls_open == 0
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: open_files() <= files + 1)
    await caller.call()
    await until_connected(caller)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_gradios_component_is_answered(served: Served, caller: Caller) -> None:
    _, client = served
    url = "/gradio_api/component_server"
    turn = await client.post(
        f"{url}/", json={"data": [], "component_id": 1, "fn_name": "turn", "session_hash": "s"}
    )
    assert turn.json() == {"iceServers": []}
    body = {"sdp": await caller.offer(), "type": "offer", "webrtc_id": caller.id}
    answer = await client.post(
        url, json={"data": body, "component_id": 1, "fn_name": "offer", "session_hash": "s"}
    )
    await caller.accept(answer.json()["sdp"])
    await caller.until_told("session.active")
    line = {"candidate": {"candidate": ""}, "webrtc_id": caller.id, "type": "ice-candidate"}
    assert (await client.post(url, json={"data": line, "fn_name": "offer"})).json() == {"status": "success"}
    assert (await client.post(url, json=quit_of(caller.id))).json() == {"success": True}
    await caller.until_told("session.closed")
    assert caller.log[-1] == "end_stream"
    unknown = await client.post(url, json={"data": [], "fn_name": "tick"})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Function not found."})


async def test_callers_are_told_the_ice_servers_of_the_settings(tmp_path: Path) -> None:
    from cozy_server.settings.secret import Secret
    from cozy_server.settings.tree import IceServerSettings

    ice = {
        "a": IceServerSettings(urls=("stun:stun.example.org:3478",)),
        "b": IceServerSettings(urls=("turn:turn.example.org:3478",), secret=Secret("s3")),
    }
    async with taking_calls(tmp_path, ice=ice) as (_, client):
        answer = await client.post("/gradio_api/component_server", json={"data": [], "fn_name": "turn"})
        stun, turn = answer.json()["iceServers"]
        assert stun == {"urls": ["stun:stun.example.org:3478"]}
        assert turn["urls"] == ["turn:turn.example.org:3478"]
        assert turn["username"].endswith(":dev")
        assert turn["credential"]


async def test_a_server_that_stops_says_so_and_then_goodbye(tmp_path: Path) -> None:
    async with taking_calls(tmp_path) as (server, client):
        caller = Caller(client)
        await caller.call()
        await caller.until_told("session.active")
        server.stop()
        await caller.until_told("session.draining")
        await until(lambda: "warning" in caller.log)
        await caller.until_told("session.closed")
        await caller.hang_up()


async def test_a_lost_call_goes_on_on_another_line(served: Served) -> None:
    _, client = served
    first, second = Caller(client, "one"), Caller(client, "two")
    await first.call()
    await first.until_told("session.active")
    started = first.answer["cozy"]
    await second.call(cozy={"call": started["call_id"]})
    assert second.answer["cozy"] == started
    await second.until_told("session.active")
    seen: list[str] = []
    async with client.stream("GET", "/outputs?webrtc_id=two") as stream:
        await client.post("/input_hook", json={"webrtc_id": "two", "text": "Hello again"})
        async for text in stream.aiter_lines():
            seen.append(text)
            if "Hello again" in text:
                second.tell(json.dumps({"type": "cozy", "data": {"type": "client.hangup"}}))
    await second.hang_up()
    await first.hang_up()


async def test_a_call_whose_network_is_cut_goes_on_over_a_socket_and_then_as_text(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    path = "/websocket/offer?format=pcm16&input_rate=16000&clear=true"
    async with taking_calls(tmp_path, recordings=str(recordings)) as (server, client):
        caller = Caller(client)
        await caller.call()
        started = caller.answer["cozy"]
        await caller.until_told("output_audio_buffer.stopped")  # the greeting
        await client.post("/input_hook", json={"webrtc_id": caller.id, "text": "My name is Mei."})
        await caller.until_told("turn.latency")
        caller.go_away()
        recording = recordings / f"{started['call_id']}.jsonl"
        await until(lambda: '"media.lost"' in recording.read_text(), why="the loss is not noticed")
        async with socket_to(server, f"{path}&call={started['call_id']}", 16_000, mulaw=False) as socket:
            await socket.send(event="start", websocket_id="w1")
            assert await socket.until_told("call.started") == {"type": "call.started", **started}
            assert (await socket.until_told("session.active"))["resumed"]
            done = await socket.until_told("response.done")
            assert (done["status"], done["text"].startswith("This is answer 1. ")) == ("completed", True)
            await socket.say(said(1.5) + bytes(SPEAKING_RATE))
            await socket.until_told("turn.latency")
            done = await socket.until_told("response.done", 2)
            assert done["text"].startswith("This is answer 2. ")
            await socket.send(event="stop")
            assert await socket.closed() == 1000
        asked = {"role": "user", "content": "What was my name?"}
        body = {"model": "default", "messages": [asked], "cozy": {"session_id": started["session_id"]}}
        text = (await client.post("/v1/chat/completions", json=body)).json()
        assert text["choices"][0]["message"]["content"].startswith("This is answer 3. ")
        told = (await client.get(f"/v1/cozy/sessions/{started['session_id']}/messages")).json()["data"]
        users = [it["content"] for it in told if it["role"] == "user"]
        assert users == ["My name is Mei.", "Tell me something that takes a while.", "What was my name?"]
        await caller.hang_up()
