"""What stands in the room that the fixed parts of the prompt leave: background, history and recalled items (pure)."""

from collections.abc import Sequence

import msgspec

from cozy_domain.context import recall
from cozy_domain.context.budget import Demand, Purse, allot, keep_newest, keep_pinned, spend
from cozy_domain.context.bundle import Candidate
from cozy_domain.context.past import Past
from cozy_domain.messages import text_of
from cozy_domain.persona.persona import Budget, Persona


class Rest(msgspec.Struct, frozen=True):
    """What may stand there. ``present`` is the present exchange as a ``recall.flat`` text; the background is the profile
    snapshot and the summary."""

    candidates: tuple[Candidate, ...]
    history: Past
    present: str
    background_tokens: int


class Filling(msgspec.Struct, frozen=True):
    """``items`` in the prompt's order; ``cut`` counts the oldest exchanges, which are left out."""

    items: tuple[Candidate, ...]
    cut: int
    with_background: bool


def fill(persona: Persona, rest: Rest, room: int) -> Filling:
    """In this order: pinned items as far as the history's floor leaves room, the background when all of it fits then,
    history, other items. So nothing that an engine found can push out another's pinned item."""
    purses = purses_of(persona)
    floor = min(persona.budgets.history.floor, rest.history.tokens)
    pinned = keep_pinned(recall.distinct([it for it in rest.candidates if it.pinned]), room - floor, purses)
    room -= _spent(pinned)
    with_background = rest.background_tokens <= room - floor
    room -= rest.background_tokens if with_background else 0
    loose = _loose(rest.candidates, pinned)
    cut = keep_newest(rest.history.sizes, _history_share(persona.budgets.history, rest, loose, purses, room))
    shown = rest.history.without_oldest(cut)
    fresh = recall.unseen(loose, f"{_words(shown)} {rest.present}") if loose else ()
    others = spend(fresh, pinned, room - shown.tokens, purses)
    return Filling(recall.in_order((*pinned, *others)), cut, with_background)


def purses_of(persona: Persona) -> tuple[Purse, ...]:
    """Lore has its author's budget, else as much as knowledge has; at equal priority the sources stand in this order."""
    budgets, lore = persona.budgets, persona.knowledge.lore.budget
    book = budgets.knowledge if lore is None else Budget(ceiling=lore, priority=budgets.knowledge.priority)
    return (
        Purse("profile", budgets.profile),
        Purse("memory", budgets.memory),
        Purse("lore", book),
        Purse("knowledge", budgets.knowledge),
    )


def _loose(candidates: Sequence[Candidate], pinned: Sequence[Candidate]) -> tuple[Candidate, ...]:
    others = (item for item in candidates if not item.pinned)
    return tuple(item for item in recall.distinct((*pinned, *others)) if not item.pinned)


def _history_share(
    budget: Budget, rest: Rest, loose: Sequence[Candidate], purses: Sequence[Purse], room: int
) -> int:
    """What history may fill beside everything that recall could show."""
    if not rest.history.exchanges:
        return 0
    wants = [
        Demand(_spent([it for it in loose if it.source == purse.source]), purse.budget) for purse in purses
    ]
    return allot(room, (Demand(rest.history.tokens, budget), *wants))[0]


def _words(shown: Past) -> str:
    return recall.flat("\n".join(text_of(message.content) for message in shown.messages))


def _spent(items: Sequence[Candidate]) -> int:
    return sum(item.tokens for item in items)
