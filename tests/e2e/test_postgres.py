"""Two servers and a command line on one Postgres."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.fixtures.postgres import postgres_url
from tests.fixtures.server import Process, command, server_process


@pytest.fixture
async def variables() -> AsyncIterator[dict[str, str]]:
    async with postgres_url() as url:
        yield {"COZY_DATABASE__URL": url, "COZY_AUDIT__KEY": "5a" * 32}


async def said(server: Process, key: str, session: str, words: str) -> dict[str, object]:
    """What the server answers in that session."""
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": words}],
        "cozy": {"session_id": session},
    }
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{server.url}/v1/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        told: dict[str, object] = await answer.json()
        return told


async def messages(server: Process, key: str, session: str) -> list[str]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{server.url}/v1/cozy/sessions/{session}/messages") as answer,
    ):
        assert answer.status == 200, await answer.text()
        return [one["content"] for one in (await answer.json())["data"] if one["role"] == "user"]


async def test_a_conversation_goes_on_at_the_other_server(tmp_path: Path, variables: dict[str, str]) -> None:
    code, out, errors = await command("keys", "create", "ann", "--json", folder=tmp_path, **variables)
    assert code == 0, errors
    key = json.loads(out)["key"]
    session = str(uuid4())
    serve = ("serve", "--port", "0")
    async with (
        server_process(*serve, folder=tmp_path, **variables) as one,
        server_process(*serve, folder=tmp_path, **variables) as other,
    ):
        assert "Postgres" in one.banner
        await said(one, key, session, "first")
        await said(other, key, session, "second")
        assert await messages(one, key, session) == await messages(other, key, session) == ["first", "second"]
    code, out, errors = await command("audit", "verify", folder=tmp_path, **variables)
    assert code == 0, out + errors
    assert not (tmp_path / ".cozy" / "cozy.db").exists()


async def test_a_store_that_is_not_there_is_told_in_a_line(tmp_path: Path, variables: dict[str, str]) -> None:
    variables |= {"COZY_DATABASE__URL": "postgresql://u:canary@127.0.0.1:1/cozy"}
    code, out, errors = await command("serve", folder=tmp_path, **variables)
    assert code == 1
    assert "cannot be reached" in errors
    assert "canary" not in out + errors
    assert "Traceback" not in errors
