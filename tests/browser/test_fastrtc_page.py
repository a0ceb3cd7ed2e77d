"""Pages in the manner of FastRTC's documentation, written for FastRTC and knowing nothing of us."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.fixtures.browser import browsing, energy, spoken
from tests.fixtures.fastrtc import taking_calls

LONG = 30_000
PAGES = Path(__file__).parents[1] / "fixtures" / "pages"


@asynccontextmanager
async def calling_from(name: str, folder: Path) -> AsyncIterator[Page]:
    """The page, whose caller says a sentence after a while."""
    microphone = folder / "microphone.wav"
    microphone.write_bytes(await spoken(8.0, "Please tell me something that takes you a while.", 30.0))
    async with taking_calls(folder / "data") as (server, _), browsing(microphone) as page:
        # Chromium lets a page that it did not load from this machine open no socket to it, so it comes from where it calls.
        await page.goto(f"{server.url}/v1/models")
        await page.set_content((PAGES / name).read_text())
        await page.click("#start")
        yield page


async def test_a_page_written_for_fastrtc_works(tmp_path: Path) -> None:
    async with calling_from("fastrtc.html", tmp_path) as page:
        log = page.locator("#log")
        await expect(log).to_contain_text("Server received: handshake", timeout=LONG)
        for told in ("started_talking", "pause_detected", "response_starting", "fetch_output"):
            await expect(log).to_contain_text(told, timeout=LONG)
        await expect(page.locator("#chat")).to_contain_text("user: Tell me", timeout=LONG)
        await expect(page.locator("#chat")).to_contain_text("assistant: This is answer 1", timeout=LONG)
        assert await energy(page) > 0
        assert "error" not in await log.inner_text()


async def test_a_page_written_for_fastrtcs_socket_works_at_its_browsers_own_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with calling_from("fastrtc_socket.html", tmp_path) as page:
        log = page.locator("#log")
        for told in ("pong", "started_talking", "pause_detected", "response_starting"):
            await expect(log).to_contain_text(told, timeout=LONG)
        await expect(page.locator("#chat")).to_contain_text("user: Tell me", timeout=LONG)
        await expect(page.locator("#chat")).to_contain_text("assistant: This is answer 1", timeout=LONG)
        assert await page.evaluate("loudest") > 1_000
        noticed = [it.__dict__["rate"] for it in caplog.records if it.getMessage() == "socket_rate_noticed"]
        assert noticed[-1] == await page.evaluate("audioContext.sampleRate")
        await page.evaluate("socket.send(JSON.stringify({ event: 'stop' }))")
        await expect(log).to_contain_text("closed 1000", timeout=LONG)
        assert "error" not in await log.inner_text()
