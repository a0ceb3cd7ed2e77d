"""Telephones over Twilio's media streams: signatures, tickets, sound of 8 kHz, and silence when interrupted."""

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from cozy_server.fastrtc.lines import Line
from cozy_server.fastrtc.telephone import signature
from cozy_server.settings.secret import Secret
from tests.fixtures.calls import loud_seconds, tone, until
from tests.fixtures.fastrtc import SocketCaller, socket_to, taking_calls
from tests.fixtures.server import Running

Served = tuple[Running, httpx2.AsyncClient]
TOKEN = "t0ken"
URL = "http://phone.example.org"
FORM = {"CallSid": "CA1", "From": "+4312345", "To": "+4398765"}
INCOMING = "/telephone/incoming"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with taking_calls(
        tmp_path, development=False, twilio_token=Secret(TOKEN), twilio_url=URL, calls_per_owner=1
    ) as it:
        yield it


async def ring(client: httpx2.AsyncClient, *, token: str = TOKEN, url: str = URL) -> httpx2.Response:
    signed = signature(token, f"{url}{INCOMING}", FORM.items())
    return await client.post(INCOMING, data=FORM, headers={"X-Twilio-Signature": signed})


async def ticket(client: httpx2.AsyncClient) -> str:
    answer = await ring(client)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/xml")
    found = re.search(r'<Stream url="([^"]*)"><Parameter name="ticket" value="([^"]*)"/>', answer.text)
    assert found
    assert found[1] == "ws://phone.example.org/telephone/handler"
    return unescape(found[2])


async def start(caller: SocketCaller, ticket: str, sid: str = "CA1", stream: str = "MZ1") -> None:
    await caller.send(event="connected", protocol="Call", version="1.0.0")
    details = {"callSid": sid, "streamSid": stream, "customParameters": {"ticket": ticket}}
    await caller.send(event="start", sequenceNumber="1", streamSid=stream, start=details)


def told(line: Line) -> list[str]:
    """Who has said something so far."""
    return [json.loads(it)["role"] for it in line.outputs.since(0)[0]]


async def test_a_telephone_is_answered_heard_and_falls_silent_when_interrupted(served: Served) -> None:
    server, client = served
    async with socket_to(server, "/telephone/handler", 8_000) as caller:
        await start(caller, await ticket(client))
        await until(lambda: loud_seconds(b"".join(it for _, it in caller.sound), 8_000) > 0.5)
        assert {len(it) for _, it in caller.sound} <= {*range(0, 322, 2)}
        calls = server.container.conversations()
        (line,) = calls.lines._open.values()  # what a telephone says is not told to it
        assert line.subject == "+4312345"
        assert line.call is not None
        await caller.say(tone(1.5, 440, 8_000) + bytes(16_000))
        await until(lambda: told(line)[-1:] == ["user"], why="not understood")
        sounded = len(caller.sound)
        await until(lambda: loud_seconds(b"".join(it for _, it in caller.sound[sounded:]), 8_000) > 0.5)
        cleared = caller.messages.count({"event": "clear", "streamSid": "MZ1"})
        await caller.say(tone(1.5, 440, 8_000) + bytes(16_000))
        await until(lambda: caller.messages.count({"event": "clear", "streamSid": "MZ1"}) > cleared)
        assert {it["streamSid"] for it in caller.messages} == {"MZ1"}
        known = {"clear", "mark"}
        assert {it["event"] for it in caller.messages} <= known, "Twilio knows no other words"
        await until(lambda: told(line)[-3:] == ["user", "assistant", "user"], why="not understood")
        cut = json.loads(line.outputs.since(0)[0][-2])["content"]
        assert cut.startswith("This is")
        assert not cut.endswith("this is where it ends.")
        await caller.send(event="stop", streamSid="MZ1", stop={"callSid": "CA1"})
        assert await caller.closed() == 1000
    await until(lambda: len(server.container.conversations()) == 0)


async def test_below_a_prefix_telephones_are_sent_to_where_they_called(tmp_path: Path) -> None:
    async with taking_calls(
        tmp_path, development=False, mount="/rtc", twilio_token=Secret(TOKEN), twilio_url=URL
    ) as (_, client):
        signed = signature(TOKEN, f"{URL}/rtc{INCOMING}", FORM.items())
        answer = await client.post(f"/rtc{INCOMING}", data=FORM, headers={"X-Twilio-Signature": signed})
        assert 'url="ws://phone.example.org/rtc/telephone/handler"' in answer.text


