"""A call over a network that loses one packet of ten each way and takes 200 ms for the others."""

import random
from pathlib import Path

from cozy_adapters.inmemory.simulated import CHARACTER
from cozy_domain.audio import SPEAKING_RATE
from tests.fixtures.calls import loud_seconds, said, until
from tests.fixtures.fastrtc import Caller, taking_calls
from tests.fixtures.webrtc import Weather, until_connected

TURNS = 3
SHARE = 0.5
"""Of the answer, at least, that is heard: spaces are silent, and the caller's own buffer (aiortc's) stalls at each loss."""


def weak(seed: int) -> Weather:
    chance = random.Random(seed)
    return lambda: None if chance.random() < 0.1 else 0.2


def aloud(caller: Caller, since: int) -> float:
    """Seconds."""
    return loud_seconds(b"".join(it for _, it in caller.heard[since:]), SPEAKING_RATE)


async def test_a_call_over_a_weak_network_is_heard_and_answered_turn_by_turn(tmp_path: Path) -> None:
    async with taking_calls(tmp_path) as (_, client):
        caller = Caller(client)
        caller.network.up, caller.network.down = weak(1), weak(2)
        await caller.call()
        await until_connected(caller)
        await caller.until_told("session.active")
        await caller.until_told("response.done")  # the greeting
        for turn in range(1, TURNS + 1):
            heard = len(caller.heard)
            caller.say(said(1.5))
            committed = await caller.until_told("input_audio_buffer.committed", turn)
            assert committed["text"] == "Tell me something that takes a while."
            done = await caller.until_told("response.done", turn + 1)
            assert done["status"] == "completed"
            assert done["text"].startswith(f"This is answer {turn}. ")
            wanted_s = SHARE * len(done["text"]) * CHARACTER / SPEAKING_RATE
            await until(lambda since=heard, s=wanted_s: aloud(caller, since) > s, 30, "not heard")  # type: ignore[misc]
        assert len(caller.ours("input_audio_buffer.committed")) == TURNS
        assert not caller.ours("session.closed")
        await caller.hang_up()
