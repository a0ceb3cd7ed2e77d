"""What the page of calls says when there is none, or it breaks; and who can use it: with keys, by ear, on a telephone."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Page, expect

from cozy_server.settings.secret import Secret
from cozy_server.settings.tree import IceServerSettings
from tests.fixtures.browser import browsing, energy, spoken
from tests.fixtures.fastrtc import Caller, taking_calls
from tests.fixtures.server import Running

LONG = 30_000
LOST = """() => {
  const connection = window.connections.at(-1);
  Object.defineProperty(connection, "connectionState", { get: () => "failed" });
  connection.dispatchEvent(new Event("connectionstatechange"));
}"""


@pytest.fixture
async def microphone(tmp_path: Path) -> Path:
    file = tmp_path / "microphone.wav"
    file.write_bytes(await spoken(60.0))
    return file


@asynccontextmanager
async def on_page(
    folder: Path, microphone: Path | None, *, allowed: bool = True, script: str = "", **voice: Any
) -> AsyncIterator[tuple[Page, Running, httpx2.AsyncClient]]:
    """The page of a server, open; nothing of it may end in the console."""
    faults: list[str] = []
    async with (
        taking_calls(folder / "data", **voice) as (server, client),
        browsing(microphone, allowed=allowed) as page,
    ):
        page.on("pageerror", lambda it: faults.append(str(it)))
        page.on("console", lambda it: faults.append(it.text) if it.type == "error" else None)
        if script:
            await page.add_init_script(script)
        await page.goto(f"{server.url}/voice")
        await expect(page.locator("#persona option").first).to_have_attribute("value", "default")
        yield page, server, client
    assert [it for it in faults if "responded with a status" not in it] == []


async def trouble(page: Page, words: str) -> None:
    await expect(page.get_by_role("alert")).to_contain_text(words, timeout=LONG)


async def test_a_microphone_that_is_not_allowed_is_told_and_may_be_tried_again(
    tmp_path: Path, microphone: Path
) -> None:
    async with on_page(tmp_path, microphone, allowed=False) as (page, _, _):
        for _ in range(2):
            await page.get_by_role("button", name="Call").click()
            await trouble(page, "may not use the microphone")
            await expect(page.locator("#state")).to_have_attribute("data-state", "ended")


async def test_a_machine_without_a_microphone_is_told(tmp_path: Path) -> None:
    async with on_page(tmp_path, None) as (page, _, _):
        await page.click("#call")
        await trouble(page, "No microphone was found")


async def test_a_page_that_is_not_safe_says_so_before_anybody_calls(tmp_path: Path, microphone: Path) -> None:
    script = "Object.defineProperty(window, 'isSecureContext', { value: false })"
    async with on_page(tmp_path, microphone, script=script) as (page, _, _):
        await trouble(page, "localhost")
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "idle")


async def test_a_full_server_and_ones_own_limit_are_told_apart(tmp_path: Path, microphone: Path) -> None:
    mine: dict[str, Any] = {"calls_per_owner": 1}
    all_together: dict[str, Any] = {"calls_at_once": 1}
    for number, (limit, words) in enumerate(
        ((mine, "as many calls as you may have at once: 1"), (all_together, "Try again"))
    ):
        async with on_page(tmp_path / str(number), microphone, **limit) as (page, _, client):
            other = Caller(client)
            await other.call()
            await page.click("#call")
            await trouble(page, words)
            await other.hang_up()


async def test_other_refusals_are_told_with_what_to_do(tmp_path: Path, microphone: Path) -> None:
    async with on_page(tmp_path, microphone) as (page, _, _):
        limited = {
            "status": 429,
            "headers": {"retry-after": "7"},
            "json": {"status": "failed", "meta": {"error": "x"}},
        }
        await page.route("**/webrtc/offer", lambda route: route.fulfill(**limited))
        await page.click("#call")
        await trouble(page, "seconds: 7")
        await page.unroute("**/webrtc/offer")
        await page.evaluate(
            "document.querySelector('#persona').append(new Option('Nobody', 'nobody', true, true))"
        )
        await page.click("#call")
        await trouble(page, "The call was refused.")
        await trouble(page, "nobody")
        await page.select_option("#language", "zh")
        await trouble(page, "呼叫被拒绝")


async def test_the_page_connects_by_the_servers_of_the_settings(tmp_path: Path, microphone: Path) -> None:
    ice = {"a": IceServerSettings(urls=("turn:turn.example.org:3478",), username="u", password=Secret("p"))}
    async with on_page(tmp_path, microphone, ice=ice) as (page, _, _):
        await page.click("#call")
        await page.wait_for_function("window.connections.length > 0", timeout=LONG)
        (server,) = await page.evaluate("window.connections[0].getConfiguration().iceServers")
        found = (server["urls"], server["username"], server["credential"])
        assert found == (["turn:turn.example.org:3478"], "u", "p")


async def test_a_server_that_has_gone_is_told(tmp_path: Path, microphone: Path) -> None:
    async with on_page(tmp_path, microphone) as (page, _, _):
        await page.route(
            "**/gradio_api/**", lambda route: route.fulfill(body="<h1>Bad gateway</h1>", status=200)
        )
        await page.click("#call")
        await trouble(page, "The server does not answer")


async def test_a_lost_connection_is_made_anew_and_the_call_goes_on(tmp_path: Path, microphone: Path) -> None:
    async with on_page(tmp_path, microphone) as (page, server, client):
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "listening", timeout=LONG)
        session = await page.evaluate("document.body.dataset.session")
        heard = await energy(page)
        await page.evaluate(LOST)
        await trouble(page, "Connected again.")
        assert len(server.container.conversations()) == 1
        await page.get_by_role("textbox", name="Type instead of speaking").fill("Still there?")
        await page.keyboard.press("Enter")
        await expect(page.locator("#transcript .agent").last).to_contain_text(
            "This is answer 1", timeout=LONG
        )
        assert await page.evaluate("document.body.dataset.session") == session
        assert await energy(page) != heard
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "ended", timeout=LONG)
        messages = (await client.get(f"/v1/cozy/sessions/{session}/messages")).json()["data"]
        assert "Still there?" in str(messages)


async def test_a_call_that_fails_is_told_as_that(tmp_path: Path, microphone: Path) -> None:
    async with on_page(tmp_path, microphone) as (page, server, _):
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "listening", timeout=LONG)
        (line,) = server.container.conversations().lines._open.values()
        assert line.call is not None
        line.call.close("engine_unavailable")
        await trouble(page, "something failed in the server")


async def test_a_server_that_stops_is_told_as_that(tmp_path: Path, microphone: Path) -> None:
    async with on_page(tmp_path, microphone) as (page, server, _):
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "listening", timeout=LONG)
        server.stop()
        await trouble(page, "The server has stopped.")


async def test_a_call_needs_no_mouse_and_is_read_to_those_who_do_not_see(
    tmp_path: Path, microphone: Path
) -> None:
    async with on_page(tmp_path, microphone) as (page, _, _):
        await page.get_by_role("combobox", name="Persona").focus()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Call")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_have_text("Listening", timeout=LONG)
        await expect(page.locator("[aria-live=polite] p")).to_have_text(
            re.compile("^Persona: .*Cozy"), timeout=LONG
        )
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await expect(page.get_by_role("button", name="Mute", pressed=True)).to_be_focused()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Hang up")).to_be_focused()
        await page.keyboard.press("Space")
        await expect(page.get_by_role("status")).to_have_text("The call has ended", timeout=LONG)
        unnamed = (
            "all => all.filter(it => !it.labels?.length && !it.ariaLabel && !it.textContent.trim()).length"
        )
        assert await page.locator("button, select, input, meter").evaluate_all(unnamed) == 0


async def test_the_page_fits_a_telephone_in_both_languages(tmp_path: Path, microphone: Path) -> None:
    async with on_page(tmp_path, microphone) as (page, _, _):
        await page.set_viewport_size({"width": 320, "height": 640})
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "listening", timeout=LONG)
        await page.get_by_role("textbox").fill("Hello" * 30)
        await page.keyboard.press("Enter")
        await expect(page.locator("#waterfall li")).to_have_count(1, timeout=LONG)
        for language in ("en", "zh"):
            await page.select_option("#language", language)
            assert await page.evaluate("document.documentElement.scrollWidth") == 320
            small = "all => all.filter(it => it.getBoundingClientRect().height < 40).length"
            assert await page.locator("button, select, input").evaluate_all(small) == 0
