"""A memory in this process's own: facts by owner, found by their words."""

from heapq import nlargest
from itertools import count
from uuid import UUID

from cozy_adapters.inmemory.postings import Postings
from cozy_domain.ids import Owner
from cozy_domain.memory import Fact, Recalled, RecallQuery
from cozy_domain.text import bm25_best, bm25_of, terms


class _Facts:
    """One owner's facts by a number of ours. A UUID's hash is Python code: as a key it would cost a fifth of a recall."""

    def __init__(self) -> None:
        self._next = count()
        self._numbers: dict[UUID, int] = {}
        self._facts: dict[int, Fact] = {}
        self._postings = Postings()

    def put(self, fact: Fact) -> None:
        self.take_out(fact.id)
        number = self._numbers[fact.id] = next(self._next)
        self._facts[number] = fact
        self._postings.put(number, fact.text)

    def take_out(self, fact: UUID) -> None:
        number = self._numbers.pop(fact, None)
        if number is not None:
            del self._facts[number]
            self._postings.take_out(number)

    def near(self, query: RecallQuery) -> tuple[Recalled, ...]:
        scores = self._scores(query)
        # Only those as good as the last one that fits are put in their full order.
        least = max(query.min_score, min(nlargest(query.limit, scores.values()), default=0.0))
        best = [Recalled(self._facts[at], score) for at, score in scores.items() if score >= least]
        best.sort(key=lambda it: (-it.score, -it.fact.at.timestamp(), it.fact.id))
        return tuple(best[: query.limit])

    def _scores(self, query: RecallQuery) -> dict[int, float]:
        known = self._postings
        holding = {term: known.holding(term) for term in set(terms(query.text))}
        if query.persona is None:
            return bm25_best(holding, known.lengths, len(known), known.length, max(1, query.limit))
        scores = bm25_of(holding, known.lengths, len(known), known.length)
        return {at: score for at, score in scores.items() if self._facts[at].persona == query.persona}


class InMemoryChatMemory:
    """A `ChatMemory` that ends with the process. How rare a word is, is counted over the owner's own facts alone, so that
    nobody's ranking tells of somebody else's memory. A recall costs about 0.2 µs for each fact and each rarer word of the
    query that stands in it: meant for thousands of facts."""

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
