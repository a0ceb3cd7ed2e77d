"""Pieces of words with times, as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.ear.wire import HeardWord
from cozy_adapters.sherpa.words import LAST, words
from cozy_domain.audio import HEARING_RATE

S = HEARING_RATE


@pytest.mark.parametrize("mark", ["▁", " "])
def test_pieces_join_where_no_word_begins(mark: str) -> None:
    told = words([f"{mark}good", f"{mark}eve", "ning"], [0.0, 0.5, 0.75])
    assert told == (HeardWord("good", 0, S // 2), HeardWord("evening", S // 2, S // 2 + LAST))


def test_each_ideograph_is_a_word_and_letters_after_one_begin_another() -> None:
    told = words(["你", "好", "O", "K"], [0.0, 0.5, 1.0, 1.25])
    assert [it.text for it in told] == ["你", "好", "OK"]
    assert [it.end for it in told] == [S // 2, S, S + LAST]


def test_what_has_no_times_has_no_words() -> None:
    assert words(["▁hello"], []) == ()
    assert words([], []) == ()


@given(st.lists(st.sampled_from(["▁a", "b", " c", "你", "▁", ""]), max_size=20))
def test_no_letter_is_lost_and_words_follow_each_other(pieces: list[str]) -> None:
    told = words(pieces, [float(at) for at in range(len(pieces))])
    assert "".join(it.text for it in told) == "".join(it.strip("▁ ") for it in pieces)
    assert all(it.start <= it.end for it in told)
    assert [it.start for it in told] == sorted(it.start for it in told)
