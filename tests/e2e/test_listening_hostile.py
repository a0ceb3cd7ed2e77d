"""Clients of the socket that sound is transcribed over who do what they must not, or go away."""

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed

from cozy_adapters.inmemory.speech import LoudnessVoiceActivity
from cozy_server.settings.tree import SpeechSettings
from tests.fixtures.calls import until
from tests.fixtures.dictation import PATH, Client, client, dictating, frames, loud, quiet, spoken, within
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake

START = '{"type":"start"}'


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(dictating(container_for(settings_for(tmp_path)), *["Good evening."] * 9)) as server:
        yield server


@asynccontextmanager
async def bounded(folder: Path, **limits: int) -> AsyncIterator[Client]:
    """A client of a server with these limits."""
    container = within(dictating(container_for(settings_for(folder)), "Good evening."), **limits)
    async with running(container) as server, client(server) as it:
        yield it


BAD: tuple[tuple[tuple[str | bytes, ...], int, str, str | None], ...] = (
    (("{",), 1008, "invalid_json", None),
    (("",), 1008, "invalid_json", None),
    (("[1]",), 1008, "invalid_type", None),
    (("[" * 1_000,), 1008, "invalid_json", None),
    (('{"type":"start","language":"\\u0000"}',), 1008, "invalid_json", "language"),
    (('{"type":"begin"}',), 1008, "invalid_value", "type"),
    (('{"format":"pcm16"}',), 1008, "missing_required_parameter", "type"),
    (('{"type":"start","lang":"en"}',), 1008, "unknown_parameter", "lang"),
    (('{"type":"start","format":"mp3"}',), 1008, "invalid_value", "format"),
    (('{"type":"start","rate":96000}',), 1008, "invalid_value", "rate"),
    (('{"type":"start","rate":"16000"}',), 1008, "invalid_type", "rate"),
    (('{"type":"start","language":"the old one"}',), 1008, "invalid_value", "language"),
    (('{"type":"start","model":"nothing"}',), 1008, "model_not_found", "model"),
    (('{"type":"start","cozy":{"personality_id":"no"}}',), 1008, "persona_not_found", "cozy.personality_id"),
    (
        ('{"type":"start","turn_detection":{"threshold":2}}',),
        1008,
        "invalid_value",
        "turn_detection.threshold",
    ),
    ((b"\0\0",), 1008, "unexpected_message", None),
    (('{"type":"stop"}',), 1008, "unexpected_message", None),
    ((START, START), 1008, "unexpected_message", None),
    ((START, "{"), 1008, "invalid_json", None),
    ((START, bytes(1_000_000)), 1009, "message_too_large", None),
    (("x" * 1_000_000,), 1009, "message_too_large", None),
    (('{"type":"start","format":"opus"}', b"\xff\xff no packet"), 1008, "invalid_audio", None),
    (('{"type":"start","format":"opus"}', b""), 1008, "invalid_audio", None),
)


@pytest.mark.parametrize(("sent", "close", "code", "param"), BAD)
async def test_what_is_wrong_is_told_before_the_socket_is_closed(
    served: Running, sent: tuple[str | bytes, ...], close: int, code: str, param: str | None
) -> None:
    async with client(served) as it:
        with suppress(ConnectionClosed):  # it may be closed before all is sent
            for message in sent:
                await it.connection.send(message)
        assert await it.end() == close
    assert (it.error["code"], it.error["param"]) == (code, param)


async def test_a_message_that_nobody_may_send_is_cut_off_by_its_header(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="start")
        with suppress(ConnectionClosed):
            await it.connection.send(bytes(20_000_000))
        with pytest.raises(ConnectionClosed):
            await it.until("nothing")


async def test_pieces_of_odd_length_are_put_together_again(served: Running) -> None:
    sound = spoken()
    async with client(served) as it:
        await it.say(type="start")
        for at in range(0, len(sound), 777):
            await it.connection.send(sound[at : at + 777])
        await it.connection.send(b"")
        await it.say(type="stop")
        assert (await it.until("done"))["duration"] == pytest.approx(2.3)
    assert it.texts() == ["Good evening."]


