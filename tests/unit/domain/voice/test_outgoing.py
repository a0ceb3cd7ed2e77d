"""Frames leave at the pace of real time, and what has not left can be held or forgotten."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.voice.outgoing import FRAME, FRAME_NS, LATE_NS, TAIL, Frame, Outgoing

START = 7_000_000_000


def sound(samples: int) -> bytes:
    return b"\x01\x02" * samples


def drain(line: Outgoing, until_ns: int) -> list[tuple[int, Frame]]:
    """Every frame until then with its time, taken exactly when due."""
    frames = []
    while line.due_ns is not None and line.due_ns <= until_ns:
        due = line.due_ns
        frame = line.take(due)
        assert frame is not None
        frames.append((due, frame))
    return frames


def started(samples: int) -> tuple[Outgoing, Frame]:
    """A line that plays so much, and its first frame, which left at `START`."""
    line = Outgoing()
    line.play(sound(samples))
    frame = line.take(START)
    assert frame is not None
    return line, frame


def test_nothing_is_due_before_anything_is_played() -> None:
    line = Outgoing()
    assert line.due_ns is None
    assert line.take(START) is None


def test_the_first_frame_leaves_at_once_and_the_others_every_20_ms() -> None:
    line, first = started(3 * FRAME)
    assert first == Frame(sound(FRAME), 0, FRAME)
    assert line.take(START + FRAME_NS - 1) is None
    frames = drain(line, START + 10**10)
    assert [at - START for at, _ in frames] == [FRAME_NS * it for it in range(1, 3 + TAIL)]
    assert [it.position for _, it in frames] == [FRAME * it for it in range(1, 3 + TAIL)]
    assert [it.spoken for _, it in frames] == [FRAME] * 2 + [0] * TAIL
    assert line.due_ns is None


def test_the_rest_of_a_sound_is_filled_with_silence_that_does_not_count() -> None:
    line, _ = started(FRAME + 100)
    last = line.take(START + FRAME_NS)
    assert last == Frame(sound(100) + bytes(2 * (FRAME - 100)), FRAME, 100)
    assert (line.left, line.queued) == (FRAME + 100, 0)


def test_after_silence_the_clock_has_gone_on() -> None:
    line, _ = started(FRAME)
    drain(line, START + 10**10)
    line.play(sound(FRAME))
    later = line.take(START + 2_000_000_000)
    assert later == Frame(sound(FRAME), 2 * 24_000, FRAME)
    assert line.due_ns == START + 2_000_000_000 + FRAME_NS


def test_a_silence_shorter_than_a_delay_of_ours_is_silence_all_the_same() -> None:
    line, _ = started(FRAME)
    drain(line, START + 10**10)
    again = START + (1 + TAIL) * FRAME_NS + LATE_NS // 2
    line.play(sound(2 * FRAME))
    first = line.take(again)
    assert first is not None
    assert first.position * FRAME_NS == (again - START) * FRAME
    assert line.take(again) is None
    assert line.due_ns == again + FRAME_NS


def test_more_that_comes_during_the_tail_goes_on_without_a_break() -> None:
    line, _ = started(FRAME)
    drain(line, START + 2 * FRAME_NS)
    line.play(sound(FRAME))
    assert line.take(START + 3 * FRAME_NS) == Frame(sound(FRAME), 3 * FRAME, FRAME)


def test_a_pause_is_silent_at_once_and_keeps_what_is_queued() -> None:
    line, _ = started(10 * FRAME)
    line.pause()
    line.pause()
    silent = drain(line, START + 10**10)
    assert [it.spoken for _, it in silent] == [0] * TAIL
    assert (line.left, line.queued) == (FRAME, 9 * FRAME)
    assert line.due_ns is None
    line.resume()
    again = line.take(START + 10**10)
    assert again is not None
    assert again.spoken == FRAME
    assert again.position == 10 * 24_000


def test_clearing_is_silent_at_once_and_ends_a_pause() -> None:
    line, _ = started(10 * FRAME)
    line.pause()
    assert line.clear() == FRAME
    assert (line.queued, line.paused) == (0, False)
    assert [it.spoken for _, it in drain(line, START + 10**10)] == [0] * TAIL
    assert line.left == FRAME


def test_a_short_delay_of_ours_is_made_up_for_and_a_long_one_is_not() -> None:
    line, _ = started(100 * FRAME)
    at = START + FRAME_NS + LATE_NS
    burst = list(iter(lambda: line.take(at), None))
    assert len(burst) == 1 + LATE_NS // FRAME_NS
    at += 10 * LATE_NS
    burst = list(iter(lambda: line.take(at), None))
    assert len(burst) == 1
    assert burst[0].position == (at - START) * 24_000 // 10**9


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("play"), st.integers(1, 5_000)),
            st.tuples(st.sampled_from(["pause", "resume", "clear"]), st.just(0)),
            st.tuples(st.just("wait"), st.integers(1, 500)),
        ),
        max_size=40,
    )
)
def test_whatever_is_done_frames_never_outrun_time_and_every_sample_is_accounted_for(
    acts: list[tuple[str, int]],
) -> None:
    line, now, given_, forgotten = Outgoing(), START, 0, 0
    frames: list[tuple[int, Frame]] = []
    for act, amount in acts:
        if act == "play":
            line.play(sound(amount))
            given_ += amount
        elif act == "wait":
            now += amount * 1_000_000
            while (frame := line.take(now)) is not None:
                frames.append((now, frame))
        elif act == "clear":
            forgotten += line.queued
            line.clear()
        else:
            getattr(line, act)()
        assert line.left + line.queued + forgotten == given_
        assert line.left == sum(it.spoken for _, it in frames)
    positions = [it.position for _, it in frames]
    assert all(later - earlier >= FRAME for earlier, later in pairwise(positions))
    for at, frame in frames:
        assert frame.position * FRAME_NS <= (at - frames[0][0]) * FRAME
