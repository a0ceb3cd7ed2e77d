"""What a persona can look up: passages of documents, and the port that searches them."""

from typing import Protocol

import msgspec

from cozy_domain.ids import Owner


class Passage(msgspec.Struct, frozen=True):
    """A piece of a document. ``source`` names the document, ``span`` its character range there (start, end)."""

    id: str
    text: str
    source: str
    collection: str
    span: tuple[int, int] | None = None


class Found(msgspec.Struct, frozen=True):
    """``score`` in 0..1, higher is nearer."""

    passage: Passage
    score: float


class KnowledgeQuery(msgspec.Struct, frozen=True):
    text: str
    collections: tuple[str, ...]
    limit: int


class KnowledgeBase(Protocol):
    """Passages by collection. Every method raises ``StorageUnavailableError`` when the engine does not answer."""

    async def search(self, owner: Owner, query: KnowledgeQuery) -> tuple[Found, ...]:
        """At most ``query.limit``, best first, from the named collections only: the owner's own and the shared ones."""
        ...

    async def add(self, passage: Passage, owner: Owner | None = None) -> None:
        """Stores; the same id again replaces. Without an owner it is shared."""
        ...

    async def remove(self, collection: str, source: str, owner: Owner | None = None) -> None:
        """Deletes all passages of a source; a missing one does nothing."""
        ...
