"""What a call plays."""

import array

from cozy_adapters.inmemory.peer import HandWoundTime, InMemoryCall
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.voice.loudspeaker import PIECE, Loudspeaker, quieter

SECOND = 1_000_000_000


class Listener:
    """Tells the loudspeaker what has left."""

    def __init__(self, loudspeaker: Loudspeaker) -> None:
        self.loudspeaker = loudspeaker

    def connected(self) -> None: ...
    def heard(self, samples: bytes) -> None: ...
    def told(self, message: str) -> None: ...
    def lost(self, silent_ns: int) -> None: ...
    def resumed(self) -> None: ...
    def ended(self, reason: str) -> None: ...

    def played(self, samples: int) -> None:
        self.loudspeaker.left(samples)


def tone(samples: int, value: int = 1_000) -> bytes:
    return array.array("h", [value] * samples).tobytes()


def playing(ahead: int = SPEAKING_RATE // 5) -> tuple[Loudspeaker, InMemoryCall, HandWoundTime]:
    time = HandWoundTime()
    call, loudspeaker = InMemoryCall(time), Loudspeaker(ahead)
    call.peer.listen(Listener(loudspeaker))
    loudspeaker.connect(call.peer)
    return loudspeaker, call, time


def heard(call: InMemoryCall) -> bytes:
    return b"".join(it.samples for it in call.caller.heard)


def test_segments_sound_in_the_order_of_the_session_and_no_faster_than_they_last() -> None:
    loudspeaker, call, time = playing()
    loudspeaker.made(2, tone(SPEAKING_RATE, 2_000))
    loudspeaker.made(1, tone(SPEAKING_RATE, 1_000))
    loudspeaker.enqueue(1, SPEAKING_RATE)
    loudspeaker.enqueue(2, SPEAKING_RATE)
    assert call.peer.queued <= SPEAKING_RATE // 5 + PIECE
    time.advance(SECOND)
    assert abs(loudspeaker.played - SPEAKING_RATE) <= PIECE
    time.advance(2 * SECOND)
    assert heard(call)[: 4 * SPEAKING_RATE] == tone(SPEAKING_RATE, 1_000) + tone(SPEAKING_RATE, 2_000)
    assert loudspeaker.played == loudspeaker.sent == 2 * SPEAKING_RATE
    assert loudspeaker.idle


def test_only_what_was_enqueued_sounds() -> None:
    loudspeaker, call, time = playing()
    loudspeaker.made(1, tone(SPEAKING_RATE))
    loudspeaker.enqueue(1, 480)
    loudspeaker.enqueue(9, 480)
    loudspeaker.drop(1)
    loudspeaker.enqueue(1, 480)
    time.advance(SECOND)
    assert loudspeaker.played == 480
    assert len(heard(call).rstrip(b"\0")) <= 480 * SAMPLE_BYTES


def test_a_pause_is_silent_and_loses_nothing() -> None:
    loudspeaker, call, time = playing()
    loudspeaker.made(1, tone(SPEAKING_RATE))
    loudspeaker.enqueue(1, SPEAKING_RATE)
    time.advance(SECOND // 2)
    loudspeaker.pause()
    paused = loudspeaker.played
    time.advance(SECOND)
    assert loudspeaker.played - paused <= PIECE
    loudspeaker.resume()
    time.advance(SECOND)
    assert loudspeaker.played == SPEAKING_RATE
    assert heard(call).count(tone(1)) >= SPEAKING_RATE


def test_what_is_cleared_never_sounds_and_the_next_does() -> None:
    loudspeaker, call, time = playing()
    loudspeaker.made(1, tone(SPEAKING_RATE, 1_000))
    loudspeaker.enqueue(1, SPEAKING_RATE)
    time.advance(SECOND // 2)
    played = loudspeaker.clear()
    assert 0 < played < SPEAKING_RATE
    loudspeaker.made(2, tone(480, 2_000))
    loudspeaker.enqueue(2, 480)
    time.advance(SECOND)
    assert loudspeaker.played == played + 480
    assert tone(480, 2_000) in heard(call)


def test_counts_go_on_over_all_lines() -> None:
    loudspeaker, call, time = playing()
    loudspeaker.made(1, tone(SPEAKING_RATE))
    loudspeaker.enqueue(1, SPEAKING_RATE)
    time.advance(SECOND // 2)
    before = loudspeaker.played
    call.caller.hang_up()
    other = InMemoryCall(time)
    other.peer.listen(Listener(loudspeaker))
    loudspeaker.connect(other.peer)
    loudspeaker.made(2, tone(480))
    loudspeaker.enqueue(2, 480)
    time.advance(SECOND)
    assert loudspeaker.played == before + 480


def test_without_a_line_nothing_is_lost_but_waits() -> None:
    loudspeaker = Loudspeaker(4_800)
    loudspeaker.made(1, tone(480))
    loudspeaker.enqueue(1, 480)
    assert not loudspeaker.idle
    assert loudspeaker.clear() == 0
    assert loudspeaker.idle


def test_a_faded_reply_goes_on_quietly() -> None:
    loudspeaker, call, time = playing(ahead=480)
    loudspeaker.made(1, tone(SPEAKING_RATE, 1_000))
    loudspeaker.fade(20)
    loudspeaker.enqueue(1, SPEAKING_RATE)
    time.advance(SECOND // 2)
    loudspeaker.resume()
    time.advance(SECOND)
    sound = memoryview(heard(call)).cast("h")
    assert sound[0] == 200
    assert 1_000 in sound
    assert quieter(tone(3, -1_000), 50) == tone(3, -500)
