"""A person calls from the page that `cozy dev` serves: hears the greeting, asks, interrupts, hangs up."""

import re
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Page, expect

from tests.fixtures.browser import browsing, energy, spoken
from tests.fixtures.fastrtc import taking_calls

LONG = 30_000
"""Milliseconds for anything to happen on a busy machine."""


LEVELS = """setInterval(() => {
  for (const id of ["mine", "theirs"])
    if (document.getElementById(id).value > 0.05) document.body.dataset[id] = "moved";
}, 20);"""
"""Notes which levels have moved."""


async def moves(page: Page, level: str) -> None:
    await expect(page.locator("body")).to_have_attribute(f"data-{level}", "moved", timeout=LONG)


async def until_text(page: Page, selector: str, pattern: Any) -> str:
    await expect(page.locator(selector).last).to_contain_text(pattern, timeout=LONG)
    return await page.locator(selector).last.inner_text()


async def test_a_call_from_the_page_is_heard_answered_interrupted_and_remembered(tmp_path: Path) -> None:
    microphone = tmp_path / "microphone.wav"
    question, interruption = (
        "Please tell me something that takes you a while.",
        "Stop, wait a moment, please.",
    )
    microphone.write_bytes(await spoken(8.0, question, 2.5, interruption, 30.0))
    faults: list[str] = []
    async with taking_calls(tmp_path / "data") as (server, client):
        async with browsing(microphone) as page:
            page.on("console", lambda it: faults.append(it.text) if it.type == "error" else None)
            page.on("pageerror", lambda it: faults.append(str(it)))
            await page.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/voice")
            await expect(page.locator("#persona option").first).to_have_attribute("value", "default")
            await page.evaluate(LEVELS)
            await page.click("#call")
            await expect(page.locator("#state")).to_have_attribute("data-state", "speaking", timeout=LONG)
            await until_text(page, "#transcript .agent", "Cozy")
            await moves(page, "theirs")
            greeted = await energy(page)
            assert greeted > 0
            await expect(page.locator("#transcript .user").first).to_contain_text("Tell me", timeout=LONG)
            await moves(page, "mine")
            await until_text(page, "#transcript .agent", "This is answer 1")
            await expect(page.locator("#waterfall li").first).to_contain_text("=", timeout=LONG)
            await expect(page.locator("#transcript .agent.cut")).to_contain_text("answer 1", timeout=LONG)
            assert await energy(page) > greeted
            session = await page.evaluate("document.body.dataset.session")
            await page.click("#call")
            await expect(page.locator("#state")).to_have_attribute("data-state", "ended", timeout=LONG)
            assert await page.evaluate("mine.value + theirs.value") == 0
        assert faults == []
        await kept(client, session)


async def kept(client: httpx2.AsyncClient, session: str) -> None:
    """The text history holds what was said, and of the answer what was heard."""
    messages = (await client.get(f"/v1/cozy/sessions/{session}/messages")).json()["data"]
    said = [it for it in messages if it["role"] == "user"]
    answered = [it for it in messages if it["role"] == "assistant"]
    assert "Tell me" in str(said[0])
    assert "This is answer 1" in str(answered)
    assert "And this is where it ends" not in str(answered[0])


async def test_the_page_speaks_chinese_and_english(tmp_path: Path) -> None:
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(await spoken(1.0))
    async with taking_calls(tmp_path / "data") as (server, _), browsing(microphone, "zh-CN") as page:
        await page.goto(f"{server.url}/voice")
        await expect(page.locator("#call")).to_have_text("呼叫")
        await page.select_option("#language", "en")
        await expect(page.locator("#call")).to_have_text("Call")
        await page.reload()
        await expect(page.locator("#call")).to_have_text("Call")


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(tmp_path: Path) -> None:
    async with taking_calls(tmp_path / "data") as (_, client):
        page = await client.get("/voice")
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        for name in ("", "/voice.js", "/call.js", "/texts.js", "/voice.css"):
            answer = await client.get(f"/voice{name}")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.status_code == 200
            assert re.findall(r"https?://[\w.]+", answer.text) == []
        assert "style=" not in page.text
        assert "onclick" not in page.text


async def test_the_persona_that_is_chosen_is_the_one_that_greets(tmp_path: Path) -> None:
    microphone = tmp_path / "microphone.wav"
    microphone.write_bytes(await spoken(30.0))
    async with taking_calls(tmp_path / "data") as (server, _), browsing(microphone) as page:
        await page.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/voice")
        await page.select_option("#persona", "wren", timeout=LONG)
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "speaking", timeout=LONG)
        await until_text(page, "#transcript .agent", re.compile("the cat|the bench|that stool"))
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "ended", timeout=LONG)
