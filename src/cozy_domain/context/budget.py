"""Who gets how many tokens. Pure: the same inputs give the same answer, in any order of the candidates.

Three rules carry the promises. Pinned items are served before anything that another engine could have filled, smallest
first, so that neither more budget nor one engine less can push one out. Shares are poured in a fixed order of cups (floors
by priority, then ceilings by priority), so that more budget never makes a share smaller. And a choice among items is the
best of three simple ones, because only together they reach half of the optimum.
"""

from collections.abc import Iterable, Sequence

import msgspec

from cozy_domain.context.bundle import Candidate, Source
from cozy_domain.persona.persona import Budget

SAFETY_PERCENT = 130
"""Token counts are estimates: the prompt may turn out this much longer than counted and still fit."""


class Purse(msgspec.Struct, frozen=True):
    """What one source of recalled items may spend."""

    source: Source
    budget: Budget


class Demand(msgspec.Struct, frozen=True):
    """``want`` is how many tokens a section could use at most."""

    want: int
    budget: Budget


def prompt_budget(window: int, reply: Budget, asked: int | None) -> int:
    """Tokens for the prompt in a context window of ``window``; may be negative when the window is tiny.

    Kept free for the answer is what the caller asked for, but no more than half of the window (the provider knows its own
    limit better than an assumed window does); else a quarter of the window within the persona's floor and ceiling.
    """
    if asked is not None:
        reserve = min(asked, window // 2)
    else:
        ceiling = window if reply.ceiling is None else reply.ceiling
        reserve = max(reply.floor, min(ceiling, window // 4))
    return (window - reserve) * 100 // SAFETY_PERCENT


def allot(total: int, demands: Sequence[Demand]) -> tuple[int, ...]:
    """Splits ``total`` tokens: to each demand its floor, by priority, then more up to its ceiling, by priority.

    A demand without a ceiling ("as much as there is") comes last, or recall would starve as a history grows. None gets
    more than it wants; equal priorities go in the order given.
    """
    by_priority = sorted(range(len(demands)), key=lambda at: -demands[at].budget.priority)
    bounded_first = sorted(by_priority, key=lambda at: demands[at].budget.ceiling is None)
    granted = [0] * len(demands)
    left = max(0, total)
    for order, limit in ((by_priority, _floor), (bounded_first, _most)):
        for at in order:
            more = min(left, max(0, limit(demands[at]) - granted[at]))
            granted[at] += more
            left -= more
    return tuple(granted)


def keep_pinned(
    candidates: Sequence[Candidate], capacity: int, purses: Sequence[Purse]
) -> tuple[Candidate, ...]:
    """The pinned candidates that fit into ``capacity`` and their own source's ceiling, smallest first."""
    kept: list[Candidate] = []
    pinned = (item for item in candidates if item.pinned)
    for item in sorted(pinned, key=lambda item: (item.tokens, rank(item))):
        ceiling = next((purse.budget.ceiling for purse in purses if purse.source == item.source), 0)
        spent = _spent(other for other in kept if other.source == item.source)
        if _spent(kept) + item.tokens <= capacity and (ceiling is None or spent + item.tokens <= ceiling):
            kept.append(item)
    return tuple(kept)


def spend(
    candidates: Sequence[Candidate], pinned: Sequence[Candidate], capacity: int, purses: Sequence[Purse]
) -> tuple[Candidate, ...]:
    """The unpinned candidates that stand beside the ``pinned`` ones: each source within its share of ``capacity``, and
    what one leaves over goes on to the next, by priority, up to that one's ceiling."""
    if not candidates:
        return ()
    by_priority = sorted(purses, key=lambda purse: -purse.budget.priority)
    loose = [
        [item for item in candidates if item.source == purse.source and not item.pinned]
        for purse in by_priority
    ]
    rooms = [_room(purse, pinned) for purse in by_priority]
    shares = allot(
        capacity,
        [Demand(_spent(items), room) for items, room in zip(loose, rooms, strict=True)],
    )
    kept: list[Candidate] = []
    spare = max(0, capacity) - sum(shares)
    for items, room, share in zip(loose, rooms, shares, strict=True):
        limit = share + spare
        chosen = choose(items, limit if room.ceiling is None else min(limit, room.ceiling))
        spare = limit - _spent(chosen)
        kept.extend(chosen)
    return tuple(kept)


def choose(candidates: Sequence[Candidate], capacity: int) -> tuple[Candidate, ...]:
    """Candidates of at most ``capacity`` tokens together, higher priorities first.

    Within one priority their scores add up to at least half of the best possible sum: best of greedy by score (what reads
    best), greedy by score per token (what holds the bound) and the best single item.
    """
    kept: list[Candidate] = []
    for priority in sorted({item.priority for item in candidates}, reverse=True):
        left = capacity - _spent(kept)
        group = sorted(
            (item for item in candidates if item.priority == priority and item.tokens <= left), key=rank
        )
        dense = sorted(group, key=lambda item: -item.score / max(1, item.tokens))
        choices = (_greedy(group, left), _greedy(dense, left), tuple(group[:1]))
        kept.extend(max(choices, key=lambda chosen: sum(item.score for item in chosen)))
    return tuple(kept)


def keep_newest(sizes: Sequence[int], share: int) -> int:
    """How many of the oldest exchanges to cut off, so that the rest fits into ``share`` tokens.

    Nothing while all of them fit (the high-water mark); else down to half (the low-water mark), so that the beginning of
    the prompt stays the same for many turns to come. The newest one stays whenever it fits at all.
    """
    if sum(sizes) <= share:
        return 0
    cut, used = len(sizes), 0
    while used + sizes[cut - 1] <= (share // 2 if used else share):
        cut -= 1
        used += sizes[cut]
    return cut


def rank(item: Candidate) -> tuple[bool, int, float, int, str, str, str]:
    """A total order, best first: pinned, priority, score, newer, then by name."""
    return (not item.pinned, -item.priority, -item.score, -item.at_us, item.source, item.id, item.text)


def _floor(demand: Demand) -> int:
    return min(demand.want, demand.budget.floor, _most(demand))


def _most(demand: Demand) -> int:
    return demand.want if demand.budget.ceiling is None else min(demand.want, demand.budget.ceiling)


def _room(purse: Purse, pinned: Sequence[Candidate]) -> Budget:
    """What is left of a purse after its pinned items."""
    spent = _spent(item for item in pinned if item.source == purse.source)
    ceiling = purse.budget.ceiling
    return msgspec.structs.replace(
        purse.budget,
        floor=max(0, purse.budget.floor - spent),
        ceiling=None if ceiling is None else max(0, ceiling - spent),
    )


def _greedy(ordered: Sequence[Candidate], capacity: int) -> tuple[Candidate, ...]:
    kept: list[Candidate] = []
    left = capacity
    for item in ordered:
        if item.tokens <= left:
            kept.append(item)
            left -= item.tokens
    return tuple(kept)


def _spent(items: Iterable[Candidate]) -> int:
    return sum(item.tokens for item in items)
