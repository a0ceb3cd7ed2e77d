"""Half of the last window of an onset tells speech when it sounds on."""

import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cozy_domain.audio import HEARING_RATE
from cozy_domain.speech.detection import Detection, DetectionPolicy, SpeechStarted, begin, step
from cozy_domain.speech.onset import CERTAIN, ENOUGH, FAINTER, lacks_one, sounds_on
from cozy_domain.speech.ports import WINDOW

POLICY = DetectionPolicy()
LOUD, QUIET = 0.9, 0.1


def sine(volume: float, samples: int) -> bytes:
    return pcm(round(volume * math.sin(it * 440 * math.tau / HEARING_RATE)) for it in range(samples))


def pcm(values) -> bytes:  # type: ignore[no-untyped-def]
    found = list(values)
    return struct.pack(f"<{len(found)}h", *found)


def after(*probabilities: float, policy: DetectionPolicy = POLICY) -> Detection:
    state = Detection()
    for it in probabilities:
        state, _ = step(state, it, policy)
    return state


def test_after_two_loud_windows_of_three_one_is_lacking() -> None:
    assert lacks_one(after(QUIET, LOUD, LOUD), POLICY)


@pytest.mark.parametrize(
    "before",
    [(), (QUIET,), (LOUD,), (LOUD, QUIET), (LOUD, QUIET, LOUD), (LOUD, LOUD, QUIET), (LOUD, LOUD, LOUD)],
)
def test_else_it_is_too_early_or_too_late(before: tuple[float, ...]) -> None:
    assert not lacks_one(after(*before), POLICY)


def test_a_window_of_which_the_detector_is_not_certain_waits_for_the_whole_last_one() -> None:
    assert not lacks_one(after(LOUD, CERTAIN - 0.01), POLICY)
    assert lacks_one(after(0.5, CERTAIN), POLICY)


def test_how_many_windows_are_needed_is_the_policy_s_business() -> None:
    assert lacks_one(after(LOUD), DetectionPolicy(start=2 * WINDOW))
    assert not lacks_one(after(LOUD, LOUD), DetectionPolicy(start=4 * WINDOW))


def test_what_begins_early_is_what_would_have_begun_with_the_whole_window() -> None:
    state = after(*[QUIET] * 12, LOUD, LOUD)
    early, edge = begin(state, 12 * WINDOW, POLICY)
    late, edges = step(state, LOUD, POLICY)
    assert edges == (edge,) == (SpeechStarted(12 * WINDOW - POLICY.prefix),)
    assert step(early, LOUD, POLICY) == (late, ())


def test_a_tone_that_goes_on_counts_with_half_a_window() -> None:
    assert sounds_on(sine(8_000, 2 * WINDOW), sine(8_000, ENOUGH))


def test_less_than_half_a_window_tells_nothing() -> None:
    assert not sounds_on(sine(8_000, 2 * WINDOW), sine(8_000, ENOUGH - 1))


def test_a_little_fainter_is_still_the_same_voice_and_much_fainter_is_not() -> None:
    volume = 8_000 / math.sqrt(FAINTER)
    assert sounds_on(sine(8_000, 2 * WINDOW), sine(volume * 1.1, ENOUGH))
    assert not sounds_on(sine(8_000, 2 * WINDOW), sine(volume * 0.9, ENOUGH))


def test_a_click_of_two_windows_does_not_go_on() -> None:
    click = [round(20_000 * math.exp(-it / 300)) * (1 - 2 * (it % 2)) for it in range(3 * WINDOW)]
    assert not sounds_on(pcm(click[: 2 * WINDOW]), pcm(click[2 * WINDOW :]))


def test_silence_is_no_sound_that_goes_on() -> None:
    assert not sounds_on(bytes(4 * WINDOW), bytes(2 * WINDOW))
    assert not sounds_on(b"", b"")


sounds = st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=8).map(lambda it: it * ENOUGH)


@given(sounds)
def test_every_sound_goes_on_as_itself(values: list[int]) -> None:
    assume(any(values))
    assert sounds_on(pcm(values), pcm(values))


@given(sounds, sounds, st.integers(0, 8))
def test_what_sounds_on_sounds_on_when_it_is_louder_too(
    before: list[int], begun: list[int], factor: int
) -> None:
    fainter = pcm(it // 10 for it in begun)
    louder = pcm((it // 10) * (1 + factor) for it in begun)
    assert not sounds_on(pcm(before), fainter) or sounds_on(pcm(before), louder)


@given(sounds, sounds)
def test_it_is_a_matter_of_loudness_alone(before: list[int], begun: list[int]) -> None:
    halved = [it // 2 * 2 for it in before], [it // 2 * 2 for it in begun]
    as_loud = sounds_on(pcm(halved[0]), pcm(halved[1]))
    assert as_loud == sounds_on(pcm(it // 2 for it in halved[0]), pcm(it // 2 for it in halved[1]))
    assert as_loud == sounds_on(pcm(reversed(halved[0])), pcm(reversed(halved[1])))


@given(st.lists(st.sampled_from([LOUD, 0.6, 0.4, QUIET]), max_size=100))
def test_one_is_lacking_before_every_certain_beginning_and_only_once_for_each_onset(
    probabilities: list[float],
) -> None:
    state = Detection()
    for it in probabilities:
        lacking, uncertain, onset = lacks_one(state, POLICY), state.last < CERTAIN, state.onset
        state, edges = step(state, it, POLICY)
        assert lacking or uncertain or not any(isinstance(edge, SpeechStarted) for edge in edges)
        assert not (lacking and lacks_one(state, POLICY) and state.onset == onset)
