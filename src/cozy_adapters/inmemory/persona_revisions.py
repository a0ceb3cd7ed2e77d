"""Revisions of personas, kept while the process lives."""

from datetime import UTC, datetime, timedelta

from cozy_domain.ids import PersonaId
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.persona.resolve import restore

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class InMemoryPersonaRevisions:
    """PersonaRevisions in a dictionary. No call waits, so each is atomic on its loop."""

    def __init__(self) -> None:
        self._revisions: dict[PersonaId, list[PublishedPersona]] = {}

    async def publish(self, persona: PersonaId, hash: str, document: bytes, at: datetime) -> PublishedPersona:
        past = self._revisions.setdefault(persona, [])
        if not past or past[-1].hash != hash:
            at_us = (at - _EPOCH) // _MICROSECOND
            past.append(PublishedPersona(restore(document), len(past) + 1, hash, at_us))
        return past[-1]

    async def find(self, persona: PersonaId, revision: int) -> PublishedPersona | None:
        past = self._revisions.get(persona, [])
        return past[revision - 1] if 0 < revision <= len(past) else None
