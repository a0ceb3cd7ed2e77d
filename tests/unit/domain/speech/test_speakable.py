"""What a model writes, as it is read aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.speech.speakable import read_aloud


def aloud(written: str) -> str:
    return read_aloud(written).text


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**Hello** there, _dear_ `friend`!", "Hello there, dear friend!"),
        ("This is *really* good. So *is* that.", "This is really good. So is that."),
        ("# Plan\n- one\n* two\n1. three\n> four\n", "Plan one two 1. three four"),
        ("---\nAfter the rule", "After the rule"),
        ("~~no~~ yes, snake_case and 2 * 3 = 6", "no yes, snake_case and 2 * 3 = 6"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", "a, b 1, 2"),
        ("<b>bold</b> and 1 < 2", "bold and 1 < 2"),
        (r"5 \* 5 \# 1", "5 * 5 # 1"),
    ],
)
def test_markdown_is_not_read_aloud(written: str, said: str) -> None:
    assert aloud(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("See [the **docs**](https://x.y/z) now.", "See the docs now."),
        ("It is at https://a.b/c?d=1, I think.", "It is at, I think."),
        ("Look: <https://a.b/c>", "Look:"),
        ("www.example.org/x is it", "is it"),
        ("请看https://a.b/c。谢谢", "请看。谢谢"),
        ("![a cat](cat.png) A cat", "A cat"),
    ],
)
def test_addresses_are_not_read_aloud(written: str, said: str) -> None:
    assert aloud(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Fine 😀!", "Fine!"),
        ("👍🏽👨‍👩‍👧 ok 🇩🇪 ❤️", "ok"),
        ("Hi :) how are you ^_^", "Hi how are you"),
        ("20 ℃ on 5 ㎡ for 3 €", "20 ℃ on 5 ㎡ for 3 €"),
        ("好的👌。走吧→", "好的。走吧"),
    ],
)
def test_pictures_are_not_read_aloud(written: str, said: str) -> None:
    assert aloud(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("*laughs softly* Hi!", "Hi!"),
        ("Oh, *looking away* I see.", "Oh, I see."),
        ("*轻轻点头* 你好", "你好"),
        ("（微笑）你好（注意安全）", "你好（注意安全）"),
        ("(laughs) Well. (I think so.)", "Well. (I think so.)"),
        ("[sighs] Well.", "Well."),
        ("*She walks over and waits.* Hello", "Hello"),
        ("It *is* so.", "It is so."),
    ],
)
def test_stage_directions_are_not_read_aloud(written: str, said: str) -> None:
    assert aloud(written) == said


def test_code_is_not_read_aloud() -> None:
    assert aloud("Try this:\n```python\nprint('Hello')\n```\nThat is all.") == "Try this: That is all."


def test_code_goes_on_in_the_next_part_of_a_text() -> None:
    first = read_aloud("Try this: ```python\n")
    inside = read_aloud("print('Hello')\n", fenced=first.fenced)
    last = read_aloud("```\nThat is all.", fenced=inside.fenced)
    assert [it.text for it in (first, inside, last)] == ["Try this:", "", "That is all."]
    assert [it.fenced for it in (first, inside, last)] == [True, True, False]


def test_a_place_in_what_is_said_is_a_place_in_what_was_written() -> None:
    it = read_aloud("**Hi** 😀 there!")
    assert it.text == "Hi there!"
    assert [it.origin(at) for at in (-1, 0, 3, 9, 99)] == [2, 2, 9, 15, 15]
    assert read_aloud("😀").origin(0) == 1


WRITTEN = st.lists(
    st.sampled_from(
        [
            "Hi",
            " there",
            ".",
            " ",
            "\n",
            "*",
            "**",
            "`",
            "```",
            "[a](",
            "http://x.y",
            ")",
            "😀",
            "你好",
            "。",
            "|",
            "smiles",
        ]
    ),
    max_size=40,
).map("".join)


@given(WRITTEN)
def test_every_character_said_stands_where_it_says_or_is_what_stands_for_it(written: str) -> None:
    it = read_aloud(written)
    assert it.length == len(written)
    assert len(it.origins) == len(it.text)
    assert list(it.origins) == sorted(it.origins)
    for character, place in zip(it.text, it.origins, strict=True):
        assert written[place] == character or character in " ,"


@given(WRITTEN)
def test_only_words_and_what_stands_between_them_is_said(written: str) -> None:
    said = aloud(written)
    assert not said or any(map(str.isalnum, said))
    assert said == said.strip()
    assert "  " not in said


@given(st.text(alphabet=st.characters(categories=("Ll", "Lu")), max_size=30))
def test_plain_words_are_said_as_they_are(written: str) -> None:
    assert aloud(written) == written
