"""Who gets how many tokens."""

from collections.abc import Sequence
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_domain.context.budget import (
    Demand,
    Purse,
    allot,
    choose,
    keep_newest,
    keep_pinned,
    prompt_budget,
    rank,
    spend,
)
from cozy_domain.context.bundle import Candidate
from cozy_domain.persona.persona import Budget
from tests.unit.domain.context.givens import sized

REPLY = Budget(floor=256, ceiling=4_096)
OPEN = Budget()
demands = st.lists(
    st.builds(
        Demand,
        want=st.integers(0, 50),
        budget=st.builds(
            Budget,
            floor=st.integers(0, 30),
            ceiling=st.none() | st.integers(0, 40),
            priority=st.integers(0, 3),
        ),
    ),
    max_size=5,
)


@st.composite
def items(draw: st.DrawFn, max_size: int = 9) -> tuple[Candidate, ...]:
    return tuple(
        sized(
            str(at),
            draw(st.integers(1, 20)),
            score=draw(st.integers(0, 100)) / 100,
            source=draw(st.sampled_from(("memory", "knowledge"))),
            pinned=draw(st.booleans()),
            at_us=draw(st.integers(0, 3)),
        )
        for at in range(draw(st.integers(0, max_size)))
    )


def tokens(chosen: Sequence[Candidate]) -> int:
    return sum(item.tokens for item in chosen)


def value(chosen: Sequence[Candidate]) -> float:
    return sum(item.score for item in chosen)


def best_value(candidates: Sequence[Candidate], capacity: int) -> float:
    """The exact optimum, by trying every subset."""
    subsets = (subset for size in range(len(candidates) + 1) for subset in combinations(candidates, size))
    return max(value(subset) for subset in subsets if tokens(subset) <= capacity)


def purses(memory: Budget = OPEN, knowledge: Budget = OPEN) -> tuple[Purse, ...]:
    return Purse("memory", memory), Purse("knowledge", knowledge)


# prompt_budget


def test_a_quarter_of_the_window_is_kept_for_the_reply() -> None:
    assert prompt_budget(1_300, Budget(floor=0, ceiling=None), None) == (1_300 - 325) * 100 // 130


def test_the_reply_keeps_its_floor_in_a_small_window() -> None:
    assert prompt_budget(560, REPLY, None) == (560 - 256) * 100 // 130


def test_the_reply_keeps_no_more_than_its_ceiling_in_a_large_window() -> None:
    assert prompt_budget(134_096, REPLY, None) == 100_000


def test_what_the_caller_asked_for_is_kept_for_the_reply() -> None:
    assert prompt_budget(11_000, REPLY, 600) == 8_000


def test_a_caller_who_asks_for_more_than_the_window_leaves_half_for_the_prompt() -> None:
    assert prompt_budget(2_600, REPLY, 1_000_000) == 1_000


# allot


def test_floors_come_before_ceilings_of_higher_priority() -> None:
    high = Demand(100, Budget(floor=10, ceiling=100, priority=9))
    low = Demand(100, Budget(floor=20, ceiling=100, priority=1))
    assert allot(50, [low, high]) == (20, 30)


def test_floors_are_filled_by_priority() -> None:
    high = Demand(100, Budget(floor=10, ceiling=100, priority=9))
    low = Demand(100, Budget(floor=20, ceiling=100, priority=1))
    assert allot(15, [low, high]) == (5, 10)


def test_what_one_does_not_want_goes_to_the_next() -> None:
    assert allot(
        50, [Demand(5, Budget(floor=20, ceiling=40, priority=9)), Demand(90, Budget(ceiling=60))]
    ) == (5, 45)


def test_who_has_no_ceiling_comes_after_those_who_have() -> None:
    history = Demand(1_000, Budget(floor=10, ceiling=None, priority=9))
    memory = Demand(30, Budget(ceiling=30, priority=1))
    assert allot(100, [history, memory]) == (70, 30)


def test_a_floor_above_its_ceiling_gives_the_ceiling() -> None:
    assert allot(100, [Demand(50, Budget(floor=40, ceiling=7))]) == (7,)


def test_less_than_nothing_is_split_into_nothing() -> None:
    assert allot(-5, [Demand(50, Budget(floor=40))]) == (0,)


@given(st.integers(0, 200), demands)
def test_shares_stay_within_the_total_the_wants_and_the_ceilings(total: int, wanted: list[Demand]) -> None:
    shares = allot(total, wanted)
    assert sum(shares) <= total
    for share, demand in zip(shares, wanted, strict=True):
        assert 0 <= share <= demand.want
        assert demand.budget.ceiling is None or share <= demand.budget.ceiling


