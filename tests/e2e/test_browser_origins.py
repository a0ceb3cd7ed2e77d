"""Web pages of other origins may call only where the operator lists their origin, exactly."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.fixtures.server import Running, container_for, running, settings_for

LISTED = "https://app.example.org"


@pytest.fixture
async def listing(tmp_path: Path) -> AsyncIterator[Running]:
    """A server that lists one origin."""
    async with running(container_for(settings_for(tmp_path, cors_origins=(LISTED,)))) as server:
        yield server


async def preflight(server: Running, origin: str) -> httpx2.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with httpx2.AsyncClient(timeout=60) as client:
        return await client.options(f"{server.base_url}/chat/completions", headers=headers)


async def test_a_listed_origin_may_call_and_read_the_answer(listing: Running) -> None:
    answer = await preflight(listing, LISTED)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    async with httpx2.AsyncClient(timeout=60) as client:
        got = await client.get(f"{listing.base_url}/models", headers={"Origin": LISTED})
    assert got.headers["access-control-allow-origin"] == LISTED
    assert "x-request-id" in got.headers["access-control-expose-headers"].lower()


async def test_a_page_may_use_the_sdk_of_openai_and_the_client_of_gradio(listing: Running) -> None:
    """The first sends headers of its own, the second cookies; a browser asks beforehand whether it may."""
    asked = {
        "Origin": LISTED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-arch,x-stainless-retry-count",
    }
    async with httpx2.AsyncClient(base_url=listing.url, timeout=60) as client:
        for path in ("/v1/chat/completions", "/gradio_api/component_server/"):
            told = await client.options(path, headers=asked)
            assert told.status_code == 204
            assert told.headers["access-control-allow-credentials"] == "true"
            allowed = {it.strip() for it in told.headers["access-control-allow-headers"].lower().split(",")}
            assert {"authorization", "content-type", "x-stainless-arch", "x-stainless-retry-count"} <= allowed
        answer = await client.get("/v1/models", headers={"Origin": LISTED})
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-allow-origin"] == LISTED


async def test_where_any_origin_fits_a_page_may_not_send_cookies(tmp_path: Path) -> None:
    """A proxy in front may know by them who asks."""
    asked = {"Origin": "https://evil.example", "Cookie": "session=1"}
    async with running(container_for(settings_for(tmp_path, cors_origins=("*",)))) as server:
        told = await preflight(server, "https://evil.example")
        async with httpx2.AsyncClient(timeout=60) as client:
            got = await client.get(f"{server.base_url}/models", headers=asked)
    assert "access-control-allow-credentials" not in told.headers
    assert "access-control-allow-credentials" not in got.headers


async def test_a_listed_origin_can_read_errors_too(listing: Running) -> None:
    async with httpx2.AsyncClient(timeout=60) as client:
        got = await client.get(f"{listing.url}/nowhere", headers={"Origin": LISTED})
    assert got.status_code == 404
    assert got.headers["access-control-allow-origin"] == LISTED


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://app.example.org.evil.example",
        "https://evil-app.example.org",
        "http://app.example.org",
        "https://app.example.org:444",
        "https://APP.example.org.",
    ],
)
async def test_any_other_origin_may_not(listing: Running, origin: str) -> None:
    assert "access-control-allow-origin" not in (await preflight(listing, origin)).headers
    async with httpx2.AsyncClient(timeout=60) as client:
        got = await client.get(f"{listing.base_url}/models", headers={"Origin": origin})
    assert "access-control-allow-origin" not in got.headers


async def test_nobody_may_by_default(server: Running) -> None:
    assert "access-control-allow-origin" not in (await preflight(server, LISTED)).headers


STRANGER = "http://127.0.0.1:5174"


@pytest.mark.parametrize("listed", [(), (LISTED,)])
async def test_a_page_that_may_not_call_is_explained_in_the_log_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listed: tuple[str, ...]
) -> None:
    async with running(container_for(settings_for(tmp_path, cors_origins=listed))) as server:
        for origin in (*listed, STRANGER, STRANGER, STRANGER):
            await preflight(server, origin)
    told = [it for it in caplog.records if it.getMessage() == "origin_not_listed"]
    assert [it.__dict__["origin"] for it in told] == [STRANGER]
    assert "server.cors_origins" in told[0].__dict__["told"]


async def test_a_page_that_rebinds_its_name_to_loopback_is_refused_in_development(server: Running) -> None:
    async with httpx2.AsyncClient(timeout=60) as client:
        got = await client.get(f"{server.base_url}/models", headers={"Host": f"evil.example:{server.port}"})
    assert got.status_code == 403
    assert got.json()["error"]["code"] == "permission_denied"
