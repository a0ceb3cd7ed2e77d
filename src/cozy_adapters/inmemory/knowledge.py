"""Knowledge in this process's own memory: passages by owner and collection, found by their words."""

import msgspec

from cozy_domain.ids import Owner
from cozy_domain.knowledge import Found, KnowledgeQuery, Passage
from cozy_domain.text import bm25, terms


class _Kept(msgspec.Struct, frozen=True):
    passage: Passage
    terms: tuple[str, ...]


class InMemoryKnowledgeBase:
    """A `KnowledgeBase` that ends with the process. How rare a word is, is counted over what the owner may read."""

    def __init__(self) -> None:
        self._passages: dict[Owner | None, dict[str, _Kept]] = {}

    async def search(self, owner: Owner, query: KnowledgeQuery) -> tuple[Found, ...]:
        kept = [
            it
            for holder in (None, owner)
            for it in self._passages.get(holder, {}).values()
            if it.passage.collection in query.collections
        ]
        scores = bm25(query.text, [it.terms for it in kept])
        near = [
            Found(passage=it.passage, score=score)
            for it, score in zip(kept, scores, strict=True)
            if score > 0
        ]
        near.sort(key=lambda it: (-it.score, it.passage.id))
        return tuple(near[: query.limit])

    async def add(self, passage: Passage, owner: Owner | None = None) -> None:
        self._passages.setdefault(owner, {})[passage.id] = _Kept(passage, terms(passage.text))

    async def remove(self, collection: str, source: str, owner: Owner | None = None) -> None:
        kept = self._passages.get(owner, {})
        for it in list(kept.values()):
            if (it.passage.collection, it.passage.source) == (collection, source):
                del kept[it.passage.id]
