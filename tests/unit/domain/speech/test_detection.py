"""Probabilities of speech become the edges of utterances."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.speech.detection import (
    Detection,
    DetectionPolicy,
    Edge,
    SpeechEnded,
    SpeechStarted,
    finish,
    step,
)
from cozy_domain.speech.ports import WINDOW

POLICY = DetectionPolicy(start=3 * WINDOW, prefix=2 * WINDOW, silence=4 * WINDOW, longest=40 * WINDOW)
LOUD, BETWEEN, QUIET = 0.9, 0.4, 0.1


def edges_of(*probabilities: float, policy: DetectionPolicy = POLICY) -> tuple[Edge, ...]:
    state = Detection()
    found: list[Edge] = []
    for it in probabilities:
        state, edges = step(state, it, policy)
        found.extend(edges)
    return (*found, *finish(state))


def times(count: int, probability: float) -> list[float]:
    return [probability] * count


def test_silence_has_no_edges() -> None:
    assert edges_of(*times(50, QUIET)) == ()


def test_a_click_shorter_than_the_start_is_no_speech() -> None:
    assert edges_of(*times(10, QUIET), LOUD, LOUD, *times(10, QUIET)) == ()


def test_speech_begins_a_prefix_before_its_first_loud_window_and_ends_where_the_silence_began() -> None:
    found = edges_of(*times(10, QUIET), *times(5, LOUD), *times(8, QUIET))
    assert found == (SpeechStarted(8 * WINDOW), SpeechEnded(15 * WINDOW))


def test_speech_from_the_very_beginning_begins_at_the_first_sample() -> None:
    assert edges_of(*times(5, LOUD))[0] == SpeechStarted(0)


def test_a_pause_shorter_than_the_silence_does_not_end_it() -> None:
    found = edges_of(*times(5, LOUD), *times(3, QUIET), *times(5, LOUD), *times(4, QUIET))
    assert found == (SpeechStarted(0), SpeechEnded(13 * WINDOW))


def test_a_half_loud_window_keeps_speech_going_and_does_not_begin_it() -> None:
    assert edges_of(*times(20, BETWEEN)) == ()
    assert edges_of(*times(5, LOUD), *times(20, BETWEEN)) == (SpeechStarted(0), SpeechEnded(25 * WINDOW))


def test_speech_that_goes_on_at_the_end_of_the_sound_ends_there() -> None:
    assert edges_of(*times(6, LOUD)) == (SpeechStarted(0), SpeechEnded(6 * WINDOW))


def test_an_utterance_that_grows_too_long_is_cut_and_the_next_one_takes_nothing_of_it() -> None:
    found = edges_of(*times(50, LOUD))
    assert found == (
        SpeechStarted(0),
        SpeechEnded(40 * WINDOW),
        SpeechStarted(40 * WINDOW),
        SpeechEnded(50 * WINDOW),
    )


def test_the_prefix_does_not_reach_into_the_utterance_before() -> None:
    found = edges_of(*times(5, LOUD), *times(4, QUIET), *times(5, LOUD))
    assert found[2] == SpeechStarted(9 * WINDOW)


@given(st.lists(st.floats(0, 1), max_size=300))
def test_edges_alternate_and_never_go_back(probabilities: list[float]) -> None:
    found = edges_of(*probabilities)
    assert [type(it) for it in found] == [SpeechStarted, SpeechEnded] * (len(found) // 2)
    positions = [it.sample for it in found]
    assert positions == sorted(positions)
    assert not positions or positions[-1] <= len(probabilities) * WINDOW


@given(st.lists(st.sampled_from([LOUD, BETWEEN, QUIET]), max_size=300))
def test_no_utterance_is_longer_than_the_longest(probabilities: list[float]) -> None:
    found = edges_of(*probabilities)
    for started, ended in zip(found[::2], found[1::2], strict=True):
        assert ended.sample - started.sample <= POLICY.longest
