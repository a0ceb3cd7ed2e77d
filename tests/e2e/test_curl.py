"""Plain curl, as the README has it."""

import asyncio
import json
import shutil

import pytest

from tests.fixtures.server import Running

BODY = '{"model": "default", "messages": [{"role": "user", "content": "What is 17 * 23?"}]'


async def curl(*arguments: str) -> str:
    program = shutil.which("curl")
    if program is None:
        pytest.fail("curl is not installed: apt install curl")
    process = await asyncio.create_subprocess_exec(
        program, "--silent", "--no-buffer", "--max-time", "30", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_it_gets_an_answer(server: Running) -> None:
    out = await curl(
        f"{server.base_url}/chat/completions", "-H", "Content-Type: application/json", "-d", BODY + "}"
    )
    assert "391" in json.loads(out)["choices"][0]["message"]["content"]


async def test_it_gets_a_stream_that_ends_with_done(server: Running) -> None:
    out = await curl(
        f"{server.base_url}/chat/completions",
        "-H",
        "Content-Type: application/json",
        "-d",
        BODY + ', "stream": true}',
    )
    frames = out.strip().split("\n\n")
    assert frames[-1] == "data: [DONE]"
    pieces = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-1]]
    assert "391" in "".join(it["choices"][0]["delta"].get("content") or "" for it in pieces)


async def test_without_a_content_type_it_is_told_which_one(server: Running) -> None:
    out = await curl(f"{server.base_url}/chat/completions", "-d", BODY + "}")
    error = json.loads(out)["error"]
    assert error["code"] == "invalid_content_type"
    assert "application/json" in error["hint"]


async def test_an_unknown_address_is_told_in_the_same_shape(server: Running) -> None:
    out = await curl(f"{server.url}/v2/nothing", "-X", "PUT")
    assert json.loads(out)["error"]["code"] == "unknown_url"


async def test_its_own_request_id_comes_back(server: Running) -> None:
    out = await curl("--include", f"{server.url}/livez", "-H", "x-request-id: mine-1")
    assert "x-request-id: mine-1" in out.lower()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
async def test_a_probe_may_ask_for_the_head_alone(server: Running, path: str) -> None:
    head, _, body = (await curl("--head", f"{server.url}{path}")).replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 200")
    assert body == ""
