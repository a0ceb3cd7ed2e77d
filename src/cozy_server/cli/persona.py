"""`cozy persona`: the characters there are."""

import asyncio

import typer
from msgspec.structs import replace

from cozy_domain.errors import StorageUnavailableError
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument, Problem
from cozy_domain.persona.persona import Persona, PublishedPersona
from cozy_domain.persona.resolve import all_problems, examine, pinned_parents
from cozy_server.cli.composition import settings_from
from cozy_server.cli.telling import FAILED, show
from cozy_server.container import Container
from cozy_server.data_folder import missing_store
from cozy_server.settings.load import Loaded
from cozy_server.settings.tree import PersonaSettings


def show_all(config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        InvalidPersonaError: some file has a mistake.
    """
    personas, problems = asyncio.run(_examined(settings_from(config=config)))
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if errors:
        raise InvalidPersonaError(errors)
    show([_row(persona) for persona in personas], as_json=as_json)


def validate(folder: str | None, config: str | None, *, as_json: bool) -> None:
    """Exits 1 when there is a mistake; warnings are told and pass."""
    loaded = settings_from(config=config)
    if folder is not None:
        changed = replace(loaded.settings, personas=PersonaSettings(folder=folder))
        loaded = replace(loaded, settings=changed)
    personas, problems = asyncio.run(_examined(loaded))
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        show([_told(problem) for problem in problems], as_json=True)
    else:
        for problem in problems:
            typer.echo(f"{problem.severity}: {problem}" if problem.severity == "warning" else str(problem))
        typer.echo(f"{len(errors)} mistakes" if errors else f"{len(personas)} personas are fine.")
    if errors:
        raise typer.Exit(FAILED)


async def _examined(loaded: Loaded) -> tuple[tuple[Persona, ...], tuple[Problem, ...]]:
    container = Container(settings=loaded.settings, audit_key=b"", database_role="reader")
    around = container.configuration().surroundings(tuple(tool.name for tool in container.toolbox().specs()))
    try:
        documents = await container.persona_files().read()
    except InvalidPersonaError as error:
        return (), all_problems(error, await _published(container, error.readable), around)
    found = examine(documents, await _published(container, documents), around)
    return found.personas, found.problems


async def _published(
    container: Container, documents: tuple[PersonaDocument, ...]
) -> tuple[PublishedPersona, ...]:
    """The parents that are named by revision, as far as the store has them; without a store there are none."""
    wanted = pinned_parents(documents)
    if not wanted or missing_store(container.settings()):
        return ()
    database = container.database()
    try:
        await database.aopen()
    except StorageUnavailableError:
        return ()
    try:
        found = [await container.revisions().find(parent, revision) for parent, revision in wanted]
    finally:
        await database.aclose()
    return tuple(published for published in found if published)


def _row(persona: Persona) -> dict[str, object]:
    return {
        "id": persona.id,
        "name": persona.name,
        "locale": persona.locale,
        "tools": ", ".join(persona.tools.allow),
        "description": persona.description,
    }


def _told(problem: Problem) -> dict[str, object]:
    return {field: getattr(problem, field) for field in problem.__struct_fields__}
