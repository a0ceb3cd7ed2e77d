"""`cozy call`: a terminal calls a server over WebRTC and keeps the spoken answer."""

import asyncio
import json
import logging
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from cozy_domain.errors import ProviderUnavailableError
from cozy_server.cli.caller import ANSWER_S
from tests.fixtures.calls import LOUD, loudness, tone
from tests.fixtures.fastrtc import Caller, calls_for, taking_calls
from tests.fixtures.server import running
from tests.fixtures.speech import hearing

PATIENCE_S = 60
LOADED = """
import sys
from cozy_domain.errors import ProviderUnavailableError
from cozy_server.cli.call import CallOptions, run
try:
    run(CallOptions(sys.executable, "a.wav", "http://127.0.0.1:1", None, None, None, False))
except ProviderUnavailableError:
    print({"aiortc", "av", "cozy_domain.voice.driver"} & set(sys.modules) or set())
"""


async def call(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cozy_server.cli", "call", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def question(folder: Path) -> str:
    """A tone of a second and a half, which the server's detector takes for speech."""
    file = folder / "question.wav"
    recorded(file, tone(1.5, 300, 24_000))
    return str(file)


def recorded(file: Path, samples: bytes) -> None:
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(24_000)
        out.writeframes(samples)


async def test_a_call_from_the_terminal_brings_the_spoken_answer(tmp_path: Path) -> None:
    async with taking_calls(tmp_path / "data") as (server, _):
        answer = tmp_path / "answer.wav"
        code, out, err = await call(
            "--wav", question(tmp_path), "--out", str(answer), "--url", server.url, "--json"
        )
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["question"]
    assert told["answer"]
    assert told["session_id"]
    assert 0 < told["heard_after_ms"] < 10_000
    with wave.open(str(answer)) as sound:
        assert (sound.getframerate(), sound.getnchannels()) == (16_000, 1)
        samples = sound.readframes(sound.getnframes())
    assert len(samples) / 32_000 > 0.2
    assert loudness(samples) > LOUD / 2


async def test_a_server_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    code, out, err = await call("--wav", question(tmp_path), "--url", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "does not answer" in err
    assert "cozy dev" in err


async def test_nothing_is_loaded_for_a_server_that_is_not_there() -> None:
    """So that it is told at once: what speaks WebRTC takes a second to load on a busy machine."""
    found = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOADED, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await found.communicate()
    assert out.decode().strip() == "set()", err.decode()


async def test_what_is_no_speech_is_told_soon(tmp_path: Path) -> None:
    file = tmp_path / "silence.wav"
    recorded(file, bytes(2 * 24_000))
    async with taking_calls(tmp_path / "data") as (server, _):
        began = asyncio.get_running_loop().time()
        code, out, err = await call("--wav", str(file), "--url", server.url)
        assert asyncio.get_running_loop().time() - began < ANSWER_S / 2
    assert (code, out) == (1, "")
    assert "heard no speech" in err


async def test_what_is_not_understood_is_told_soon(tmp_path: Path) -> None:
    file = tmp_path / "voices.wav"
    recorded(file, tone(1.5, 300, 24_000))
    async with running(hearing(calls_for(tmp_path / "data"))) as server:
        began = asyncio.get_running_loop().time()
        code, out, err = await call("--wav", str(file), "--url", server.url)
        assert asyncio.get_running_loop().time() - began < ANSWER_S / 2
    assert (code, out) == (1, "")
    assert "understood nothing" in err


async def test_a_server_whose_recogniser_has_failed_is_told(tmp_path: Path) -> None:
    dead = ProviderUnavailableError("dead", provider="test")
    async with running(hearing(calls_for(tmp_path / "data"), dead, dead)) as server:
        code, out, err = await call("--wav", question(tmp_path), "--url", server.url)
    assert (code, out) == (1, "")
    assert f"could not be recognised ({dead.code})" in err


async def test_a_refusal_of_the_server_is_told(tmp_path: Path) -> None:
    async with taking_calls(tmp_path / "data") as (server, _):
        code, _, err = await call("--wav", question(tmp_path), "--url", server.url, "--persona", "nobody")
    assert code == 1
    assert "takes no call" in err
    assert "→" in err


@pytest.mark.parametrize(
    ("limits", "reason", "setting"),
    [
        ({"calls_per_owner": 1}, "too_many_calls", "voice.calls_per_owner"),
        ({"calls_at_once": 1}, "server_overloaded", "voice.calls_at_once"),
    ],
)
async def test_who_calls_too_often_is_told_the_limit_and_what_to_do_and_so_is_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, limits: dict[str, Any], reason: str, setting: str
) -> None:
    caplog.set_level(logging.INFO)
    async with taking_calls(tmp_path / "data", **limits) as (server, client):
        caller = Caller(client)
        try:
            await caller.call()
            code, _, err = await call("--wav", question(tmp_path), "--url", server.url)
        finally:
            await caller.hang_up()
    assert code == 1
    assert f"takes no call: concurrency_limit_reached ({reason}, limit 1)" in err
    assert setting in err
    refused = [it.__dict__["reason"] for it in caplog.records if it.getMessage() == "call_refused"]
    assert refused == [reason]


async def test_a_file_that_is_no_sound_is_refused_before_anybody_is_called(tmp_path: Path) -> None:
    file = tmp_path / "text.wav"
    file.write_text("hello", encoding="utf-8")
    async with taking_calls(tmp_path / "data") as (server, client):
        code, _, err = await call("--wav", str(file), "--url", server.url)
        assert (await client.get("/v1/cozy/sessions")).json()["data"] == []
    assert code == 1
    assert err
    assert "takes no call" not in err
    code, _, err = await call("--wav", str(tmp_path / "none.wav"))
    assert code == 2
