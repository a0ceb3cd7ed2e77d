"""A memory in this process's own: facts by owner, found by their words."""

from collections import Counter
from heapq import nlargest
from uuid import UUID

from cozy_domain.ids import Owner
from cozy_domain.memory import Fact, Recalled, RecallQuery
from cozy_domain.text import bm25_of, terms


class _Facts:
    """One owner's facts, and where each term stands."""

    def __init__(self) -> None:
        self._facts: dict[UUID, Fact] = {}
        self._terms: dict[UUID, Counter[str]] = {}
        self._lengths: dict[UUID, int] = {}
        self._postings: dict[str, dict[UUID, int]] = {}
        self._length = 0

    def put(self, fact: Fact) -> None:
        self.take_out(fact.id)
        found = Counter(terms(fact.text))
        self._facts[fact.id], self._terms[fact.id], self._lengths[fact.id] = fact, found, found.total()
        self._length += found.total()
        for term, count in found.items():
            self._postings.setdefault(term, {})[fact.id] = count

    def take_out(self, fact: UUID) -> None:
        if self._facts.pop(fact, None) is None:
            return
        self._length -= self._lengths.pop(fact)
        for term in self._terms.pop(fact):
            del self._postings[term][fact]
            if not self._postings[term]:
                del self._postings[term]

    def near(self, query: RecallQuery) -> tuple[Recalled, ...]:
        postings = {term: self._postings.get(term, {}) for term in set(terms(query.text))}
        scores = bm25_of(postings, self._lengths, len(self._facts), self._length)
        fitting = [
            (fact, score)
            for fact, score in scores.items()
            if score >= query.min_score and (query.persona in (None, self._facts[fact].persona))
        ]
        # Only those as good as the last one that fits are put in their full order.
        least = min(nlargest(query.limit, (score for _, score in fitting)), default=0.0)
        best = [Recalled(fact=self._facts[fact], score=score) for fact, score in fitting if score >= least]
        best.sort(key=lambda it: (-it.score, -it.fact.at.timestamp(), it.fact.id))
        return tuple(best[: query.limit])


class InMemoryChatMemory:
    """A `ChatMemory` that ends with the process. How rare a word is, is counted over the owner's own facts alone, so that
    nobody's ranking tells of somebody else's memory. A recall costs about 0.3 µs for each fact and each word of the query
    that stands in it: meant for thousands of facts."""

    def __init__(self) -> None:
        self._facts: dict[Owner, _Facts] = {}

    async def recall(self, owner: Owner, query: RecallQuery) -> tuple[Recalled, ...]:
        facts = self._facts.get(owner)
        return facts.near(query) if facts else ()

    async def remember(self, owner: Owner, fact: Fact) -> None:
        self._facts.setdefault(owner, _Facts()).put(fact)

    async def forget(self, owner: Owner, fact: UUID) -> None:
        if owner in self._facts:
            self._facts[owner].take_out(fact)