async def test_what_comes_after_stop_is_not_heard(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="start")
        await it.sound(quiet(200))
        await it.say(type="stop")
        await it.sound(quiet(400))
        assert (await it.until("done"))["duration"] == pytest.approx(0.2)
        assert await it.end() == 1000


async def test_pings_are_answered_at_any_time(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="ping")
        await it.until("pong")
        await it.say(type="start")
        await it.say(type="ping")
        await it.until("pong")


async def test_who_does_not_begin_is_sent_away(tmp_path: Path) -> None:
    async with bounded(tmp_path, start_s=0) as it:
        assert await it.end() == 1008
        assert it.error["code"] == "socket_timeout"


async def test_who_is_silent_is_sent_away(tmp_path: Path) -> None:
    async with bounded(tmp_path, idle_s=1) as it:
        await it.say(type="start")
        assert await it.end() == 1008
        assert "1 s" in it.error["message"]


async def test_no_socket_is_open_for_ever(tmp_path: Path) -> None:
    async with bounded(tmp_path, open_s=1, messages_at_once=1_000_000) as it:
        await it.say(type="start")
        with pytest.raises(ConnectionClosed):
            await pinged(it)
        assert await it.end() == 1008
        assert it.error["code"] == "socket_timeout"


async def pinged(it: Client) -> None:
    """For ever."""
    while True:
        await it.say(type="ping")
        await it.next()


async def test_there_is_only_so_much_sound(tmp_path: Path) -> None:
    async with bounded(tmp_path, sound_s=1) as it:
        await it.say(type="start")
        with suppress(ConnectionClosed):
            await it.sound(quiet(1_100))
        assert await it.end() == 1008
        assert it.error["code"] == "audio_too_long"


async def test_a_flood_of_messages_is_refused(tmp_path: Path) -> None:
    async with bounded(tmp_path, messages_a_second=50, messages_at_once=100) as it:
        await it.say(type="start")
        with suppress(ConnectionClosed):
            for _ in range(200):
                await it.connection.send(b"\0\0")
        assert await it.end() == 1008
        assert it.error["code"] == "too_many_messages"


async def test_who_sends_faster_than_he_is_heard_waits_and_loses_nothing(tmp_path: Path) -> None:
    async with bounded(tmp_path, pace=200, ahead_s=1) as it:
        await it.say(type="start")
        await it.sound(quiet(12_000) + spoken())
        await it.say(type="stop")
        assert (await it.until("done"))["duration"] == pytest.approx(14.3)
        assert it.texts() == ["Good evening."]


async def test_pings_that_nobody_reads_the_answers_of_use_no_memory(tmp_path: Path) -> None:
    """30 MB of pings with large contents, from a client that reads nothing."""
    async with running(dictating(container_for(settings_for(tmp_path)))) as server:
        _, writer = await raw(server)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        writer.write(b"\x81" + bytes([0x80 | len(START)]) + bytes(4) + START.encode())
        with pytest.raises(OSError, match=r"onnection|pipe"):
            await flooded(writer, 30_000_000)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
        writer.transport.abort()


async def test_who_does_not_read_is_told_to_try_again_later(tmp_path: Path) -> None:
    """What was said is longer than all buffers, and its client reads only when the server has given up."""
    container = dictating(container_for(settings_for(tmp_path)), "Good evening. " * 600_000)
    async with running(within(container, unread_s=1)) as server:
        reader, writer = await raw(server, room=65_536)
        sent = [(1, START.encode()), *((2, frame) for frame in frames(spoken())), (1, b'{"type":"stop"}')]
        for opcode, message in sent:
            length = (
                bytes([len(message)]) if len(message) < 126 else b"\x7e" + len(message).to_bytes(2, "big")
            )
            masked = bytes([0x80 | length[0]]) + length[1:] + bytes(4)
            writer.write(bytes([0x80 | opcode]) + masked + message)
        await until(is_read_from, why="the stream begins")
        await until(lambda: not is_read_from(), why="the server gives up")
        async with asyncio.timeout(60):
            said = await reader.read(-1)
        assert b'"code":"client_too_slow"' in said
        assert said.endswith(b"\x88\x02" + (1013).to_bytes(2, "big"))
        writer.transport.abort()


