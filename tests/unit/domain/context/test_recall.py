"""Recalled items as the model sees them."""

import html
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.context.bundle import Candidate
from cozy_domain.context.recall import (
    LONGEST_KNOWN,
    MOST_KNOWN,
    block,
    counted,
    distinct,
    flat,
    in_order,
    line,
    unseen,
)
from tests.unit.domain.context.givens import COUNTER, NOON, candidate, candidates


def ids(items: tuple[Candidate, ...]) -> str:
    return "".join(item.id for item in items)


@given(st.text(), st.text())
def test_an_item_reads_back_as_it_was(text: str, origin: str) -> None:
    shown = line(candidate("1", text, origin=origin))
    inside = shown.removeprefix('<item source="memory" origin="').removesuffix("</item>\n")
    head, _, body = inside.partition('">')
    assert (html.unescape(head), html.unescape(body)) == (origin, text)
    assert "<" not in inside
    assert ">" not in body


@pytest.mark.parametrize(
    ("at_us", "day"), [(1, "1970-01-01"), (253_402_300_799_999_999, "9999-12-31"), (10**40, "9999-12-31")]
)
def test_an_item_shows_its_day(at_us: int, day: str) -> None:
    assert f' at="{day}">' in line(candidate("1", "x", at_us=at_us))


@pytest.mark.parametrize("at_us", [0, -5])
def test_an_item_without_a_time_shows_no_day(at_us: int) -> None:
    assert " at=" not in line(candidate("1", "x", at_us=at_us))


def test_a_block_without_a_time_has_no_clock() -> None:
    assert "now:" not in block(())
    assert "now:" in block((), NOON)


def test_an_item_is_counted_with_its_frame() -> None:
    item = candidate("1", "likes tea")
    assert counted(item, COUNTER).tokens == COUNTER.count(line(item)) > COUNTER.count("likes tea")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Likes green tea", "likes GREEN   tea"),
        ("Likes green tea.", "likes green teas"),
        ("likes green tea with much lemon in it", "She likes green tea with much lemon in it."),
        ("我喜欢绿茶和柠檬", "我喜欢绿茶和柠檬！"),
        ("🙂 🙂", "🙂  🙂"),
    ],
)
def test_near_duplicates_are_shown_once_and_the_better_one_stays(one: str, other: str) -> None:
    assert ids(distinct((candidate("1", one, score=0.1), candidate("2", other, score=0.2)))) == "2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("likes green tea", "likes black tea"),
        ("Anna was born in Rome in May", "Anna was born in Oslo in June"),
        ("🙂", "🙃"),
        ("我喜欢绿茶", "我喜欢咖啡"),
    ],
)
def test_different_texts_are_both_shown(one: str, other: str) -> None:
    assert len(distinct((candidate("1", one), candidate("2", other)))) == 2


def test_long_texts_are_compared_too() -> None:
    long = " ".join(f"word{number}" for number in range(LONGEST_KNOWN))
    assert len(distinct((candidate("1", long), candidate("2", f"{long} more")))) == 1


def test_texts_are_told_apart_as_before_once_too_many_were_seen() -> None:
    pair = (
        candidate("1", "likes green tea"),
        candidate("2", "likes black tea"),
        candidate("3", "green tea, she likes"),
    )
    before = distinct(pair)
    for number in range(MOST_KNOWN + 1):
        distinct((candidate("1", f"likes tea number {number}"),))
    assert distinct(pair) == before


def test_a_pinned_item_goes_before_its_unpinned_double() -> None:
    assert (
        ids(distinct((candidate("1", "likes tea", score=1.0), candidate("2", "likes tea", pinned=True))))
        == "2"
    )


def test_pinned_doubles_of_two_sources_both_stay_and_of_one_source_one() -> None:
    twins = [candidate(id, "likes tea", pinned=True) for id in "12"]
    other = candidate("3", "likes tea", pinned=True, source="knowledge")
    assert ids(distinct((*twins, other))) == "31"


@given(candidates())
def test_distinct_items_are_distinct_already(items: tuple[Candidate, ...]) -> None:
    once = distinct(items)
    assert distinct(once) == once
    assert set(once) <= set(items)


def test_short_words_are_not_found_inside_others() -> None:
    assert ids(unseen((candidate("1", "art"),), flat("a party"))) == "1"


def test_empty_texts_are_never_shown_unless_pinned() -> None:
    assert ids(unseen((candidate("1", " \n"), candidate("2", "", pinned=True)), "")) == "2"


@given(candidates(), st.randoms())
def test_the_order_in_the_prompt_is_the_same_whatever_came_first(
    items: tuple[Candidate, ...], chance: Random
) -> None:
    shuffled = list(items)
    chance.shuffle(shuffled)
    assert in_order(shuffled) == in_order(items)
