"""A page in the manner of FastRTC's documentation, written for FastRTC and knowing nothing of us."""

from pathlib import Path

from playwright.async_api import Route, expect

from tests.fixtures.browser import browsing, energy, spoken
from tests.fixtures.fastrtc import taking_calls

LONG = 30_000
PAGE = Path(__file__).parents[1] / "fixtures" / "pages" / "fastrtc.html"


async def test_a_page_written_for_fastrtc_works(tmp_path: Path) -> None:
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(await spoken(8.0, "Please tell me something that takes you a while.", 30.0))
    async with taking_calls(tmp_path / "data") as (server, _), browsing(microphone) as page:

        async def served(route: Route) -> None:
            await route.fulfill(body=PAGE.read_text(), content_type="text/html")

        await page.route("**/page", served)
        await page.goto(f"{server.url}/page")
        await page.click("#start")
        log = page.locator("#log")
        await expect(log).to_contain_text("Server received: handshake", timeout=LONG)
        for told in ("started_talking", "pause_detected", "response_starting", "fetch_output"):
            await expect(log).to_contain_text(told, timeout=LONG)
        await expect(page.locator("#chat")).to_contain_text("user: Tell me", timeout=LONG)
        await expect(page.locator("#chat")).to_contain_text("assistant: This is answer 1", timeout=LONG)
        assert await energy(page) > 0
        assert "error" not in await log.inner_text()
