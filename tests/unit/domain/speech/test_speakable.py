"""What a model writes, as it is read aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.speech.speakable import Passage, Reading, passage, read, read_out


def passages(*written: str) -> tuple[Passage, ...]:
    state, found = Reading(), ()
    for it in written:
        state, more = read(state, it)
        found += more
    _, more = read_out(state)
    return (*found, *more)


def aloud(*written: str) -> str:
    return " ".join(it.text for it in passages(*written) if it.text)


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
        ("请看https://a.b/c。谢谢", "请看。 谢谢"),
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
        ("好的👌。走吧→", "好的。 走吧"),
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


def test_code_is_not_read_aloud_however_it_arrives() -> None:
    text = "Try this:\n```python\nprint('Hello. World.')\n```\nThat is all."
    assert aloud(text) == aloud(*text) == "Try this: That is all."


def test_the_first_clause_is_said_while_its_sentence_is_written() -> None:
    state, found = read(Reading(), "Well, the answer to that question, as far")
    assert [it.text for it in found] == ["Well, the answer to that question,"]
    state, found = read(state, " as I know, is not known. And")
    assert [it.text for it in found] == ["as far as I know, is not known."]


def test_a_chinese_first_clause_may_have_half_as_many_characters() -> None:
    _, found = read(Reading(), "今天天气很好，我")
    assert [it.text for it in found] == ["今天天气很好，"]


def test_a_clause_that_is_too_short_waits_for_more() -> None:
    assert read(Reading(), "Well, hm, so")[1] == ()


def test_a_first_clause_does_not_end_inside_brackets_or_marks() -> None:
    assert read(Reading(), "The list (of all of them, that is, the")[1] == ()
    assert read(Reading(), "*smiles at all of you, then turns")[1] == ()


def test_what_was_not_worth_saying_first_does_not_use_up_the_first_clause() -> None:
    _, found = read(Reading(), "😀\nWell, the answer to that question, as far")
    assert [it.text for it in found] == ["", "Well, the answer to that question,"]


def test_a_place_in_what_is_said_is_a_place_in_what_was_written() -> None:
    it = passage("**Hi** 😀 there", start=10)
    assert it.text == "Hi there"
    assert (it.up_to(0), it.up_to(3), it.up_to(8), it.up_to(99)) == (12, 19, 24, 24)
    assert passage("😀").up_to(0) == 1


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
            "，",
            ", ",
            "(",
            "|",
        ]
    ),
    max_size=40,
)


@given(WRITTEN)
def test_passages_follow_each_other_without_a_gap(written: list[str]) -> None:
    found = passages(*written)
    whole = "".join(written)
    assert [it.start for it in found] == [0, *(it.end for it in found)][: len(found)]
    assert (found[-1].end if found else 0) == len(whole)


@given(WRITTEN)
def test_every_character_said_stands_where_it_says_or_is_what_stands_for_it(written: list[str]) -> None:
    whole = "".join(written)
    for it in passages(*written):
        assert len(it.origins) == len(it.text)
        assert list(it.origins) == sorted(it.origins)
        assert all(it.start <= place < it.end for place in it.origins)
        for character, place in zip(it.text, it.origins, strict=True):
            assert whole[place] == character or character in " ,"


@given(WRITTEN)
def test_only_passages_with_words_are_said(written: list[str]) -> None:
    for it in passages(*written):
        assert not it.text or any(map(str.isalnum, it.text))
        assert it.text == it.text.strip()
