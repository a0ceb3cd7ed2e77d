"""Knowledge in this process's own memory: passages by owner and collection, found by their words."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count

from cozy_adapters.inmemory.postings import Postings
from cozy_domain.ids import Owner
from cozy_domain.knowledge import Found, KnowledgeQuery, Passage
from cozy_domain.text import bm25_best, terms

Holder = Owner | None


class InMemoryKnowledgeBase:
    """A `KnowledgeBase` that ends with the process. How rare a word is, is counted over what the owner may read of the
    collections that are asked for. A search costs about as much as a recall of `InMemoryChatMemory`."""

    def __init__(self) -> None:
        self._next = count()
        self._numbers: defaultdict[Holder, dict[str, int]] = defaultdict(dict)
        self._passages: dict[int, Passage] = {}
        self._lengths: dict[int, int] = {}
        self._shelves: defaultdict[tuple[Holder, str], Postings] = defaultdict(
            lambda: Postings(self._lengths)
        )

    async def search(self, owner: Owner, query: KnowledgeQuery) -> tuple[Found, ...]:
        places = [(holder, name) for holder in (None, owner) for name in dict.fromkeys(query.collections)]
        shelves = [self._shelves[place] for place in places if place in self._shelves]
        scores = bm25_best(
            {term: _together([it.holding(term) for it in shelves]) for term in set(terms(query.text))},
            self._lengths,
            sum(map(len, shelves)),
            sum(it.length for it in shelves),
            max(1, query.limit),
        )
        near = [Found(passage=self._passages[number], score=score) for number, score in scores.items()]
        near.sort(key=lambda it: (-it.score, it.passage.id))
        return tuple(near[: query.limit])

    async def add(self, passage: Passage, owner: Owner | None = None) -> None:
        self._take_out(owner, passage.id)
        number = self._numbers[owner][passage.id] = next(self._next)
        self._passages[number] = passage
        self._shelves[owner, passage.collection].put(number, passage.text)

    async def remove(self, collection: str, source: str, owner: Owner | None = None) -> None:
        for id, number in list(self._numbers[owner].items()):
            it = self._passages[number]
            if (it.collection, it.source) == (collection, source):
                self._take_out(owner, id)

    def _take_out(self, holder: Holder, id: str) -> None:
        number = self._numbers[holder].pop(id, None)
        if number is not None:
            passage = self._passages.pop(number)
            self._shelves[holder, passage.collection].take_out(number)


def _together(holding: Sequence[Mapping[int, int]]) -> Mapping[int, int]:
    """Of several shelves; mostly only one has anything."""
    some = [it for it in holding if it]
    return some[0] if len(some) == 1 else {number: times for it in some for number, times in it.items()}