@given(st.integers(0, 200), demands)
def test_nothing_is_left_while_somebody_wants_more(total: int, wanted: list[Demand]) -> None:
    most = [min(it.want, it.want if it.budget.ceiling is None else it.budget.ceiling) for it in wanted]
    assert sum(allot(total, wanted)) == min(total, sum(most))


@given(st.integers(0, 200), st.integers(0, 50), demands)
def test_more_to_share_makes_no_share_smaller(total: int, more: int, wanted: list[Demand]) -> None:
    before, after = allot(total, wanted), allot(total + more, wanted)
    assert all(one <= other for one, other in zip(before, after, strict=True))


# choose


@settings(max_examples=200, deadline=None)
@given(items(), st.integers(0, 80))
def test_the_choice_is_worth_at_least_half_of_the_optimum(
    candidates: tuple[Candidate, ...], capacity: int
) -> None:
    chosen = choose(candidates, capacity)
    assert tokens(chosen) <= capacity
    assert value(chosen) >= best_value(candidates, capacity) / 2 - 1e-9


def test_many_small_items_beat_one_large_one_with_the_best_score() -> None:
    large = sized("large", 10, score=1.0)
    small = [sized(f"small{at}", 1, score=0.9) for at in range(10)]
    assert set(choose([large, *small], 10)) == set(small)


def test_one_large_item_beats_the_denser_one_that_blocks_it() -> None:
    dense, large = sized("dense", 1, score=0.02), sized("large", 10, score=0.1)
    assert choose([dense, large], 10) == (large,)


def test_a_higher_priority_is_served_first_whatever_its_score() -> None:
    low, high = sized("low", 5, score=1.0, priority=1), sized("high", 5, score=0.1, priority=2)
    assert choose([low, high], 5) == (high,)


def test_what_does_not_fit_is_skipped_and_smaller_ones_behind_it_are_taken() -> None:
    first, wide, last = sized("a", 6, score=0.9), sized("b", 6, score=0.8), sized("c", 4, score=0.1)
    assert choose([last, wide, first], 10) == (first, last)


def test_of_equal_scores_the_newer_is_taken() -> None:
    old, new = sized("a", 5, at_us=1), sized("b", 5, at_us=2)
    assert choose([old, new], 5) == (new,)


def test_an_item_of_no_tokens_is_free() -> None:
    assert choose([sized("free", 0)], 0) == (sized("free", 0),)


@given(items(), st.integers(0, 80), st.randoms())
def test_the_choice_does_not_depend_on_the_order(
    candidates: tuple[Candidate, ...], capacity: int, chance: Random
) -> None:
    shuffled = list(candidates)
    chance.shuffle(shuffled)
    assert choose(shuffled, capacity) == choose(candidates, capacity)


@given(items())
def test_ranks_differ_between_different_items(candidates: tuple[Candidate, ...]) -> None:
    assert len({rank(item) for item in candidates}) == len(candidates)


def test_rank_goes_by_pinned_then_priority_then_score_then_newer() -> None:
    order = [
        sized("1", 1, pinned=True),
        sized("2", 1, priority=3),
        sized("3", 1, score=0.9, priority=1),
        sized("4", 1, score=0.8, priority=1, at_us=5),
        sized("5", 1, score=0.8, priority=1, at_us=4),
    ]
    assert sorted(order, key=rank) == order
    assert [rank(it) for it in order] == sorted({rank(it) for it in order})


# keep_pinned


def test_pinned_items_are_kept_smallest_first() -> None:
    large = sized("large", 9, score=1.0, pinned=True)
    small = [sized(str(at), 4, score=0.1, pinned=True) for at in range(2)]
    assert keep_pinned([large, *small], 10, purses()) == tuple(small)


def test_pinned_items_may_fill_the_room_to_the_last_token() -> None:
    pair = [sized(str(at), 5, pinned=True) for at in range(2)]
    assert keep_pinned(pair, 10, purses()) == tuple(pair)
    assert keep_pinned(pair, 9, purses()) == (pair[0],)


def test_pinned_items_stay_within_their_own_ceiling() -> None:
    mine = [sized(str(at), 4, pinned=True) for at in range(3)]
    other = sized("other", 5, pinned=True, source="knowledge")
    kept = keep_pinned([*mine, other], 100, purses(memory=Budget(ceiling=8)))
    assert kept == (mine[0], mine[1], other)


def test_a_source_without_a_purse_keeps_nothing() -> None:
    assert keep_pinned([sized("1", 1, pinned=True, source="lore")], 100, purses()) == ()


def test_what_is_not_pinned_is_not_kept_as_pinned() -> None:
    assert keep_pinned([sized("1", 1)], 100, purses()) == ()


