"""A long text is cut into pieces that can be spoken one after the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.speech.segments import LONGEST, Piece, cut, pieces


def texts(text: str) -> list[str]:
    return [it.text for it in pieces(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello.", ["Hello."]),
        ("Hello. How are you?", ["Hello. ", "How are you?"]),
        ('He said "Go!" Then he left.', ['He said "Go!" ', "Then he left."]),
        ("Pi is 3.14. Good.", ["Pi is 3.14. ", "Good."]),
        ("Dr. Who met Mr. Bean. They spoke.", ["Dr. Who met Mr. Bean. ", "They spoke."]),
        ("J. R. Tolkien wrote. It sold.", ["J. R. Tolkien wrote. ", "It sold."]),
        ("Wait... what?", ["Wait... ", "what?"]),
        ("你好。今天怎么样？很好！", ["你好。", "今天怎么样？", "很好！"]),
        ("他说：“走吧。”然后走了。", ["他说：“走吧。”", "然后走了。"]),
        ("One\nTwo", ["One\n", "Two"]),
        ("no end", ["no end"]),
    ],
)
def test_a_piece_is_a_sentence(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_a_sentence_that_is_too_long_is_cut_at_its_last_comma() -> None:
    sentence = "a" * 200 + ", " + "b " * 100
    assert texts(sentence)[0] == "a" * 200 + ", "


def test_a_long_chinese_sentence_is_cut_at_its_comma_which_has_no_space_behind_it() -> None:
    assert texts("好" * 200 + "，" + "的" * 200)[0] == "好" * 200 + "，"


def test_without_a_comma_it_is_cut_at_a_space_and_without_a_space_anywhere() -> None:
    assert texts("word " * 100)[0] == "word " * 60
    assert texts("x" * 700) == ["x" * LONGEST, "x" * LONGEST, "x" * 100]


def test_what_is_still_being_written_is_not_cut_at_its_end() -> None:
    assert cut("It is 3.") == ((), Piece("It is 3.", 0))
    assert cut("Yes. No", start=10) == ((Piece("Yes. ", 10),), Piece("No", 15))
    assert cut("好。") == ((Piece("好。", 0),), Piece("", 2))


def test_blank_lines_belong_to_what_stands_before_or_behind_them() -> None:
    assert texts("\n\nHi.\n\n") == ["\n\nHi.\n\n"]


@given(st.text(alphabet="ab .!?\n,，。é“”x1", max_size=900))
def test_the_pieces_are_the_text_and_know_where_they_stand(text: str) -> None:
    found = pieces(text)
    assert "".join(it.text for it in found) == text
    assert all(text[it.start : it.start + len(it.text)] == it.text for it in found)
    assert all(0 < len(it.text) <= LONGEST for it in found)
