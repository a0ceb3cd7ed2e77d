"""Persona files that change while the server runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from msgspec.structs import replace

from cozy_server.settings.tree import PersonaSettings
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import PATIENCE_S, Running, container_for, running, settings_for, with_fake

SLOW = "ok?chunks=8&gap_ms=50"


def write(folder: Path, prompt: str, more: str = "") -> None:
    """As an editor does: whole or not at all."""
    draft = folder / "anna.draft"
    draft.write_text(f"schema: persona/1\nid: anna\nname: Anna\nprompt:\n  system: {prompt}\n{more}")
    draft.replace(folder / "anna.yaml")


@asynccontextmanager
async def served(
    tmp_path: Path, fake: FakeOpenAI, every_s: float = 0.02
) -> AsyncIterator[tuple[Running, Path]]:
    folder = tmp_path / "personas"
    folder.mkdir()
    write(folder, "first")
    settings = replace(
        with_fake(settings_for(tmp_path), fake, "ok", SLOW),
        personas=PersonaSettings(folder=str(folder), reload_s=every_s),
    )
    async with running(container_for(settings)) as server:
        yield server, folder


def body(model: str = "anna", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}


async def said(server: Running, **cozy: Any) -> dict[str, Any]:
    """What the answer says of itself."""
    async with httpx2.AsyncClient(timeout=60) as client:
        answer = await client.post(f"{server.base_url}/chat/completions", json=body(cozy=cozy))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["cozy"]
    return found


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110  the server tells nobody
            await asyncio.sleep(0.01)


async def health(server: Running) -> str:
    async with httpx2.AsyncClient(timeout=60) as client:
        return str((await client.get(f"{server.url}/health")).json()["status"])


def speaks(server: Running, revision: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return bool((await said(server))["revision"] == revision)

    return holds


def is_(server: Running, status: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return await health(server) == status

    return holds


async def test_a_change_is_live_without_a_restart_and_goes_to_the_model(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with served(tmp_path, fake_openai) as (server, folder):
        assert (await said(server))["revision"] == 1
        write(folder, "second")
        await until(speaks(server, 2))
        assert "second" in str(fake_openai.chats()[-1])
        (folder / "anna.yaml").rename(folder / "anna.off")
        async with httpx2.AsyncClient(timeout=60) as client:

            async def gone() -> bool:
                listed = (await client.get(f"{server.base_url}/models")).json()["data"]
                return "anna" not in [model["id"] for model in listed]

            await until(gone)


async def test_a_session_keeps_the_revision_that_it_began_with(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with served(tmp_path, fake_openai) as (server, folder):
        session = str(uuid4())
        assert (await said(server, session_id=session))["revision"] == 1
        write(folder, "second")
        await until(speaks(server, 2))
        assert (await said(server, session_id=session))["revision"] == 1
        assert (await said(server, session_id=str(uuid4())))["revision"] == 2


async def test_an_answer_under_way_keeps_the_personas_that_it_began_with(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with served(tmp_path, fake_openai) as (server, folder), httpx2.AsyncClient(timeout=60) as client:
        asked = body(f"fake/{SLOW}", stream=True, cozy={"personality_id": "anna"})
        async with client.stream("POST", f"{server.base_url}/chat/completions", json=asked) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            write(folder, "second")
            await until(speaks(server, 2))
            rest = [line async for line in lines]
    told = [json.loads(line[6:]).get("cozy") for line in rest if line.startswith("data: {")]
    assert [cozy["revision"] for cozy in told if cozy and "revision" in cozy] == [1]


async def test_a_file_with_a_mistake_changes_nothing_and_is_told_until_it_is_mended(
    tmp_path: Path, fake_openai: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, fake_openai) as (server, folder):
        write(folder, "second", "voice: [")
        await until(is_(server, "degraded"))
        assert (await said(server))["revision"] == 1
        told = [
            record.__dict__["told"] for record in caplog.records if record.message == "personas_not_reloaded"
        ]
        assert len(told) == 1
        assert "anna.yaml:6" in told[0]
        write(folder, "third")
        await until(is_(server, "ok"))
        assert (await said(server))["revision"] == 2


async def test_a_persona_that_takes_the_name_of_a_model_is_refused(
    tmp_path: Path, fake_openai: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, fake_openai) as (server, folder):
        (folder / "ok.yaml").write_text("schema: persona/1\nid: ok\nname: Ok\n")
        await until(is_(server, "degraded"))
        assert any(
            "'ok' is the name of more than one" in str(it.__dict__.get("told")) for it in caplog.records
        )
        assert (await said(server))["persona"] == "anna"


async def test_nobody_looks_where_that_is_not_wanted(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    async with served(tmp_path, fake_openai, every_s=0.0) as (server, folder):
        write(folder, "second")
        tasks = [task.get_name() for task in asyncio.all_tasks()]
        assert (await said(server))["revision"] == 1
    assert "reload personas" not in tasks
