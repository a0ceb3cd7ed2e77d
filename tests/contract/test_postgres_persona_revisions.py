"""The promises of PersonaRevisions, on Postgres."""

from collections.abc import AsyncIterator

import pytest

from cozy_adapters.sql.personas import SqlPersonaRevisions
from cozy_domain.persona.ports import PersonaRevisions
from tests.contract.test_persona_revisions import PersonaRevisionsContract
from tests.fixtures.postgres import postgres_database


class TestPostgresPersonaRevisions(PersonaRevisionsContract):
    @pytest.fixture
    async def revisions(self) -> AsyncIterator[PersonaRevisions]:
        async with postgres_database() as database:
            yield SqlPersonaRevisions(database)
