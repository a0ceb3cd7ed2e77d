"""The promises of PersonaRevisions, on SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_adapters.sql.personas import SqlPersonaRevisions
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_domain.persona.ports import PersonaRevisions
from tests.contract.test_persona_revisions import PersonaRevisionsContract


class TestSqlitePersonaRevisions(PersonaRevisionsContract):
    @pytest.fixture
    async def revisions(self, tmp_path: Path) -> AsyncIterator[PersonaRevisions]:
        database = SqliteDatabase(tmp_path / "cozy.db")
        await database.aopen()
        yield SqlPersonaRevisions(database)
        await database.aclose()
