"""The terms of a text: what lexical search indexes and asks for, the same for every store. And `whole`, without halves.

Terms are lower case without accents, with English inflection taken off lightly, and runs of Chinese, Japanese and Korean
cut into overlapping pairs of characters: those scripts have no spaces, so a whole sentence would be one term.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana, Han with its extensions and compatibility forms, Hangul: the inside of a regular expression's class."""

_RUN = re.compile(rf"(?P<cjk>[{CJK}]+)|[^\W_{CJK}]+(?:['’][^\W\d_{CJK}]+)*")
_VOWEL = re.compile("[aeiouy]")
_SHORTEST_STEM = 3

K1 = 1.2
B = 0.75
"""BM25's usual constants (Robertson and Zaragoza 2009, section 3.4)."""


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
    """A lower-case word without its English plural, ``-ed``, ``-ing`` and final ``e``; others are left alone.

    Plurals follow Harman's S stemmer (1991). Taking the final ``e`` off makes "make" and "making" meet.
    """
    word = re.sub("['’]s?$", "", word)
    if not word.isascii() or not word.isalpha() or len(word) <= _SHORTEST_STEM:
        return word
    word = _singular(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _SHORTEST_STEM and _VOWEL.search(rest):
            return _undoubled(rest).removesuffix("e")
    return word.removesuffix("e") if len(word) > _SHORTEST_STEM else word


def bm25(query: str, documents: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """How near each document (as its terms) is to the query, 0..1: the share of the most that BM25 could give.

    Rarity is counted over these documents alone, so pass those of one owner.
    """
    wanted = set(terms(query))
    counts = [Counter(document) for document in documents]
    weights = {term: _rarity(sum(term in count for count in counts), len(counts)) for term in wanted}
    most = sum(weights.values()) * (K1 + 1)
    mean = sum(map(len, documents)) / len(documents) if documents else 0.0
    return tuple(_nearness(count, weights, mean) / most if most else 0.0 for count in counts)


def _rarity(holding: int, documents: int) -> float:
    """Never negative, also for a term that most documents hold (Lucene's form)."""
    return math.log(1 + (documents - holding + 0.5) / (holding + 0.5))


def _nearness(count: Counter[str], weights: dict[str, float], mean: float) -> float:
    length = K1 * (1 - B + B * count.total() / mean) if mean else K1
    # Summed in the terms' order: a set's order changes between processes, and with it the last bits of a sum.
    return sum(
        weights[term] * count[term] * (K1 + 1) / (count[term] + length)
        for term in sorted(weights)
        if count[term]
    )


def _folded(text: str) -> str:
    """Compatibility forms made one (full width to half), accents off, Hangul put together again, lower case."""
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
