"""WS /v1/audio/transcriptions/stream over a real socket: what is said becomes text, and hostile clients are sent away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.dictation import PATH, client, dictating, loud, quiet, spoken
from tests.fixtures.server import Running, container_for, running, settings_for


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    script = ["Good evening Vienna.", "It rains.", "Goodbye."]
    async with running(dictating(container_for(settings_for(tmp_path)), *script)) as server:
        yield server


@pytest.mark.parametrize("path", [PATH, "/v1/audio/stt/stream"])
async def test_what_is_said_comes_back_in_parts_then_whole_with_its_times(served: Running, path: str) -> None:
    async with client(served, path) as it:
        await it.say(type="start", language="en")
        await it.sound(spoken())
        final = await it.until("transcript_final")
        await it.sound(spoken())
        await it.say(type="stop")
        done = await it.until("done")
        assert await it.end() == 1000
    assert it.texts("transcript")[0] == "Good"
    assert it.texts() == ["Good evening Vienna.", "It rains."]
    assert final["start"] == pytest.approx(0.5 - 0.3, abs=0.05)
    assert final["end"] == pytest.approx(1.5, abs=0.05)
    assert (final["language"], final["is_partial"]) == ("en", False)
    assert done["duration"] == pytest.approx(4.6)


async def test_what_is_being_said_at_stop_is_told_to_its_end(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="start")
        await it.sound(quiet(300) + loud(700))
        await it.say(type="stop")
        await it.until("done")
    assert it.texts() == ["Good evening Vienna."]


async def test_silence_gives_nothing_but_the_end(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="start")
        await it.sound(quiet(2_000))
        await it.say(type="stop")
        assert await it.end() == 1000
    assert [message["type"] for message in it.got] == ["done"]


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
async def test_other_rates_are_heard_at_their_own_speed(served: Running, rate: int) -> None:
    async with client(served) as it:
        await it.say(type="start", rate=rate)
        await it.sound(spoken(rate), rate)
        final = await it.until("transcript_final")
    assert final["end"] == pytest.approx(1.5, abs=0.1)
