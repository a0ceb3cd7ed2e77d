"""What `cozy chat --url` makes of a server, a real one on a socket."""

import asyncio
import json
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from cozy_domain.errors import (
    AccessError,
    ConfigError,
    CozyError,
    InputError,
    MissingError,
    ProviderUnavailableError,
    RemoteProtocolError,
)
from cozy_server.cli.chat.remote import remote_talk
from cozy_server.cli.chat.said import Asked, Began, Ended, HistoryLine, Partner, Said, Talk, ToolUsed, Words
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import (
    PATIENCE_S,
    Running,
    command,
    container_for,
    running,
    settings_for,
    with_fake,
)


async def heard(talk: Talk, asked: Asked) -> list[Said]:
    async with talk.turn(asked) as turn:
        return [said async for said in turn]


async def test_a_turn_is_heard_from_its_start_to_its_end_and_is_in_the_history(server: Running) -> None:
    session = uuid4()
    async with remote_talk(server.url, None, Partner(user="mei")) as talk:
        said = await heard(talk, Asked("What is 6 * 7?", session, persona="wren"))
        assert isinstance(said[0], Began)
        assert said[0].session_id == str(session)
        assert "42" in "".join(it.text for it in said if isinstance(it, Words))
        (used,) = [it for it in said if isinstance(it, ToolUsed)]
        assert (used.name, used.arguments, used.outcome) == ("calculator", '{"expression":"6 * 7"}', "ok")
        assert isinstance(said[-1], Ended)
        assert (said[-1].state, said[-1].finish, said[-1].model) == ("completed", "stop", "offline/offline")
        assert said[-1].total_ms
        (listed,) = await talk.sessions(10)
        assert (listed.id, listed.persona) == (session, "wren")
        assert await talk.session(session) == listed
        history = await talk.history(session)
        assert history[0] == HistoryLine("user", "What is 6 * 7?")
        assert HistoryLine("tool", 'calculator {"expression":"6 * 7"}') in history
        personas, _ = await talk.names()
        assert set(personas) == {"default", "wren", "xiaoman"}
    async with remote_talk(f"{server.base_url}/", None, Partner()) as other:
        assert await other.session(session) is None
        assert await other.history(session) == ()


async def test_a_stopped_turn_ends_as_interrupted_and_the_server_stops_too(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    settings = with_fake(settings_for(tmp_path), fake_openai, "endless?gap_ms=5")
    said: list[Said] = []
    async with (
        running(container_for(settings)) as server,
        remote_talk(server.url, None, Partner()) as talk,
        talk.turn(Asked("Hi", uuid4())) as turn,
    ):
        async for it in turn:
            said.append(it)
            if len(said) == 4:
                turn.stop()
        await fake_openai.until(lambda: not fake_openai.open_streams)
    assert said[-1] == Ended("interrupted")


@pytest.mark.parametrize(
    ("model", "message"),
    [("status?code=503", "503"), ("drop?after=2", ""), ("error-event?after=2", "")],
)
async def test_a_turn_that_fails_says_why_also_in_mid_stream(
    tmp_path: Path, fake_openai: FakeOpenAI, model: str, message: str
) -> None:
    settings = with_fake(settings_for(tmp_path), fake_openai, model)
    async with (
        running(container_for(settings)) as server,
        remote_talk(server.url, None, Partner()) as talk,
    ):
        with pytest.raises(CozyError) as told:
            await heard(talk, Asked("Hi", uuid4()))
    assert message in told.value.message
    assert told.value.code


async def test_who_may_not_ask_is_told_about_the_key(tmp_path: Path) -> None:
    async with running(container_for(settings_for(tmp_path), development=False)) as server:
        for key in (None, "cz_wrong"):
            async with remote_talk(server.url, key, Partner()) as talk:
                with pytest.raises(AccessError) as told:
                    await heard(talk, Asked("Hi", uuid4()))
                assert "--key" in str(told.value.hint)
                with pytest.raises(AccessError):
                    await talk.names()


async def test_what_is_wrong_with_a_request_is_in_the_servers_words(server: Running) -> None:
    async with remote_talk(server.url, None, Partner(language="zh")) as talk:
        with pytest.raises(MissingError) as told:
            await heard(talk, Asked("Hi", uuid4(), model="nobody/nothing"))
    assert told.value.code == "model_not_found"
    assert re_chinese(told.value.message)


def re_chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


async def answering(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of something else: the same answer to everything."""
    await reader.readuntil(b"\r\n\r\n")
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"object": "list", "data": [{"id": "llama"}]}',
        b'{"data": [{"id": 1, "last_turn_at": 1e300}]}',
        b"[]",
        b'"\xff"',
        b"<html>",
    ],
)
async def test_a_server_that_is_none_of_ours_is_told_as_that_in_one_line(tmp_path: Path, body: bytes) -> None:
    async with await asyncio.start_server(partial(answering, body), "127.0.0.1", 0) as server:
        url = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        async with remote_talk(url, None, Partner()) as talk:
            session = uuid4()
            for asked in (talk.names(), talk.sessions(1), talk.session(session), talk.history(session)):
                with pytest.raises(RemoteProtocolError, match="does not answer like a CozyEngine server"):
                    await asked
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(CozyError):
                    await heard(talk, Asked("Hi", session))
        if b"llama" in body:
            code, out, errors = await command("chat", "--url", url, "--json", "Hi", folder=tmp_path)
            assert (code, out) == (1, "")
            assert "does not answer like" in json.loads(errors)["error"]["message"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("half an emoji: \ud83d", InputError),
        (object(), TypeError),
    ],
)
async def test_whatever_keeps_a_turn_from_being_asked_ends_it(text: str, error: type[Exception]) -> None:
    async with asyncio.timeout(PATIENCE_S), remote_talk("http://127.0.0.1:1", None, Partner()) as talk:
        with pytest.raises(error):
            await heard(talk, Asked(text, uuid4()))


async def test_no_server_and_no_address_are_told_apart() -> None:
    async with remote_talk("http://127.0.0.1:1", None, Partner()) as talk:
        with pytest.raises(ProviderUnavailableError, match="cannot be reached"):
            await heard(talk, Asked("Hi", uuid4()))
    for url, key in (
        ("nowhere", None),
        ("http://127.0.0.1:99999", None),
        ("http://127.0.0.1:1", "schl\u00fcssel\u4e2d"),
    ):
        with pytest.raises(ConfigError):
            async with remote_talk(url, key, Partner()):
                pass