@given(items(), st.integers(0, 60), st.integers(0, 30), st.integers(0, 40))
def test_more_room_keeps_every_pinned_item_that_was_kept(
    candidates: tuple[Candidate, ...], room: int, more: int, ceiling: int
) -> None:
    spending = purses(memory=Budget(ceiling=ceiling))
    assert set(keep_pinned(candidates, room, spending)) <= set(keep_pinned(candidates, room + more, spending))


@given(items(), st.integers(0, 60))
def test_one_source_less_keeps_every_pinned_item_of_the_other(
    candidates: tuple[Candidate, ...], room: int
) -> None:
    mine = [item for item in candidates if item.source == "memory"]
    kept = [item for item in keep_pinned(candidates, room, purses()) if item.source == "memory"]
    assert set(kept) <= set(keep_pinned(mine, room, purses()))


# spend


def test_each_source_gets_its_floor_before_the_other_gets_more() -> None:
    mine = [sized(f"m{at}", 5, score=1.0) for at in range(4)]
    others = [sized(f"k{at}", 5, score=0.1, source="knowledge") for at in range(2)]
    kept = spend(
        [*mine, *others], (), 15, purses(Budget(ceiling=20, priority=9), Budget(floor=5, ceiling=20))
    )
    assert kept == (mine[0], mine[1], others[0])


def test_what_a_source_leaves_over_goes_on_to_the_next() -> None:
    wide = sized("wide", 8, score=1.0)
    others = [sized(f"k{at}", 5, source="knowledge") for at in range(2)]
    kept = spend([wide, *others], (), 10, purses(Budget(floor=5, ceiling=5, priority=9), Budget(ceiling=20)))
    assert kept == tuple(others)


def test_pinned_items_count_against_the_ceiling_and_the_floor_of_their_source() -> None:
    pinned = sized("p", 6, pinned=True)
    loose = [sized("m1", 4), sized("m2", 5)]
    assert spend([pinned, *loose], [pinned], 100, purses(Budget(floor=7, ceiling=10))) == (loose[0],)


def test_a_floor_that_pinned_items_have_filled_is_filled() -> None:
    pinned, mine = sized("p", 5, pinned=True), sized("m", 5)
    other = sized("k", 5, source="knowledge")
    room = purses(Budget(floor=5, ceiling=20), Budget(ceiling=20, priority=9))
    assert spend([pinned, mine, other], [pinned], 5, room) == (other,)


def test_pinned_items_leave_an_open_purse_open() -> None:
    pinned = sized("p", 6, pinned=True)
    assert spend([pinned, sized("m", 4)], [pinned], 100, purses()) == (sized("m", 4),)


def test_nothing_is_spent_when_there_is_less_than_nothing() -> None:
    assert spend([sized("m", 4)], (), -3, purses()) == ()


@given(items(), st.integers(0, 80), st.integers(0, 40), st.integers(0, 40), st.integers(0, 1))
def test_spending_stays_within_the_capacity_and_every_ceiling(
    candidates: tuple[Candidate, ...], capacity: int, memory: int, knowledge: int, priority: int
) -> None:
    spending = purses(Budget(ceiling=memory, priority=priority), Budget(floor=10, ceiling=knowledge))
    pinned = keep_pinned(candidates, capacity, spending)
    kept = spend(candidates, pinned, capacity - tokens(pinned), spending)
    whole = (*pinned, *kept)
    assert tokens(whole) <= capacity
    assert tokens([item for item in whole if item.source == "memory"]) <= memory
    assert tokens([item for item in whole if item.source == "knowledge"]) <= knowledge
    assert not any(item.pinned for item in kept)


# keep_newest


@pytest.mark.parametrize(
    ("sizes", "share", "cut"),
    [
        ([], 10, 0),
        ([5, 5], 10, 0),
        ([5, 5], 9, 1),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 9, 6),
        ([1, 1, 8], 9, 2),
        ([1, 1, 11], 9, 3),
        ([4, 4, 4], 8, 2),
        ([3], 0, 1),
    ],
)
def test_history_is_cut_to_half_when_it_is_full_and_not_before(
    sizes: list[int], share: int, cut: int
) -> None:
    assert keep_newest(sizes, share) == cut


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(0, 100))
def test_after_a_cut_at_least_half_of_the_share_is_free_or_one_exchange_stands(
    sizes: list[int], share: int
) -> None:
    cut = keep_newest(sizes, share)
    kept = sizes[cut:]
    assert sum(kept) <= share
    if cut:
        assert len(kept) <= 1 or sum(kept) <= share // 2
        assert kept or sizes[-1] > share
