from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_domain.persona.card.examples import as_text, examples_of
from cozy_domain.persona.persona import Example

NAMES = ("Mira", "")


def test_exchanges_are_found_in_every_block() -> None:
    text = "<START>\n{{user}}: hi\n{{char}}: hello\n\nyou\n<start>\n{{USER}}: a\nmira: b\n  {{user}}: c\n{{char}}: d"
    assert examples_of(text, NAMES) == (Example("hi", "hello\n\nyou"), Example("a", "b"), Example("c", "d"))


def test_what_one_says_in_two_lines_is_one_thing() -> None:
    text = "{{user}}: a\n{{user}}: b\n{{char}}: c\n{{char}}: d"
    assert examples_of(text, NAMES) == (Example("a\nb", "c\nd"),)


def test_nothing_is_no_exchange() -> None:
    assert examples_of("\n<START>\n\n", NAMES) == ()


def test_what_is_not_all_exchanges_is_none() -> None:
    for text in (
        "She speaks slowly.",
        "{{char}}: hello",
        "{{user}}: hi",
        "{{char}}: a\n{{user}}: b",
        "{{user}}:\n{{char}}: b",
        "{{user}}: a\n{{char}}: b\n<START>\nA note.\n{{user}}: c\n{{char}}: d",
    ):
        assert examples_of(text, NAMES) is None, text


WORDS = st.text(st.sampled_from("abc 。:{}"), min_size=1, max_size=12).map(str.strip).filter(bool)
SAID = st.lists(st.builds(Example, WORDS, WORDS), max_size=4).map(tuple)


@settings(max_examples=100)
@given(SAID)
def test_exchanges_survive_as_text(examples: tuple[Example, ...]) -> None:
    assert examples_of(as_text(examples), ()) == examples
