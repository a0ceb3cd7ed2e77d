"""Sound leaves in time, is taken back where that can be, and is counted once."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cozy_domain.audio import SPEAKING_RATE
from cozy_server.fastrtc.pacing import AHEAD, FRAME, Pacing

MS = 1_000_000


def sound(samples: int, first: int = 0) -> bytes:
    """Each sample tells its own position."""
    return struct.pack(f"<{samples}H", *((first + it) & 0xFFFF for it in range(samples)))


def sent(pacing: Pacing, now_ns: int) -> int:
    """Everything due, in samples."""
    count = 0
    while frame := pacing.take(now_ns):
        count += len(frame) // 2
    return count


def test_no_more_leaves_than_a_tenth_of_a_second_ahead() -> None:
    pacing = Pacing(take_back=False)
    pacing.add(sound(SPEAKING_RATE))
    assert sent(pacing, 0) == AHEAD
    assert sent(pacing, 10 * MS) == 0
    assert pacing.wait_ns(10 * MS) == 10 * MS
    assert sent(pacing, 20 * MS) == FRAME
    assert pacing.queued == SPEAKING_RATE - AHEAD - FRAME


def test_after_a_silence_it_begins_anew() -> None:
    pacing = Pacing(take_back=False)
    pacing.add(sound(FRAME))
    assert sent(pacing, 0) == FRAME
    pacing.add(sound(10 * FRAME))
    assert sent(pacing, 5_000 * MS) == AHEAD


def test_a_short_last_message_waits_for_nothing() -> None:
    pacing = Pacing(take_back=False)
    pacing.add(sound(3))
    assert pacing.take(0) == sound(3)
    assert pacing.wait_ns(0) is None


def test_a_pause_takes_back_what_has_not_sounded_and_goes_on_there() -> None:
    pacing = Pacing(take_back=True)
    pacing.add(sound(10 * FRAME))
    sent(pacing, 0)
    pacing.pause(30 * MS)
    assert pacing.heard(30 * MS) == pacing.heard(90 * MS) == FRAME * 3 // 2
    assert pacing.queued == 10 * FRAME - FRAME * 3 // 2
    assert pacing.take(95 * MS) == b""
    pacing.resume()
    assert pacing.take(100 * MS) == sound(FRAME, FRAME * 3 // 2)


def test_where_nothing_can_be_taken_back_what_was_sent_was_heard() -> None:
    pacing = Pacing(take_back=False)
    pacing.add(sound(10 * FRAME))
    sent(pacing, 0)
    pacing.pause(30 * MS)
    assert pacing.heard(30 * MS) == AHEAD
    pacing.pause(30 * MS)
    assert pacing.queued == 5 * FRAME
    assert pacing.clear(40 * MS) == AHEAD


def test_clearing_forgets_and_ends_a_pause() -> None:
    pacing = Pacing(take_back=True)
    pacing.add(sound(10 * FRAME))
    sent(pacing, 0)
    pacing.pause(20 * MS)
    assert pacing.clear(60 * MS) == FRAME
    assert not pacing.paused
    assert pacing.queued == 0
    assert pacing.take(60 * MS) == b""
    pacing.add(sound(FRAME))
    assert sent(pacing, 60 * MS) == FRAME


@given(st.integers(1, 20 * FRAME), st.integers(0, 400))
def test_clearing_counts_what_the_clock_says_and_no_more_than_there_was(samples: int, ms: int) -> None:
    pacing = Pacing(take_back=True)
    pacing.add(sound(samples))
    for at in range(ms + 1):
        sent(pacing, at * MS)
    assert pacing.clear(ms * MS) == min(samples, ms * SPEAKING_RATE // 1_000)


class PacingMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: every sample is heard at most once, in order, and none is lost but by clearing."""

    def __init__(self) -> None:
        super().__init__()
        self.pacing = Pacing(take_back=True)
        self.now = 0
        self.added = 0
        self.forgotten = 0
        self.before = 0

    @rule(samples=st.integers(1, 5_000))
    def add(self, samples: int) -> None:
        self.pacing.add(sound(samples))
        self.added += samples

    @rule(ms=st.integers(0, 300))
    def wait(self, ms: int) -> None:
        self.now += ms * MS

    @rule()
    def send(self) -> None:
        sent(self.pacing, self.now)
        assert self.pacing.sent - self.pacing.heard(self.now) <= AHEAD

    @rule()
    def pause(self) -> None:
        self.pacing.pause(self.now)

    @rule()
    def resume(self) -> None:
        self.pacing.resume()

    @rule()
    def clear(self) -> None:
        self.forgotten = self.added - self.pacing.clear(self.now)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert self.pacing.sent + self.pacing.queued == self.added - self.forgotten

    @invariant()
    def what_was_heard_never_falls(self) -> None:
        heard = self.pacing.heard(self.now)
        assert self.before <= heard <= self.added
        self.before = heard


TestPacing = PacingMachine.TestCase
