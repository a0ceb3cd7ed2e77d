"""The pages of docs/how-to/frontends.md do what they say, served as it says: from another origin, which is listed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.async_api import expect

from tests.fixtures.browser import browsing, energy, spoken
from tests.fixtures.fastrtc import calls_for
from tests.fixtures.server import running

LONG = 30_000
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "frontends.md"
WRITTEN = "http://127.0.0.1:8000"


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """The origin of a plain web server of these files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    serving = asyncio.create_task(asyncio.to_thread(server.serve_forever, 0.05))
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        await serving
        server.server_close()


async def test_the_pages_of_the_guide_work_from_another_origin(tmp_path: Path) -> None:
    pages = re.findall(r"`(\w+\.html)`\n.*?```html\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert [name for name, _ in pages] == ["text.html", "call.html"]
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(await spoken(1.0))
    folder = tmp_path / "pages"
    folder.mkdir()
    async with (
        served(folder) as origin,
        running(calls_for(tmp_path / "data", cors_origins=(origin,))) as server,
        browsing(microphone) as page,
    ):
        for name, text in pages:
            assert text.count(WRITTEN) == 1
            (folder / name).write_text(text.replace(WRITTEN, server.url))
        await page.goto(f"{origin}/text.html")
        await expect(page.locator("body")).to_contain_text("This is answer 1", timeout=LONG)
        await page.goto(f"{origin}/call.html")
        await page.click("#start")
        await expect(page.locator("#log")).to_contain_text("response_starting", timeout=LONG)
        await expect(page.locator("#log")).to_contain_text("output_audio_buffer.stopped", timeout=LONG)
        assert await energy(page) > 0