async def test_what_twilio_did_not_sign_for_this_address_is_refused(served: Served) -> None:
    _, client = served
    for answer in (
        await ring(client, token="other"),
        await ring(client, url="http://evil.example"),
        await client.post(INCOMING, data=FORM),
    ):
        assert answer.status_code == 403
        assert answer.json()["status"] == "failed"


async def test_a_signature_of_any_bytes_is_refused_as_a_wrong_one(served: Served) -> None:
    _, client = served
    answer = await client.post(INCOMING, data=FORM, headers=[(b"X-Twilio-Signature", b"\xe9\xff")])
    assert answer.status_code == 403


async def test_a_stream_needs_the_ticket_of_its_call(served: Served) -> None:
    server, client = served
    good = await ticket(client)
    until_s, _, rest = good.partition(".")
    for bad, sid in ((good, "CA2"), ("", "CA1"), (f"{int(until_s) + 60}.{rest}", "CA1"), (good + "9", "CA1")):
        async with socket_to(server, "/telephone/handler", 8_000) as caller:
            await start(caller, bad, sid)
            await caller.closed()
            assert caller.messages[0]["meta"]["error"] == "permission_denied"
    assert len(server.container.conversations().lines) == 0


async def test_telephones_count_among_the_calls_of_their_number(served: Served) -> None:
    server, client = served
    async with socket_to(server, "/telephone/handler", 8_000) as first:
        await start(first, await ticket(client))
        await until(lambda: len(first.sound) > 0)
        async with socket_to(server, "/telephone/handler", 8_000) as second:
            await start(second, await ticket(client), stream="MZ2")
            await second.closed()
            assert second.messages[0]["meta"]["error"] == "concurrency_limit_reached"


async def test_a_reply_has_ended_when_the_telephone_has_played_it(served: Served) -> None:
    server, client = served
    async with socket_to(server, "/telephone/handler", 8_000) as caller:
        await start(caller, await ticket(client))
        asked = await caller.until_message(lambda it: it.get("event") == "mark")
        assert asked["streamSid"] == "MZ1"
        (line,) = server.container.conversations().lines._open.values()
        assert line.outputs.since(0)[1] == 0, "the greeting is not heard yet"
        await caller.send(event="mark", streamSid="MZ1", sequenceNumber="4", mark=asked["mark"])
        await until(lambda: line.outputs.since(0)[1] == 1)


async def test_odd_marks_and_keys_of_a_telephone_do_not_end_its_call(served: Served) -> None:
    server, client = served
    async with socket_to(server, "/telephone/handler", 8_000) as caller:
        await start(caller, await ticket(client))
        asked = await caller.until_message(lambda it: it.get("event") == "mark")
        for odd in (None, 7, {}, {"name": 7}):
            await caller.send(event="mark", streamSid="MZ1", mark=odd)
        for digit in ("", "\x00", "12", 5):
            await caller.send(event="dtmf", streamSid="MZ1", dtmf={"digit": digit})
        (line,) = server.container.conversations().lines._open.values()
        await caller.send(event="mark", streamSid="MZ1", mark=asked["mark"])
        await until(lambda: line.outputs.since(0)[1] == 1)
        await caller.send(event="stop", streamSid="MZ1")
        assert await caller.closed() == 1000


async def test_without_a_token_there_are_no_telephones(tmp_path: Path) -> None:
    async with taking_calls(tmp_path, development=False) as (server, client):
        answer = await ring(client)
        assert answer.status_code == 404
        assert answer.json()["meta"]["error"] == "unknown_url"
        with pytest.raises(InvalidStatus) as refusal:
            async with socket_to(server, "/telephone/handler"):
                pass
        assert refusal.value.response.status_code == 404


async def test_in_development_anything_that_speaks_as_twilio_does_may_call(tmp_path: Path) -> None:
    async with taking_calls(tmp_path) as (server, client):
        answer = await client.post(INCOMING, data=FORM)
        assert answer.headers["content-type"].startswith("application/xml")
        (url,) = re.findall(r'<Connect><Stream url="([^"]*)">', answer.text)
        assert url == f"ws{server.url.removeprefix('http')}/telephone/handler"
        async with socket_to(server, "/telephone/handler", 8_000) as caller:
            await caller.send(event="connected", protocol="Call", version="1.0.0")
            await caller.send(event="start", streamSid="MZ1", start={"streamSid": "MZ1", "callSid": "CA1"})
            await until(lambda: loud_seconds(b"".join(it for _, it in caller.sound), 8_000) > 0.5, 20)
        elsewhere = await client.post(INCOMING, data=FORM, headers={"Host": "evil.example"})
        assert elsewhere.status_code == 404
