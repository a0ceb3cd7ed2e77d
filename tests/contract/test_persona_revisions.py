"""The promises of the ``PersonaRevisions`` port, on every adapter."""

import asyncio
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from cozy_adapters.inmemory.persona_revisions import InMemoryPersonaRevisions
from cozy_domain.ids import PersonaId
from cozy_domain.persona.persona import Persona, PublishedPersona, ToolPermissions
from cozy_domain.persona.ports import PersonaRevisions
from cozy_domain.persona.resolve import canonical, fingerprint

PROMPT_S = 60.0  # bounds a test that would hang
MORNING = datetime(2026, 7, 31, 8, 0, 0, 123_456, tzinfo=UTC)
MORNING_US = 1_785_484_800_123_456
ANNA = PersonaId("anna")


def anna(name: str = "Anna") -> Persona:
    return Persona(
        id=ANNA,
        name=name,
        locale="zh-CN",
        tools=ToolPermissions(allow=("clock",), limits={"clock": 3}),
        extensions={"x_mood": msgspec.Raw('{"numbers":[1,2.5,null],"text":"你好 🙂"}'.encode())},
    )


class PersonaRevisionsContract(ABC):
    """A store of revisions passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def revisions(self) -> PersonaRevisions:
        """An empty store, ready to use; a fixture may be async."""

    async def publish(
        self, revisions: PersonaRevisions, persona: Persona, at: datetime = MORNING
    ) -> PublishedPersona:
        document = canonical(persona)
        async with asyncio.timeout(PROMPT_S):
            return await revisions.publish(persona.id, fingerprint(document), document, at)

    async def test_the_first_revision_is_1(self, revisions: PersonaRevisions) -> None:
        published = await self.publish(revisions, anna())
        expected = PublishedPersona(anna(), 1, fingerprint(canonical(anna())), MORNING_US)
        assert canonical(published.persona) == canonical(anna())
        assert published == expected

    async def test_an_unchanged_hash_keeps_revision_and_time(self, revisions: PersonaRevisions) -> None:
        first = await self.publish(revisions, anna())
        assert await self.publish(revisions, anna(), MORNING + timedelta(days=1)) == first

    async def test_a_changed_hash_counts_up(self, revisions: PersonaRevisions) -> None:
        await self.publish(revisions, anna())
        later = MORNING + timedelta(microseconds=1)
        second = await self.publish(revisions, anna("Anne"), later)
        assert (second.revision, second.persona.name) == (2, "Anne")
        assert second.published_at_us == MORNING_US + 1

    async def test_going_back_is_a_new_revision(self, revisions: PersonaRevisions) -> None:
        for name in ("Anna", "Anne"):
            await self.publish(revisions, anna(name))
        assert (await self.publish(revisions, anna("Anna"))).revision == 3

    async def test_personas_are_counted_apart(self, revisions: PersonaRevisions) -> None:
        await self.publish(revisions, anna())
        assert (await self.publish(revisions, Persona(id=PersonaId("bob"), name="Bob"))).revision == 1

    async def test_every_revision_is_found_as_it_was_published(self, revisions: PersonaRevisions) -> None:
        published = [await self.publish(revisions, anna(name)) for name in ("Anna", "Anne", "Anni")]
        assert [await revisions.find(ANNA, revision) for revision in (1, 2, 3)] == published

    @pytest.mark.parametrize(("id", "revision"), [("anna", 2), ("anna", 0), ("anna", -1), ("bob", 1)])
    async def test_what_was_never_published_is_none(
        self, revisions: PersonaRevisions, id: str, revision: int
    ) -> None:
        await self.publish(revisions, anna())
        assert await revisions.find(PersonaId(id), revision) is None

    async def test_the_time_is_kept_in_utc_whatever_its_zone(self, revisions: PersonaRevisions) -> None:
        shanghai = MORNING.astimezone(timezone(timedelta(hours=8)))
        assert (await self.publish(revisions, anna(), shanghai)).published_at_us == MORNING_US

    async def test_the_same_at_once_is_one_revision(self, revisions: PersonaRevisions) -> None:
        published = await asyncio.gather(*(self.publish(revisions, anna()) for _ in range(5)))
        assert [one.revision for one in published] == [1] * 5
        assert await revisions.find(ANNA, 2) is None

    async def test_different_ones_at_once_get_revisions_without_a_gap(
        self, revisions: PersonaRevisions
    ) -> None:
        names = [f"Anna {number}" for number in range(5)]
        published = await asyncio.gather(*(self.publish(revisions, anna(name)) for name in names))
        assert sorted(one.revision for one in published) == [1, 2, 3, 4, 5]

    async def test_a_cancelled_call_leaves_it_usable(self, revisions: PersonaRevisions) -> None:
        call = asyncio.create_task(self.publish(revisions, anna()))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        published = await self.publish(revisions, anna())
        assert published.revision == 1
        assert await revisions.find(ANNA, 1) == published


class TestInMemoryPersonaRevisions(PersonaRevisionsContract):
    @pytest.fixture
    def revisions(self) -> PersonaRevisions:
        return InMemoryPersonaRevisions()
