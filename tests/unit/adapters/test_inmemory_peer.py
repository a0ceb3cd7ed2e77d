"""A call without a network, without an event loop and in any weather."""

from itertools import chain, cycle, repeat

import pytest

from cozy_adapters.inmemory.peer import HandWoundTime, InMemoryCall
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE

SECOND = 1_000_000_000
MS = 1_000_000


class Notes:
    def __init__(self) -> None:
        self.all: list[str] = []
        self.sound = b""
        self.left = 0

    def connected(self) -> None:
        self.all.append("connected")

    def heard(self, samples: bytes) -> None:
        self.sound += samples

    def told(self, message: str) -> None:
        self.all.append(message)

    def played(self, samples: int) -> None:
        self.left = samples

    def lost(self, silent_ns: int) -> None:
        self.all.append("lost")

    def resumed(self) -> None:
        self.all.append("resumed")

    def ended(self, reason: str) -> None:
        self.all.append(reason)


def test_a_call_runs_by_hand_without_an_event_loop() -> None:
    time, notes = HandWoundTime(), Notes()
    call = InMemoryCall(time)
    call.peer.listen(notes)
    call.caller.say(b"\x01\x00" * HEARING_RATE)
    call.peer.play(b"\x02\x00" * SPEAKING_RATE)
    time.advance(500 * MS)
    assert notes.left == SPEAKING_RATE * 52 // 100
    assert notes.sound == bytes(640) + b"\x01\x00" * (HEARING_RATE // 2)
    assert call.caller.saying
    time.advance(SECOND)
    assert notes.left == SPEAKING_RATE
    assert [it.at_ns for it in call.caller.heard] == [20 * MS * it for it in range(55)]
    assert not call.caller.saying


@pytest.mark.parametrize(
    "delays",
    [
        repeat(0),
        cycle([0, 0, 0, 0, None]),
        cycle([0, 35 * MS, 5 * MS]),
        chain(repeat(0, 20), repeat(300 * MS, 5), repeat(0)),
    ],
    ids=["fair", "one in five lost", "out of order", "held up for a while"],
)
def test_in_any_weather_the_caller_is_heard_without_a_lag_at_the_end(delays: "repeat[int]") -> None:
    time, notes = HandWoundTime(), Notes()
    call = InMemoryCall(time, delays)
    call.peer.listen(notes)
    call.caller.say(b"\x01\x00" * HEARING_RATE)
    time.advance(2 * SECOND)
    assert len(notes.sound) / SAMPLE_BYTES / HEARING_RATE == pytest.approx(2.02, abs=0.081)


def test_what_came_before_somebody_listened_is_told_then() -> None:
    time, notes = HandWoundTime(), Notes()
    call = InMemoryCall(time)
    call.caller.tell("hello")
    time.advance(100 * MS)
    call.peer.listen(notes)
    assert notes.all == ["connected", "hello"]
    assert len(notes.sound) == 6 * 640


def test_a_muted_microphone_sends_nothing_and_its_silence_is_filled_up_to_a_second() -> None:
    time, notes = HandWoundTime(), Notes()
    call = InMemoryCall(time)
    call.peer.listen(notes)
    time.advance(100 * MS)
    call.caller.mute()
    before = len(notes.sound)
    time.advance(SECOND // 2)
    assert len(notes.sound) == before
    call.caller.unmute()
    time.advance(20 * MS)
    assert len(notes.sound) == before + 26 * 640
    call.caller.mute()
    time.advance(60 * SECOND)
    call.caller.unmute()
    time.advance(20 * MS)
    assert len(notes.sound) == before + 26 * 640 + 51 * 640


async def test_time_does_not_go_on_by_itself() -> None:
    time = HandWoundTime()
    call = InMemoryCall(time)
    call.caller.go_away()
    notes = Notes()
    call.peer.listen(notes)
    assert notes.all == ["connected"]
    time.advance(29 * SECOND)
    assert notes.all == ["connected", "lost"]
    call.caller.come_back()
    time.advance(60 * SECOND)
    await call.peer.close()
    assert notes.all == ["connected", "lost", "resumed", "closed"]
