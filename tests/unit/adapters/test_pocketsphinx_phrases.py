"""Phrases as the dictionary has them."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.pocketsphinx.phrases import grammar, normal, spellings


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
