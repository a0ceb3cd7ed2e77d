"""Ports to where personas come from, and to where their revisions are kept."""

from datetime import datetime
from typing import Protocol

from cozy_domain.ids import PersonaId
from cozy_domain.persona.document import PersonaDocument
from cozy_domain.persona.persona import PublishedPersona


class PersonaFiles(Protocol):
    """Where authors keep their personas."""

    async def read(self) -> tuple[PersonaDocument, ...]:
        """Every document, as written. A later source overrides an earlier one by id; two of one source under the same id
        are both given, so that resolving can name them.

        Raises:
            InvalidPersonaError: some cannot be read or parsed; it has a problem for each, and the other documents.
        """
        ...


class PersonaRevisions(Protocol):
    """Every revision that ever went live. Raises ``StorageUnavailableError`` when the store does not answer."""

    async def publish(self, persona: PersonaId, hash: str, document: bytes, at: datetime) -> PublishedPersona:
        """The newest revision of ``persona`` when its hash is the same, else a new one, counted up from 1.

        ``document`` is what ``resolve.canonical`` gave, ``hash`` its fingerprint; ``at`` is aware. Two calls at once with
        the same hash make one revision.
        """
        ...

    async def find(self, persona: PersonaId, revision: int) -> PublishedPersona | None: ...
