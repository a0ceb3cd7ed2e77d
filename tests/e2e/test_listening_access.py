"""Who may open the socket that sound is transcribed over, and how many of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus

from cozy_domain.access.keys import ApiKey, hash_of, prefix_of, render
from cozy_server.settings.tree import LimitSettings
from tests.fixtures.dictation import PATH, client, dictating, spoken
from tests.fixtures.server import UNLIMITED, Running, container_for, running, settings_for

TOKEN = render(b"sixbyt", b"k" * 32)
BEARER: dict[str, Any] = {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}}


@asynccontextmanager
async def with_key(
    folder: Path, limits: LimitSettings = UNLIMITED, *, many: bool = False
) -> AsyncIterator[Running]:
    settings = replace(settings_for(folder), limits=limits)
    container = dictating(container_for(settings, development=False), *["Good evening."] * 9)
    async with running(container) as server:
        key = ApiKey(
            id=UUID(int=1),
            prefix=prefix_of(TOKEN) or "",
            hash=hash_of(TOKEN),
            name="a key",
            account="acme",
            role="user",
            created_at=container.clock().now(),
            serves_many=many,
        )
        await container.key_store().add(key)
        yield server


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    async with with_key(tmp_path) as it:
        yield it


async def refused(server: Running, path: str = PATH, **options: Any) -> tuple[int, dict[str, Any], Any]:
    """Status, error and headers of a handshake that fails."""
    with pytest.raises(InvalidStatus) as caught:
        async with client(server, path, **options):
            pass
    answer = caught.value.response
    error: dict[str, Any] = msgspec.json.decode(answer.body or b"")["error"]
    return answer.status_code, error, answer.headers


async def test_a_key_opens_it_wherever_it_stands(served: Running) -> None:
    offered = [f"openai-insecure-api-key.{TOKEN}", "realtime"]
    for path, options in (
        (PATH, BEARER),
        (f"{PATH}?token={TOKEN}", {}),
        (PATH, {"subprotocols": offered}),
    ):
        async with client(served, path, **options) as it:
            await it.say(type="start")
            await it.sound(spoken())
            await it.until("transcript_final")
            assert it.connection.subprotocol == ("realtime" if "subprotocols" in options else None)


async def test_without_a_good_key_it_stays_shut_and_says_why(served: Running) -> None:
    status, error, headers = await refused(served)
    assert (status, error["code"], headers["www-authenticate"]) == (401, None, "Bearer")
    for path, options in (
        (PATH, {"additional_headers": {"Authorization": "Bearer cz_wrong"}}),
        (f"{PATH}?token=cz_wrong", {}),
        (PATH, {"subprotocols": ["realtime", "openai-insecure-api-key.cz_wrong"]}),
    ):
        status, error, _ = await refused(served, path, **options)
        assert (status, error["code"]) == (401, "invalid_api_key")


async def test_a_page_of_another_origin_stays_outside_also_with_a_key(served: Running) -> None:
    status, error, _ = await refused(served, f"{PATH}?token={TOKEN}", origin="https://evil.example")
    assert (status, error["code"]) == (403, "permission_denied")
    async with client(served, f"{PATH}?token={TOKEN}", origin=served.url) as it:
        await it.say(type="ping")
        await it.until("pong")


async def test_opening_one_counts_as_a_request(tmp_path: Path) -> None:
    async with with_key(tmp_path, replace(UNLIMITED, owner_per_minute=2)) as server:
        for _ in range(2):
            async with client(server, **BEARER) as it:
                await it.say(type="ping")
                await it.until("pong")
        status, error, headers = await refused(server, **BEARER)
        assert (status, error["code"]) == (429, "rate_limit_exceeded")
        assert int(headers["retry-after"]) >= 1
        assert headers["x-ratelimit-limit-requests"] == "2"


async def test_a_key_that_serves_many_counts_for_whom_it_names(tmp_path: Path) -> None:
    async with with_key(tmp_path, replace(UNLIMITED, owner_per_minute=1), many=True) as server:
        for user, close in (("ana", 1000), ("ben", 1000), ("ana", 1013)):
            async with client(server, **BEARER) as it:
                await it.say(type="start", cozy={"user_id": user})
                await it.say(type="stop")
                assert await it.end() == close
        assert it.error["code"] == "rate_limit_exceeded"


async def test_each_open_stream_takes_a_seat(tmp_path: Path) -> None:
    async with with_key(tmp_path, replace(UNLIMITED, turns_at_once=1)) as server:
        async with client(server, **BEARER) as first:
            await first.say(type="start")
            await first.sound(spoken())
            await first.until("transcript_final")
            async with client(server, **BEARER) as second:
                await second.say(type="start")
                assert await second.end() == 1013
                assert second.error["code"] == "server_overloaded"
            await first.say(type="stop")
            assert await first.end() == 1000
        async with client(server, **BEARER) as third:
            await third.say(type="start")
            await third.say(type="stop")
            assert await third.end() == 1000
