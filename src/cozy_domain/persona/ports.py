"""Ports to where personas come from, and to where their revisions are kept."""

from datetime import datetime
from typing import Protocol

from cozy_domain.ids import PersonaId
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.persona.resolve import PersonaDocument


class PersonaFiles(Protocol):
    """Where authors keep their personas."""

    def read(self) -> tuple[PersonaDocument, ...]:
        """Every document, as written, one for each id: a later source overrides an earlier one.

        Raises:
            ConfigError: one cannot be read or parsed; names file and line.
        """
        ...


class PersonaRevisions(Protocol):
    """Every revision that ever went live. Raises ``StorageUnavailableError`` when the store does not answer."""

    async def publish(self, persona: PersonaId, hash: str, document: bytes, at: datetime) -> PublishedPersona:
        """The newest revision of ``persona`` when its hash is the same, else a new one, counted up from 1."""
        ...

    async def find(self, persona: PersonaId, revision: int) -> PublishedPersona | None: ...
