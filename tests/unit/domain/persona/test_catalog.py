import asyncio
from datetime import datetime

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.persona_revisions import InMemoryPersonaRevisions
from cozy_domain.errors import MissingError, StorageUnavailableError
from cozy_domain.ids import PersonaId
from cozy_domain.persona.catalog import Catalog, LiveCatalog, publish_all
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument, Problem
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.persona.resolve import resolve
from tests.unit.domain.persona.written import document

SYNTAX = Problem("a.yaml", 1, 1, "", "is not YAML", "persona_yaml")


class Shelf:
    """PersonaFiles that are what the test says, or cannot be read."""

    def __init__(self, *documents: PersonaDocument) -> None:
        self.documents = documents
        self.broken = False

    async def read(self) -> tuple[PersonaDocument, ...]:
        if self.broken:
            raise InvalidPersonaError((SYNTAX,))
        return self.documents


class Revisions(InMemoryPersonaRevisions):
    """Fails, or is slow to answer the first who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def publish(self, persona: PersonaId, hash: str, document: bytes, at: datetime) -> PublishedPersona:
        if self.down:
            raise StorageUnavailableError("the store does not answer")
        hold, self.hold = self.hold, None
        self.asked.set()
        if hold:
            await hold.wait()
        return await super().publish(persona, hash, document, at)


def live(*documents: PersonaDocument) -> tuple[LiveCatalog, Shelf, Revisions]:
    shelf, revisions = Shelf(*documents), Revisions()
    return LiveCatalog(shelf, revisions, InMemoryClock()), shelf, revisions


async def catalog(*documents: PersonaDocument) -> Catalog:
    return await publish_all(resolve(documents), InMemoryPersonaRevisions(), InMemoryClock())


async def test_a_catalogue_gives_its_personas_by_id() -> None:
    personas = await catalog(document("bob"), document("anna"))
    assert personas.ids() == ("anna", "bob")
    assert [one.persona.id for one in personas] == ["anna", "bob"]
    assert personas.get(PersonaId("bob")).persona.name == "Bob"
    assert ("bob" in personas, "bo" in personas, len(personas)) == (True, False, 2)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("ana", "Persona 'ana' does not exist. Did you mean 'anna'?"),
        ("zeus", "Persona 'zeus' does not exist."),
        ("z" * 99, f"Persona '{'z' * 64}' does not exist."),
    ],
)
async def test_a_missing_persona_is_named_with_the_nearest(id: str, message: str) -> None:
    with pytest.raises(MissingError) as raised:
        (await catalog(document("anna"))).get(PersonaId(id))
    assert (raised.value.message, raised.value.code) == (message, "persona_not_found")
    assert raised.value.hint


async def test_publishing_the_same_again_keeps_the_revision() -> None:
    revisions, clock = InMemoryPersonaRevisions(), InMemoryClock()
    first = await publish_all(resolve([document("anna")]), revisions, clock)
    second = await publish_all(resolve([document("anna")]), revisions, clock)
    third = await publish_all(resolve([document("anna", tags=["x"])]), revisions, clock)
    assert [each.get(PersonaId("anna")).revision for each in (first, second, third)] == [1, 1, 2]


async def test_nothing_is_live_before_the_first_reload() -> None:
    current, _, _ = live(document("anna"))
    assert len(current.current) == 0


async def test_a_reload_shows_the_whole_new_catalogue() -> None:
    current, shelf, _ = live(document("anna"))
    assert await current.reload() == ()
    before = current.current
    shelf.documents = (document("anna", tags=["x"]), document("bob"))
    assert await current.reload() == ()
    assert current.current.ids() == ("anna", "bob")
    assert current.current.get(PersonaId("anna")).revision == 2
    assert before.ids() == ("anna",)


async def test_one_wrong_persona_keeps_the_old_catalogue() -> None:
    current, shelf, revisions = live(document("anna"))
    await current.reload()
    before = current.current
    shelf.documents = (document("anna", tags=["x"]), document("bob", name=1))
    assert [problem.field for problem in await current.reload()] == ["name"]
    assert current.current is before
    assert await revisions.find(PersonaId("anna"), 2) is None


async def test_a_warning_is_told_and_does_not_hold_up_the_swap() -> None:
    current, _, _ = live(document("anna", temprature=1))
    assert [problem.severity for problem in await current.reload()] == ["warning"]
    assert current.current.ids() == ("anna",)


async def test_files_that_cannot_be_read_keep_the_old_catalogue() -> None:
    current, shelf, _ = live(document("anna"))
    await current.reload()
    before = current.current
    shelf.broken = True
    assert await current.reload() == (SYNTAX,)
    assert current.current is before


async def test_a_store_that_fails_keeps_the_old_catalogue() -> None:
    current, shelf, revisions = live(document("anna"))
    await current.reload()
    before = current.current
    shelf.documents = (document("bob"),)
    revisions.down = True
    with pytest.raises(StorageUnavailableError):
        await current.reload()
    assert current.current is before


async def test_a_child_of_a_published_revision_gets_that_revision() -> None:
    current, shelf, _ = live(document("anna", tags=["old"]))
    await current.reload()
    shelf.documents = (document("anna", tags=["new"]), document("c", extends={"id": "anna", "revision": 1}))
    assert await current.reload() == ()
    assert current.current.get(PersonaId("c")).persona.tags == ("old",)


async def test_a_revision_that_never_was_keeps_the_old_catalogue() -> None:
    current, _, _ = live(document("c", extends={"id": "anna", "revision": 1}))
    assert [problem.code for problem in await current.reload()] == ["persona_extends"]
    assert len(current.current) == 0


async def test_of_two_reloads_at_once_the_later_wins_though_it_ends_first() -> None:
    current, shelf, revisions = live(document("old"))
    hold = revisions.hold = asyncio.Event()
    slow = asyncio.create_task(current.reload())
    async with asyncio.timeout(60):
        await revisions.asked.wait()
        shelf.documents = (document("new"),)
        await current.reload()
        hold.set()
        await slow
    assert current.current.ids() == ("new",)