def is_read_from() -> bool:
    return any(task.get_name() == "read a stream to transcribe" for task in asyncio.all_tasks())


async def flooded(writer: asyncio.StreamWriter, size: int) -> None:
    pings = (b"\x89" + bytes([0x80 | 125]) + bytes(4) + bytes(125)) * 1_000
    for _ in range(size // len(pings)):
        writer.write(pings)
        async with asyncio.timeout(60):
            await writer.drain()


async def raw(server: Running, room: int = 4_096) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open socket of which only the bytes are known, ``room`` of them at once."""
    made = socket.create_connection(("127.0.0.1", server.port))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    reader, writer = await asyncio.open_connection(sock=made, limit=1_024)
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def test_a_message_in_endless_pieces_is_cut_off(served: Running) -> None:
    reader, writer = await raw(served)
    writer.write(
        b"\x02\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * 1_024
    )  # read at once: no reset hides the end
    async with asyncio.timeout(60):
        answer = await reader.read(-1)
    assert answer[:1] == b"\x88"
    assert struct.unpack(">H", answer[2:4]) == (1009,)
    writer.transport.abort()


@pytest.mark.parametrize(
    "bytes_", [b"\xff\xff\xff\xff", b"\x81\x05hello", b"\x83\x80" + bytes(4), b"\x81\x82\0\0\0\0\xff\xfe"]
)
async def test_what_is_no_frame_is_cut_off(served: Running, bytes_: bytes) -> None:
    reader, writer = await raw(served)
    writer.write(bytes_)
    async with asyncio.timeout(60):
        assert (await reader.read(-1))[:1] == b"\x88"
    writer.transport.abort()
    async with client(served) as it:
        await it.say(type="ping")
        await it.until("pong")


@pytest.fixture
async def hanging(tmp_path: Path, fake_openai: FakeOpenAI) -> AsyncIterator[Running]:
    """A recogniser of a provider that never answers."""
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"), speech=SpeechSettings(stt=("fake/hang",))
    )
    container = container_for(settings)
    container.detector.override(LoudnessVoiceActivity())
    async with running(container) as server:
        yield server


async def test_who_leaves_stops_the_recogniser(hanging: Running, fake_openai: FakeOpenAI) -> None:
    for polite in (True, False):
        before = len(fake_openai.closed_early)
        async with client(hanging) as it:
            await it.say(type="start")
            await it.sound(spoken())
            await fake_openai.until(lambda: bool(fake_openai.open_streams))
            if not polite:
                it.connection.transport.abort()
        await fake_openai.until(lambda before=before: len(fake_openai.closed_early) > before)  # type: ignore[misc]


async def test_a_recogniser_that_fails_is_told(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"),
        speech=SpeechSettings(stt=("fake/status?code=500",)),
    )
    container = container_for(settings)
    container.detector.override(LoudnessVoiceActivity())
    async with running(container) as server, client(server) as it:
        await it.say(type="start")
        await it.sound(spoken())
        assert await it.end() == 1013
    assert it.error["code"] == "provider_unavailable"


async def test_a_server_that_stops_tells_what_was_said_before(served: Running) -> None:
    async with client(served) as waiting, client(served) as it:
        await it.say(type="start")
        await it.sound(quiet(200) + loud(800))
        await it.until("transcript")
        served.stop()
        assert await it.end() == 1012
        assert await waiting.end() == 1012
    assert it.texts() == ["Good evening."]
    assert it.error["code"] == waiting.error["code"] == "server_shutdown"
