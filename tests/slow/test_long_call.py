"""A call that goes on and on: it grows by nothing, lags by nothing, and its clock stays right."""

# ruff: noqa: T201 - `pytest -s` prints the figures

import asyncio
import re
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.bench.voice.speech import phrase_of
from tests.bench.voice.talker import Talker
from tests.fixtures.calls import spoken, until
from tests.fixtures.fastrtc import OFFER, taking_calls
from tests.fixtures.webrtc import sockets

PATIENCE_S = 60.0
SILENT_S = 1.0
QUESTION_S = 1.5
TICKS_A_SECOND = 48_000
WARM = 5
"""Turns until all that is loaded and kept once is there."""
ROOM_MB = 40.0
"""What the history of a call, the store's cache and the allocator may take in half an hour."""
DRIFT_MS = 60.0
PARTED = 0.05


def resident_mb() -> float:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1_024


@pytest.mark.parametrize("minutes", [3, 30], ids=["3 minutes", "30 minutes"])
async def test_a_long_call_neither_grows_nor_lags(tmp_path: Path, minutes: int) -> None:
    """The server and the caller are in this process; what either keeps is counted."""
    question, silence = phrase_of(spoken(QUESTION_S)), phrase_of(spoken(0.0) + bytes(48_000)).packets[-1]
    async with taking_calls(tmp_path, longest_s=60.0 * minutes + 600.0) as (_, client):
        await client.get("/livez")  # its connection stays
        before = sockets(), len(asyncio.all_tasks())
        talker = Talker(silence)

        async def offered(sdp: str) -> str:
            body = {"sdp": sdp, "type": "offer", "webrtc_id": "long"}
            answer: dict[str, Any] = (await client.post(OFFER, json=body)).json()
            return str(answer["sdp"])

        await talker.call(offered)
        await until(lambda: bool(talker.told("response.done")), PATIENCE_S, "no greeting")
        latencies, sizes, tasks = list[float](), list[float](), list[int]()
        parted = 0
        until_s = time.monotonic() + 60.0 * minutes
        while time.monotonic() < until_s:
            latency, turns = await _turn(talker, question)
            if turns == 1:
                latencies.append(latency)
            parted += turns > 1
            sizes.append(resident_mb())
            tasks.append(len(asyncio.all_tasks()))
        (began, first), (now, last) = talker.clocks
        drift_ms = ((last - first) % 2**32 / TICKS_A_SECOND - (now - began)) * 1_000
        third = len(latencies) // 3
        early, late = median(latencies[WARM : third + WARM]), median(latencies[-third:])
        print(
            f"{minutes} min: {len(latencies)} turns and {parted} in parts, first packet after {early:.0f} ms at first, "
            f"{late:.0f} ms at last, {sizes[WARM]:.0f} -> {sizes[-1]:.0f} MB, {tasks[WARM]} -> {tasks[-1]} tasks, "
            f"clock off by {drift_ms:.0f} ms"
        )
        assert len(latencies) > 4 * minutes
        assert parted <= PARTED * len(latencies)
        assert abs(late - early) < DRIFT_MS
        assert sizes[-1] - sizes[WARM] < ROOM_MB
        assert max(tasks[-third:]) <= max(tasks[WARM : third + WARM]) + 1
        assert abs(drift_ms) < DRIFT_MS
        await talker.hang_up()
        await until(lambda: sockets() <= before[0] and len(asyncio.all_tasks()) <= before[1], PATIENCE_S)


async def _turn(talker: Talker, question: Any) -> tuple[float, int]:
    """Asks and hears the answer out; milliseconds from the last packet of the one to the first of the other, and how many
    turns it was taken for: where the whole machine stands still for a moment, a question has a pause."""
    del talker.events[:], talker.loud[:]
    _, ended = await talker.mouth.say(question)
    await until(lambda: bool(talker.told("response.done")), PATIENCE_S, "no answer")
    await until(lambda: talker.silent_for() > SILENT_S, PATIENCE_S)
    done = [it for _, it in talker.told("response.done")]
    assert done[-1]["status"] == "completed", done
    heard = talker.first_loud_after(ended)
    assert heard is not None, "an answer without a sound"
    return (heard - ended) * 1_000, len(done)
