"""A server that is full says so at once, instead of letting people wait (reliability A4, point 6)."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import server_process

SEATS = 40
SHED_S = 0.05
BODY = {"model": "fake/ok?chunks=10&gap_ms=1000", "messages": [{"role": "user", "content": "Hello"}]}


async def test_what_is_too_much_is_refused_within_fifty_milliseconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(BODY["model"])
    async with FakeOpenAI() as upstream:
        told = {
            "limits": {"turns_at_once": SEATS},
            "models": {
                "default": model,
                "allowed": [model],
                "providers": {"fake": {"base_url": upstream.base_url, "api_key": "k"}},
            },
        }
        (tmp_path / "cozy.yaml").write_text(json.dumps(told))
        async with (
            server_process("dev", "--port", "0", folder=tmp_path, COZY_MODEL=model) as server,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            loop = asyncio.get_running_loop()

            async def ask() -> tuple[int, float, str | None]:
                began = loop.time()
                async with http.post(f"{server.url}/v1/chat/completions", json=BODY) as answer:
                    await answer.read()
                    return answer.status, loop.time() - began, answer.headers.get("retry-after")

            seated = [asyncio.create_task(ask()) for _ in range(SEATS)]
            await upstream.until(lambda: len(upstream.chats()) == SEATS, within_s=20)
            shed = []
            for _ in range(40):
                shed += await asyncio.gather(*(ask() for _ in range(5)))
            whole = await asyncio.gather(*seated)
    took = sorted(it[1] for it in shed)
    with capsys.disabled():
        sys.stdout.write(
            f"\nA4.6 {SEATS} answers under way, {len(shed)} refused: median {took[100] * 1e3:.0f} ms, "
            f"p95 {took[190] * 1e3:.0f} ms, longest {took[-1] * 1e3:.0f} ms\n"
        )
    assert {(status, wait) for status, _, wait in shed} == {(503, "1")}
    assert took[100] <= SHED_S
    assert [status for status, *_ in whole].count(200) == SEATS
