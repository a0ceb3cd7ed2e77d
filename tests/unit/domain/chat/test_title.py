"""A session's first title."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.chat.title import LONGEST, title_of

words = st.text(st.sampled_from("ab 你\n\t\u3000"), max_size=200)


@given(words)
def test_a_title_is_one_short_line_without_blanks_around_it(text: str) -> None:
    title = title_of(text)
    assert (title is None) == (not text.strip())
    if title is not None:
        assert 0 < len(title) <= LONGEST
        assert title == " ".join(title.split())


@given(words)
def test_the_title_of_a_title_is_itself(text: str) -> None:
    title = title_of(text)
    assert title is None or title_of(title) == title


@given(words)
def test_a_title_is_how_the_text_begins(text: str) -> None:
    line = " ".join(text.split())
    title = title_of(text) or ""
    assert title == line or line.startswith(title.removesuffix("…"))


def test_sixty_characters_stay_whole_and_one_more_cuts() -> None:
    assert title_of("a" * 60) == "a" * 60
    assert title_of("a" * 61) == "a" * 59 + "…"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("x" * 50 + " " + "y" * 20, "x" * 50 + "…"),
        ("x" * 50 + " " + "y" * 8 + " zz", "x" * 50 + " " + "y" * 8 + "…"),
        ("x" * 50 + " " + "y" * 9 + " zz", "x" * 50 + "…"),
        ("你" * 70, "你" * 59 + "…"),
    ],
)
def test_a_long_text_is_cut_between_words_where_it_has_them(text: str, title: str) -> None:
    assert title_of(text) == title
