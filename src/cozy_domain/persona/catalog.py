"""Every persona that is live: an immutable snapshot, and what keeps the newest one."""

from collections.abc import Callable, Iterable, Iterator

from cozy_domain.clock import Clock
from cozy_domain.errors import MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.nearest import nearest
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument, Problem
from cozy_domain.persona.persona import Persona, PublishedPersona
from cozy_domain.persona.ports import PersonaFiles, PersonaRevisions
from cozy_domain.persona.resolve import all_problems, canonical, examine, fingerprint, pinned_parents
from cozy_domain.persona.surroundings import Surroundings


class Catalog:
    """All personas at one moment, by id. Never changes, so a turn that holds it sees one configuration."""

    def __init__(self, personas: Iterable[PublishedPersona] = ()) -> None:
        ordered = sorted(personas, key=lambda published: published.persona.id)
        self._by_id = {published.persona.id: published for published in ordered}

    def get(self, id: PersonaId) -> PublishedPersona:
        """
        Raises:
            MissingError: ``persona_not_found``; the message names the nearest id there is.
        """
        published = self._by_id.get(id)
        if published is None:
            raise _missing(id, self.ids())
        return published

    def ids(self) -> tuple[PersonaId, ...]:
        """Sorted."""
        return tuple(self._by_id)

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    def __iter__(self) -> Iterator[PublishedPersona]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


class LiveCatalog:
    """Holds the catalogue that new turns use. A reload swaps it whole, or leaves it as it is."""

    def __init__(self, files: PersonaFiles, revisions: PersonaRevisions, clock: Clock) -> None:
        self._files = files
        self._revisions = revisions
        self._clock = clock
        self._current = Catalog()
        self._asked = 0
        self._shown = 0

    @property
    def current(self) -> Catalog:
        """Empty until the first reload."""
        return self._current

    async def reload(
        self, around: Surroundings | None = None, refuse: Callable[[Catalog], None] = lambda _: None
    ) -> tuple[Problem, ...]:
        """Reads, resolves and publishes every persona. With an error among the problems nothing was swapped. ``around`` as
        in `examine`. ``refuse`` may raise a `ConfigError` about the catalogue that would go live, which then does not.

        Of reloads that overlap, the one asked for last wins, whichever ends first.

        Raises:
            ConfigError: of ``refuse``.
            StorageUnavailableError: the revisions cannot be kept; nothing was swapped.
        """
        self._asked += 1
        asked = self._asked
        try:
            documents = await self._files.read()
        except InvalidPersonaError as error:
            parents = await _published_parents(error.readable, self._revisions)
            return all_problems(error, parents, around)
        found = examine(documents, await _published_parents(documents, self._revisions), around)
        if not found.errors:
            catalog = await publish_all(found.personas, self._revisions, self._clock)
            refuse(catalog)
            self._show(catalog, asked)
        return found.problems

    def _show(self, catalog: Catalog, asked: int) -> None:
        if asked > self._shown:
            self._current, self._shown = catalog, asked


async def publish_all(personas: Iterable[Persona], revisions: PersonaRevisions, clock: Clock) -> Catalog:
    """Gives each persona its revision: the newest one when its resolved document did not change, else a new one.

    Raises:
        StorageUnavailableError: some may have been published; doing it again is harmless.
    """
    published = []
    for persona in personas:
        document = canonical(persona)
        published.append(await revisions.publish(persona.id, fingerprint(document), document, clock.now()))
    return Catalog(published)


async def _published_parents(
    documents: Iterable[PersonaDocument], revisions: PersonaRevisions
) -> tuple[PublishedPersona, ...]:
    """The parents that documents name by revision, as far as they exist."""
    found = [await revisions.find(parent, revision) for parent, revision in pinned_parents(documents)]
    return tuple(published for published in found if published is not None)


def _missing(id: PersonaId, known: tuple[PersonaId, ...]) -> MissingError:
    near = nearest(id, known)
    guess = f" Did you mean '{near}'?" if near else ""
    return MissingError(
        f"Persona '{id[:64]}' does not exist.{guess}",
        code="persona_not_found",
        hint="`GET /v1/models` and `cozy persona list` show the personas there are.",
    )
