"""Images, recordings and files in a session: sent once, shown to the model again, listed as references."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.media import PDF, base64, data_url, png, wav
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake

PICTURE = {"type": "image_url", "image_url": {"url": data_url(png()), "detail": "low"}}
RECORDING = {"type": "input_audio", "input_audio": {"data": base64(wav()), "format": "wav"}}
PAPER = {"type": "file", "file": {"file_data": data_url(PDF, "application/pdf"), "filename": "a.pdf"}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.fixture
async def server(tmp_path: Path, fake_openai: FakeOpenAI) -> AsyncIterator[Running]:
    async with running(container_for(with_fake(settings_for(tmp_path), fake_openai, "ok"))) as started:
        yield started


@pytest.fixture
async def client(server: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        yield client


async def say(client: AsyncOpenAI, content: Any, session: str, **cozy: str) -> None:
    await client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": content}],
        extra_body={"cozy": {"session_id": session, **cozy}},
    )


def sent(fake: FakeOpenAI, number: int) -> list[Any]:
    """The parts of the first message of parts that the provider got in its ``number``-th call."""
    messages = fake.chats()[number].body["messages"]
    return next(message["content"] for message in messages if isinstance(message["content"], list))


async def listed(server: Running, session: str, **query: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=60) as plain:
        return await plain.get(f"{server.base_url}/cozy/sessions/{session}/messages", params=query)


async def fetched(server: Running, path: str, **query: str) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=60) as plain:
        return await plain.get(f"{server.url}{path}", params=query)


async def test_what_was_sent_once_is_shown_to_the_model_in_later_turns(
    server: Running, client: AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    parts = [{"type": "text", "text": "Look."}, PICTURE, RECORDING, PAPER, LINK]
    session = str(uuid4())
    await say(client, parts, session)
    await say(client, "And which colour is it?", session)
    assert sent(fake_openai, 0) == sent(fake_openai, 1) == parts


async def test_the_list_shows_references_and_the_bytes_are_at_their_address(
    server: Running, client: AsyncOpenAI
) -> None:
    session = str(uuid4())
    large = png() + bytes(200_000)
    await say(client, [{**PICTURE, "image_url": {"url": data_url(large)}}, RECORDING, PAPER, LINK], session)
    answer = await listed(server, session)
    assert len(answer.content) < 5_000
    image, audio, file, link = answer.json()["data"][0]["content"]
    assert image["image_url"]["url"] == image["image_url"]["blob"]["url"]
    assert image["image_url"]["blob"]["bytes"] == len(large)
    assert audio["input_audio"].keys() == {"format", "blob"}
    assert file["file"].keys() == {"filename", "blob"}
    assert link == LINK
    for blob, data, media_type in (
        (image["image_url"]["blob"], large, "image/png"),
        (audio["input_audio"]["blob"], wav(), "audio/wav"),
        (file["file"]["blob"], PDF, "application/pdf"),
    ):
        found = await fetched(server, blob["url"])
        assert (found.status_code, found.content) == (200, data)
        assert found.headers["content-type"] == media_type
        assert found.headers["content-disposition"].startswith("attachment; filename=")
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in found.headers["content-security-policy"]


async def test_what_pretends_to_be_a_page_is_served_as_bytes(server: Running, client: AsyncOpenAI) -> None:
    session = str(uuid4())
    page = data_url(b"<script>alert(1)</script>", "text/html")
    await say(client, [{"type": "file", "file": {"file_data": page, "filename": "a.html"}}], session)
    (part,) = (await listed(server, session)).json()["data"][0]["content"]
    found = await fetched(server, part["file"]["blob"]["url"])
    assert found.headers["content-type"] == "application/octet-stream"


async def test_bytes_belong_to_the_person_who_sent_them(server: Running, client: AsyncOpenAI) -> None:
    session = str(uuid4())
    await say(client, [PICTURE], session, user_id="mei")
    (part,) = (await listed(server, session, user_id="mei")).json()["data"][0]["content"]
    path = part["image_url"]["url"]
    assert (await fetched(server, path, user_id="mei")).status_code == 200
    for query in ({}, {"user_id": "bo"}):
        missing = await fetched(server, path, **query)
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "blob_not_found")


async def test_bytes_of_a_deleted_session_are_gone(server: Running, client: AsyncOpenAI) -> None:
    session = str(uuid4())
    await say(client, [PICTURE], session)
    (part,) = (await listed(server, session)).json()["data"][0]["content"]
    async with httpx2.AsyncClient(timeout=60) as plain:
        await plain.delete(f"{server.base_url}/cozy/sessions/{session}")
    assert (await fetched(server, part["image_url"]["url"])).status_code == 404


@pytest.mark.parametrize("digest", ["0" * 64, "A" * 64, "x", "%00"])
async def test_what_is_no_hash_is_not_found(server: Running, digest: str) -> None:
    missing = await fetched(server, f"/v1/cozy/blobs/{digest}")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "blob_not_found")


async def test_a_broken_image_is_refused_before_anything_is_stored(
    server: Running, client: AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    session = str(uuid4())
    with pytest.raises(BadRequestError) as caught:
        await say(client, [{"type": "image_url", "image_url": {"url": "data:image/png;base64,@"}}], session)
    assert caught.value.param == "messages[0].content[0].image_url.url"
    assert fake_openai.chats() == []
    assert (await listed(server, session)).status_code == 404


async def test_one_of_the_largest_bodies_goes_all_the_way(
    server: Running, client: AsyncOpenAI, fake_openai: FakeOpenAI
) -> None:
    session = str(uuid4())
    picture = {"type": "image_url", "image_url": {"url": data_url(png() + bytes(7_300_000))}}
    await say(client, [picture], session)
    await say(client, "And now?", session)
    assert sent(fake_openai, 1) == [picture]
    headers = fake_openai.chats()[1].headers
    assert int(headers["content-length"]) > 9_700_000
    assert "transfer-encoding" not in headers
    assert len(json.dumps((await listed(server, session)).json())) < 5_000
