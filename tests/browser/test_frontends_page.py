"""The pages of docs/how-to/frontends.md do what they say."""

import re
from pathlib import Path

from playwright.async_api import Route, expect

from tests.fixtures.browser import browsing, energy, spoken
from tests.fixtures.fastrtc import taking_calls

LONG = 30_000
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "frontends.md"


async def test_the_pages_of_the_guide_work(tmp_path: Path) -> None:
    text, call = re.findall(r"```html\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(await spoken(1.0))
    async with taking_calls(tmp_path / "data") as (server, _), browsing(microphone) as page:

        async def served(route: Route) -> None:
            body = call if route.request.url.endswith("/call") else text
            await route.fulfill(body=f"<!doctype html><body>{body}</body>", content_type="text/html")

        await page.route("**/page/*", served)
        await page.goto(f"{server.url}/page/text")
        await expect(page.locator("body")).to_contain_text("This is answer 1", timeout=LONG)
        await page.goto(f"{server.url}/page/call")
        await page.click("#start")
        await expect(page.locator("#log")).to_contain_text("response_starting", timeout=LONG)
        await expect(page.locator("#log")).to_contain_text("output_audio_buffer.stopped", timeout=LONG)
        assert await energy(page) > 0
