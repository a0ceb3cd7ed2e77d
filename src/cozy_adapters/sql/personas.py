"""Every revision of every persona that ever went live."""

from datetime import datetime

from sqlalchemy import bindparam, insert, select

from cozy_adapters.sql.engine import Database, Row, Statement, Transaction
from cozy_adapters.sql.tables import persona_revisions
from cozy_adapters.sql.types import micros_of
from cozy_domain.errors import StorageConflictError
from cozy_domain.ids import PersonaId
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.persona.resolve import restore

_ROW = select(
    persona_revisions.c.document,
    persona_revisions.c.revision,
    persona_revisions.c.hash,
    persona_revisions.c.published_at,
).where(persona_revisions.c.persona == bindparam("id"))
_NEWEST = Statement(_ROW.order_by(persona_revisions.c.revision.desc()).limit(1))
_FIND = Statement(_ROW.where(persona_revisions.c.revision == bindparam("number")))
_INSERT = Statement(insert(persona_revisions))


class SqlPersonaRevisions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, persona: PersonaId, hash: str, document: bytes, at: datetime) -> PublishedPersona:
        try:
            return await self._database.write(_publish, persona, hash, document, at)
        except StorageConflictError:  # another process was faster; now its revision is the newest
            return await self._database.write(_publish, persona, hash, document, at)

    async def find(self, persona: PersonaId, revision: int) -> PublishedPersona | None:
        return await self._database.read(_find, persona, revision)


def _publish(persona: PersonaId, hash: str, document: bytes, at: datetime) -> Transaction[PublishedPersona]:
    rows = yield _NEWEST(id=persona)
    newest = _published(rows[0]) if rows else None
    if newest and newest.hash == hash:
        return newest
    revision = newest.revision + 1 if newest else 1
    yield _INSERT(persona=persona, revision=revision, hash=hash, document=document, published_at=at)
    return PublishedPersona(restore(document), revision, hash, micros_of(at))


def _find(persona: PersonaId, revision: int) -> Transaction[PublishedPersona | None]:
    rows = yield _FIND(id=persona, number=revision)
    return _published(rows[0]) if rows else None


def _published(row: Row) -> PublishedPersona:
    document, revision, hash, at = row
    return PublishedPersona(restore(document), revision, hash, micros_of(at))
