"""`cozy persona`: the characters there are."""

import asyncio
from pathlib import Path

import msgspec
import typer
import yaml
from msgspec.structs import replace

from cozy_domain.errors import ConfigError, MissingError, StorageUnavailableError
from cozy_domain.nearest import nearest
from cozy_domain.persona.card.card import printable
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument, Problem
from cozy_domain.persona.persona import Persona, PublishedPersona
from cozy_domain.persona.resolve import all_problems, examine, pinned_parents
from cozy_domain.routing.default import OFFLINE
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED, as_json_text, counted, show
from cozy_server.container.container import Container
from cozy_server.data_folder import missing_store
from cozy_server.model_choice import surroundings
from cozy_server.settings.load import Loaded
from cozy_server.settings.tree import PersonaSettings

ENDINGS = (".yaml", ".yml")


class Found(msgspec.Struct, frozen=True):
    """``documents`` and ``personas`` are empty when some file could not be read."""

    documents: tuple[PersonaDocument, ...]
    personas: tuple[Persona, ...]
    problems: tuple[Problem, ...]


def show_all(config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        InvalidPersonaError: some file has a mistake.
    """
    found = asyncio.run(examined(settings_from(config=config)))
    errors = tuple(problem for problem in found.problems if problem.severity == "error")
    if errors:
        raise InvalidPersonaError(errors)
    show([_row(persona) for persona in found.personas], as_json=as_json)


def show_one(id: str, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        InvalidPersonaError: some file has a mistake.
        MissingError: there is no such persona.
    """
    found = asyncio.run(examined(settings_from(config=config)))
    errors = tuple(problem for problem in found.problems if problem.severity == "error")
    if errors:
        raise InvalidPersonaError(errors)
    persona = next((it for it in found.personas if it.id == id), None)
    if persona is None:
        ids = ", ".join(it.id for it in found.personas)
        close = nearest(id, (it.id for it in found.personas))
        raise MissingError(
            f"there is no persona '{id}'",
            code="persona_not_found",
            hint=f"Did you mean {close}? There are: {ids}." if close else f"There are: {ids}.",
        )
    whole = msgspec.to_builtins(persona)
    typer.echo(as_json_text(whole) if as_json else yaml.safe_dump(whole, allow_unicode=True, sort_keys=False))


def validate(place: str | None, config: str | None, *, as_json: bool) -> None:
    """``place`` is a folder, or one file of a folder: then the others count as what it may extend, and are not told about.
    Exits 1 when there is a mistake; warnings are told and pass.

    Raises:
        ConfigError: there is nothing at ``place``.
    """
    loaded, file = _at(settings_from(config=config), place)
    found = asyncio.run(examined(loaded))
    problems = [it for it in found.problems if file is None or it.file == file]
    errors = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        show([_told(problem) for problem in problems], as_json=True)
    else:
        for problem in problems:
            typer.echo(f"{problem.severity}: {problem}")
        typer.echo(counted(len(errors), "mistake") if errors else _praise(found, loaded, file))
    if errors:
        raise typer.Exit(FAILED)


def _at(loaded: Loaded, place: str | None) -> tuple[Loaded, str | None]:
    """With the folder to read, and the one file of it that was named, as problems name it."""
    if place is None:
        return loaded, None
    path = Path(place)
    if not path.exists():
        raise ConfigError(
            f"there is no file or folder {place}",
            hint="Name a persona's file, or the folder that holds them; `cozy persona show ID` knows a persona by its id.",
        )
    if path.is_file() and path.suffix not in ENDINGS:
        raise ConfigError(f"{place} is not a persona's file: these end in {' or '.join(ENDINGS)}")
    folder = path.parent if path.is_file() else path
    settings = replace(loaded.settings, personas=PersonaSettings(folder=str(folder)))
    return replace(loaded, settings=settings), f"{folder}/{path.name}" if path.is_file() else None


def _praise(found: Found, loaded: Loaded, file: str | None) -> str:
    if file is not None:
        return f"{file} is fine."
    folder = loaded.settings.personas.folder
    own = sum(1 for it in found.documents if folder is not None and it.file.startswith(f"{Path(folder)}/"))
    shipped = len(found.documents) - own
    come = "that comes" if shipped == 1 else "that come"
    shipped_told = f"{counted(shipped, 'persona')} {come} with the engine"
    if folder is None:
        return (
            f"The {shipped_told} {'is' if shipped == 1 else 'are'} fine; no folder of your own is configured."
        )
    return f"{counted(own, 'persona')} in {folder} {'is' if own == 1 else 'are'} fine, beside {shipped_told}."


async def examined(loaded: Loaded) -> Found:
    """All personas of a configuration, and what is wrong with them."""
    container = Container(settings=loaded.settings, audit_key=b"", database_role="reader")
    tools = tuple(tool.name for tool in container.own_tools().specs())
    models = loaded.settings.models
    known = (
        OFFLINE.provider,
        *models.providers,
    )  # by name: a package that is missing is no fault of a persona
    around = surroundings(models, known, tools, tuple(loaded.settings.tools.mcp))
    try:
        documents = await container.persona_files().read()
    except InvalidPersonaError as error:
        published = await _published(container, error.readable)
        return Found((), (), all_problems(error, published, around))
    found = examine(documents, await _published(container, documents), around)
    return Found(documents, found.personas, found.problems)


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
        "name": printable(persona.name),
        "locale": persona.locale,
        "tools": ", ".join(persona.tools.allow),
        "description": printable(" ".join(persona.description.split())),
    }


def _told(problem: Problem) -> dict[str, object]:
    return {field: getattr(problem, field) for field in problem.__struct_fields__}
