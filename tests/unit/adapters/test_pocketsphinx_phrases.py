"""Phrases as the dictionary has them, and where long recordings are cut."""

import random

from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.ear.stretches import LONGEST, stretches
from cozy_adapters.pocketsphinx.phrases import grammar, normal, spellings
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm


def test_punctuation_and_capitals_are_not_heard() -> None:
    assert normal("  Don’t stop, 'Anna' -- at seven o'clock!\n") == "don't stop anna at seven o'clock"
    assert normal("_…!'") == ""


@given(st.text())
def test_a_normal_form_is_its_own_and_breaks_no_grammar(text: str) -> None:
    form = normal(text)
    assert normal(form) == form
    assert not set(form) & set('|;=<>()[]{}*+/\\"#\n')


def test_the_first_spelling_of_a_phrase_is_the_one_given_back() -> None:
    assert spellings(("Stop!", "stop", "...", "Go on.")) == {"stop": "Stop!", "go on": "Go on."}


def test_a_grammar_is_one_of_its_phrases() -> None:
    assert grammar(("stop", "go on")).endswith("public <phrase> = stop | go on;\n")


def test_a_recording_that_is_not_too_long_is_heard_at_once() -> None:
    assert list(stretches(Pcm(bytes(LONGEST * SAMPLE_BYTES)))) == [(0, LONGEST)]
    assert list(stretches(Pcm(b""))) == []


def test_a_longer_one_is_cut_where_it_is_quiet_and_nothing_is_lost() -> None:
    chance = random.Random(1)
    second = HEARING_RATE * SAMPLE_BYTES
    sound = bytearray(chance.randbytes(70 * second))
    for quiet in (22, 40):
        sound[quiet * second : quiet * second + second // 2] = bytes(second // 2)
    cut = list(stretches(Pcm(bytes(sound))))
    assert [start for start, _ in cut[1:]] == [end for _, end in cut[:-1]]
    assert cut[-1][1] == 70 * HEARING_RATE
    assert all(end - start <= LONGEST for start, end in cut)
    for at, quiet in enumerate((22, 40)):
        assert quiet <= cut[at][1] / HEARING_RATE <= quiet + 0.5
