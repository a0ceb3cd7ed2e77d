"""What a persona remembers of its owner: facts, and the port that recalls them."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from cozy_domain.ids import Owner, PersonaId


class Fact(msgspec.Struct, frozen=True):
    """One remembered thing in a short sentence. ``persona`` is who learned it."""

    id: UUID
    text: str
    at: datetime
    persona: PersonaId | None = None
    pinned: bool = False


class Recalled(msgspec.Struct, frozen=True):
    """``score`` in 0..1, higher is nearer."""

    fact: Fact
    score: float


class RecallQuery(msgspec.Struct, frozen=True):
    """``persona`` narrows the scope to what that persona learned; None reads over all personas of the owner."""

    text: str
    limit: int
    persona: PersonaId | None = None
    min_score: float = 0.0


class ChatMemory(Protocol):
    """Facts by owner. Every method raises ``StorageUnavailableError`` when the engine does not answer."""

    async def recall(self, owner: Owner, query: RecallQuery) -> tuple[Recalled, ...]:
        """At most ``query.limit``, best first; only this owner's. Empty means nothing fits, never a failure."""
        ...

    async def remember(self, owner: Owner, fact: Fact) -> None:
        """Stores; the same id again replaces."""
        ...

    async def forget(self, owner: Owner, fact: UUID) -> None:
        """Deletes; a missing one, or another owner's, does nothing."""
        ...
