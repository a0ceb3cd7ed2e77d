"""Images and recordings that stood in messages before there were blobs: moved out of them, and back, on both stores."""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cozy_adapters.sql import migrate, postgres_schema
from cozy_adapters.sql.engine import Database
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.tables import blob_uses, blobs
from cozy_domain.messages import AudioPart, FilePart, ImagePart, Message, TextPart, UserMessage
from cozy_domain.sessions.blobs import Blob, attached, references
from tests.fixtures.media import JPEG, base64, data_url, png, wav
from tests.fixtures.postgres import empty_database, postgres_database
from tests.fixtures.stores import sql_stores
from tests.fixtures.turns import ANNA, BERT, opened, session_id

BIG = png() + bytes(1_000_000)
WORDS = 'quoting "kind":"image" and "blob":{ in words, 你好'
SAID: dict[int, tuple[Message, ...]] = {
    1: (UserMessage((TextPart(WORDS), ImagePart(data_url(BIG), "low"), ImagePart(data_url(BIG)))),),
    2: (UserMessage(WORDS), UserMessage((AudioPart(base64(wav()), "wav"), ImagePart("https://x/y.png")))),
    3: (UserMessage((FilePart(data_url(b"x,y", "text/csv"), filename="a.csv"), ImagePart(data_url(BIG)))),),
    4: (UserMessage((FilePart(base64(JPEG)), FilePart(file_id="f"))),),
    # No store ever looked at these: they do not come back the same, so they stay.
    5: (UserMessage((ImagePart("data:image/png;base64,AB=="), AudioPart("no base64", "mp3"))),),
}
"""By turn; the third is another owner's."""


def owner_of(turn: int) -> Any:
    return BERT if turn == 3 else ANNA


class BlobMigration(ABC):
    """One store: how to come to it, and how to move it."""

    @abstractmethod
    def database(self) -> AbstractAsyncContextManager[Database]: ...

    @abstractmethod
    async def down(self, revision: str) -> None: ...

    @abstractmethod
    async def up(self, revision: str) -> None: ...

    @abstractmethod
    async def on(self, work: Callable[[Connection], Any]) -> Any: ...

    async def bodies(self) -> list[str]:
        def read(connection: Connection) -> list[str]:
            return [row[0] for row in connection.execute(text("SELECT body FROM messages ORDER BY body"))]

        found: list[str] = await self.on(read)
        return found

    async def count(self, table: Table) -> int:
        found: int = await self.on(
            lambda connection: connection.execute(select(func.count()).select_from(table)).scalar()
        )
        return found

    async def old(self) -> list[str]:
        """Leaves messages as the first version wrote them; what they are."""
        async with self.database() as database:
            for turn, messages in SAID.items():
                await sql_stores(database).turns.open(
                    opened(turn, session=turn, owner=owner_of(turn), messages=messages)
                )
        await self.down("0001")
        await self.on(
            lambda connection: connection.execute(
                text("UPDATE messages SET body = replace(body, :it, '')"), {"it": ',"blob":null'}
            )
        )
        return await self.bodies()

    async def test_bytes_move_out_once_for_each_owner_and_come_back_character_by_character(self) -> None:
        before = await self.old()
        assert all("blob" not in part for body in before for part in parts_of(body))
        await self.up("0002")
        assert sum(map(len, await self.bodies())) < 3_000
        assert (await self.count(blobs), await self.count(blob_uses)) == (5, 5)
        await self.down("0001")
        assert await self.bodies() == before
        await self.up("0002")
        assert await self.count(blobs) == 5

    async def test_what_moved_is_read_as_if_it_had_been_stored_so(self) -> None:
        await self.old()
        async with self.database() as database:
            stores = sql_stores(database)
            for turn, said in SAID.items():
                owner = owner_of(turn)
                stored = await stores.sessions.messages(owner, session_id(turn), 10)
                messages = tuple(it.message for it in stored)
                digests = tuple(ref.sha256 for ref, _ in references(messages))
                found = {it.sha256: it.data for it in await stores.blobs.read(owner, digests)}
                assert attached(messages, found) == said
            big = sha256(BIG).hexdigest()
            assert await stores.blobs.read(ANNA, (big,)) == (Blob(big, BIG),)
            csv = sha256(b"x,y").hexdigest()
            assert await stores.blobs.read(ANNA, (csv,)) == ()


def parts_of(body: str) -> list[dict[str, Any]]:
    content = json.loads(body)["content"]
    return content if isinstance(content, list) else []


class TestOnSqlite(BlobMigration):
    @pytest.fixture(autouse=True)
    def path(self, tmp_path: Path) -> None:
        self.file = tmp_path / "cozy.db"

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = SqliteDatabase(self.file)
        await database.aopen()
        yield database
        await database.aclose()

    async def down(self, revision: str) -> None:
        migrate.downgrade(self.file, revision)

    async def up(self, revision: str) -> None:
        migrate.upgrade(self.file, revision)

    async def on(self, work: Callable[[Connection], Any]) -> Any:
        engine = migrate.engine_of(self.file)
        with engine.begin() as connection:
            found = work(connection)
        engine.dispose()
        return found


class TestOnPostgres(BlobMigration):
    @pytest.fixture(autouse=True)
    async def url(self) -> AsyncIterator[None]:
        async with empty_database() as url:
            self.address = url
            yield

    def database(self) -> AbstractAsyncContextManager[Database]:
        return postgres_database(self.address)

    async def down(self, revision: str) -> None:
        await postgres_schema.downgrade(self._connect, revision)

    async def up(self, revision: str) -> None:
        await postgres_schema.upgrade(self._connect, revision)

    async def on(self, work: Callable[[Connection], Any]) -> Any:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=self._connect, poolclass=NullPool)
        async with engine.begin() as connection:
            found = await connection.run_sync(work)
        await engine.dispose()
        return found

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.address)
