"""The terms of a text: what lexical search indexes and asks for, the same for every store. And `whole`, without halves.

Terms are lower case without accents, with English inflection taken off lightly, and runs of Chinese, Japanese and Korean
cut into overlapping pairs of characters: those scripts have no spaces, so a whole sentence would be one term.
"""

import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from typing import Protocol, TypeVar

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana, Han with its extensions and compatibility forms, Hangul: the inside of a regular expression's class."""

_RUN = re.compile(rf"(?P<cjk>[{CJK}]+)|[^\W_{CJK}]+(?:['’][^\W\d_{CJK}]+)*")
_VOWEL = re.compile("[aeiouy]")
_POSSESSIVE = re.compile("['’]s?$")
_SHORTEST_STEM = 3
_LONGEST_REMEMBERED = 40

D = TypeVar("D", bound=Hashable)
D_contra = TypeVar("D_contra", contravariant=True)

K1 = 1.2
B = 0.75
"""BM25's usual constants (Robertson and Zaragoza 2009, section 3.4)."""
_FLOOR = K1 * (1 - B)


class SupportsLength(Protocol[D_contra]):
    """A list or a mapping of lengths."""

    def __getitem__(self, document: D_contra, /) -> int: ...


def whole(text: str) -> str:
    """Joins halves of surrogate pairs that lie side by side; a half without the other becomes U+FFFD: UTF-8 cannot
    hold one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def terms(text: str) -> tuple[str, ...]:
    """In order of appearance, with repetitions."""
    found: list[str] = []
    for run in _RUN.finditer(_folded(text)):
        if run["cjk"]:
            found.extend(_pairs(run["cjk"]))
        else:
            found.append(stem(run[0]))
    return tuple(found)


def stem(word: str) -> str:
    """As `stemmed`; words of a usual length are remembered, so that no text fills the memory with long ones."""
    return _remembered(word) if len(word) <= _LONGEST_REMEMBERED else stemmed(word)


@lru_cache(8_192)
def _remembered(word: str) -> str:
    return stemmed(word)


def stemmed(word: str) -> str:
    """A lower-case word without its English plural, ``-ed``, ``-ing`` and final ``e``; others are left alone.

    Plurals follow Harman's S stemmer (1991). Taking the final ``e`` off makes "make" and "making" meet.
    """
    word = _POSSESSIVE.sub("", word)
    if not word.isascii() or not word.isalpha() or len(word) <= _SHORTEST_STEM:
        return word
    word = _singular(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _SHORTEST_STEM and _VOWEL.search(rest):
            return _undoubled(rest).removesuffix("e")
    return word.removesuffix("e") if len(word) > _SHORTEST_STEM else word


def bm25_of(
    postings: Mapping[str, Mapping[D, int]], lengths: SupportsLength[D], documents: int, length: int
) -> dict[D, float]:
    """How near documents are to a query, 0..1: the share of the most that BM25 could give. From an index: for each term of
    the query the documents that hold it and how often, the ``lengths`` of these documents in terms, how many there are, and
    their length together. Documents that hold no term are left out.

    Rarity is counted over these documents alone, so pass those of one owner.
    """
    scores: dict[D, float] = {}
    for term, gain in _gains(postings, documents):
        _add(scores, gain, postings[term].items(), lengths, _per_term(documents, length))
    return scores


def bm25_best(
    postings: Mapping[str, Mapping[D, int]],
    lengths: SupportsLength[D],
    documents: int,
    length: int,
    limit: int,
) -> dict[D, float]:
    """Of `bm25_of`, with the same scores, at least the ``limit`` best (1 or more) and those as good as the last of them.

    A word that stands everywhere says least and costs most. Rare words come first; once those that are left cannot lift a
    document without a rarer one among the best, they are looked up only for the documents that they can (MaxScore: Turtle
    and Flood 1995, "Query evaluation: strategies and optimizations").
    """
    scores: dict[D, float] = {}
    per_term = _per_term(documents, length)
    gains = _gains(postings, documents)
    open_to_all = True
    for at, (term, gain) in enumerate(gains):
        holding = postings[term]
        if open_to_all and len(holding) > len(scores) >= limit:
            left = sum(more for _, more in gains[at:])
            least = sorted(scores.values())[-limit]
            if left < least:
                open_to_all = False
                scores = {it: score for it, score in scores.items() if score + left >= least}
        counts = holding.items() if open_to_all else [(it, holding[it]) for it in scores if it in holding]
        _add(scores, gain, counts, lengths, per_term)
    return scores


def _gains(postings: Mapping[str, Mapping[D, int]], documents: int) -> list[tuple[str, float]]:
    """The terms, rarest first, and what each adds to a score at most. All is summed in an order that is the same in every
    process, because the last bits of a sum change with it."""
    weights = {term: _rarity(len(holding), documents) for term, holding in postings.items()}
    most = sum(weights[term] for term in sorted(weights)) or 1.0
    return sorted(((term, weight / most) for term, weight in weights.items()), key=lambda it: (-it[1], it[0]))


def _per_term(documents: int, length: int) -> float:
    return K1 * B * documents / length if length else 0.0


def _add(
    scores: dict[D, float],
    gain: float,
    counts: Iterable[tuple[D, int]],
    lengths: SupportsLength[D],
    per_term: float,
) -> None:
    score_of = scores.get
    for document, count in counts:
        saturation = count + _FLOOR + per_term * lengths[document]
        scores[document] = score_of(document, 0.0) + gain * count / saturation


def _rarity(holding: int, documents: int) -> float:
    """Never negative, also for a term that most documents hold (Lucene's form)."""
    return math.log(1 + (documents - holding + 0.5) / (holding + 0.5))


def _folded(text: str) -> str:
    """Compatibility forms made one (full width to half), accents off, Hangul put together again, lower case."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare)


def _pairs(run: str) -> tuple[str, ...]:
    return tuple(run[start : start + 2] for start in range(max(1, len(run) - 1)))


def _singular(word: str) -> str:
    if word.endswith("ies") and not word.endswith(("eies", "aies")) and len(word) > _SHORTEST_STEM + 1:
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("us", "ss", "is")):
        return word[:-1]
    return word


def _undoubled(word: str) -> str:
    """ "runn" to "run"; "fall", "miss" and "buzz" keep theirs."""
    return word[:-1] if word[-1] == word[-2] and word[-1] not in "aeioulsz" else word
