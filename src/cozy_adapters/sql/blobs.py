"""The bytes of images, recordings and files. Ownership is part of every query."""

from sqlalchemy import and_, bindparam, exists, insert, select

from cozy_adapters.sql.engine import Database, Statement, Transaction
from cozy_adapters.sql.tables import blob_uses, blobs, sessions, turns
from cozy_domain.ids import Owner, OwnerId
from cozy_domain.sessions.blobs import Blob
from cozy_domain.sessions.turn import TurnOpened

_THIS = and_(blobs.c.owner == bindparam("by"), blobs.c.sha256 == bindparam("digest"))
_FIND = Statement(select(blobs.c.sha256).where(_THIS))
_INSERT = Statement(insert(blobs))
_USE = Statement(insert(blob_uses))
_READ = Statement(
    select(blobs.c.data).where(
        _THIS,
        exists(
            select(blob_uses.c.turn)
            .join(turns, turns.c.id == blob_uses.c.turn)
            .outerjoin(sessions, sessions.c.id == turns.c.session)
            .where(
                blob_uses.c.owner == bindparam("by"),
                blob_uses.c.sha256 == bindparam("digest"),
                sessions.c.deleted_at.is_(None),
            )
        ),
    )
)


class SqlBlobStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, owner: Owner, digests: tuple[str, ...]) -> tuple[Blob, ...]:
        return await self._database.read(_read, owner.id, digests) if digests else ()


def keep(turn: TurnOpened) -> Transaction[None]:
    """Part of a transaction: the blobs of a turn that is being opened."""
    owner = turn.owner.id
    for blob in turn.blobs:
        if not (yield _FIND(by=owner, digest=blob.sha256)):
            yield _INSERT(owner=owner, sha256=blob.sha256, data=blob.data, at=turn.at)
        yield _USE(turn=turn.turn, sha256=blob.sha256, owner=owner)


def _read(owner: OwnerId, digests: tuple[str, ...]) -> Transaction[tuple[Blob, ...]]:
    found: list[Blob] = []
    for digest in dict.fromkeys(digests):
        rows = yield _READ(by=owner, digest=digest)
        found += [Blob(digest, data) for (data,) in rows]
    return tuple(found)
