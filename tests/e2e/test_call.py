"""`cozy call`: a terminal calls a server over WebRTC and keeps the spoken answer."""

import asyncio
import json
import sys
import wave
from pathlib import Path

from tests.fixtures.calls import LOUD, loudness, tone
from tests.fixtures.fastrtc import taking_calls

PATIENCE_S = 60


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
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(24_000)
        out.writeframes(tone(1.5, 300, 24_000))
    return str(file)


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


async def test_a_refusal_of_the_server_is_told(tmp_path: Path) -> None:
    async with taking_calls(tmp_path / "data") as (server, _):
        code, _, err = await call("--wav", question(tmp_path), "--url", server.url, "--persona", "nobody")
    assert code == 1
    assert "takes no call" in err


async def test_a_file_that_is_no_sound_is_refused_before_anybody_is_called(tmp_path: Path) -> None:
    file = tmp_path / "text.wav"
    file.write_text("hello", encoding="utf-8")
    code, _, err = await call("--wav", str(file), "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "does not answer" not in err
    code, _, err = await call("--wav", str(tmp_path / "none.wav"))
    assert code == 2
