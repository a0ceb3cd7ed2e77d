"""What somebody meant who wrote a name that does not exist (pure)."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import pairwise

LIKENESS = 0.72
"""How alike two names must be, from 0 to 1. `difflib` takes 0.6 for close, which finds `persona` for `version`."""
_ONE_SLIP = 0.9
MOST = 256
"""Characters that are looked at: the time grows with their square."""


def nearest(word: str, known: Iterable[str], likeness: float = LIKENESS) -> str | None:
    """The name among ``known`` that is most like ``word``, whatever its case and its dashes; None where none is. A wrong
    letter, and two that changed places, are one slip."""
    wanted = _plain(word)
    scored = ((_alike(wanted, _plain(name)), name) for name in known)
    best, name = max(scored, key=lambda it: it[0], default=(0.0, ""))
    return name if best >= likeness else None


def _plain(name: str) -> str:
    return name[:MOST].casefold().replace("_", "").replace("-", "")


def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    ratio = SequenceMatcher(None, one, other, autojunk=False).ratio()
    return max(ratio, _ONE_SLIP if _one_letter(one, other) or other in _swapped(one) else 0.0)


def _one_letter(one: str, other: str) -> bool:
    """Whether one letter is another one, in a word of three or more."""
    return len(one) == len(other) > 2 and sum(a != b for a, b in zip(one, other, strict=True)) == 1


def _swapped(word: str) -> set[str]:
    """The word with two neighbours in each other's place, wherever that is."""
    return {word[:at] + b + a + word[at + 2 :] for at, (a, b) in enumerate(pairwise(word))}
