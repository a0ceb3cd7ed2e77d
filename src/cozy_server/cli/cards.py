"""`cozy persona import` and `export`: character cards in and out of the folder of personas."""

import asyncio
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec
import typer
from msgspec.structs import replace

from cozy_domain.errors import ConfigError, MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.persona.card.card import Card, CardFile, Format, printable, read_card
from cozy_domain.persona.card.fields import fields_of
from cozy_domain.persona.card.from_persona import Spec, from_persona
from cozy_domain.persona.card.naming import id_from, is_usable
from cozy_domain.persona.card.to_persona import Imported, to_persona
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument
from cozy_domain.persona.persona import Persona
from cozy_domain.persona.resolve import as_written, examine
from cozy_server.cli.given import settings_from
from cozy_server.cli.persona import examined
from cozy_server.cli.telling import as_json_text, counted
from cozy_server.container.container import Container
from cozy_server.settings.load import Loaded
from cozy_server.settings.tree import PersonaSettings

BESIDE = {"png": ".card.png", "charx": ".card.charx"}
"""What an imported file with a picture or assets is called, behind the name of the persona's file without its ending."""

_FORMATS = (".json", ".png", ".charx")


class Import(msgspec.Struct, frozen=True):
    """What to import: ``id`` None takes it from the card's name, ``folder`` None the configured one."""

    file: str
    id: str | None = None
    folder: str | None = None
    force: bool = False


class Export(msgspec.Struct, frozen=True):
    id: str
    output: str
    spec: Spec = "v3"
    image: str | None = None
    force: bool = False


def import_card(wanted: Import, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CardError: the file is no card that we take.
        ConfigError: it cannot be read or written like this, or its id is taken.
    """
    loaded = settings_from(config=config)
    folder = _folder(wanted, loaded)
    container = _container(loaded, folder if folder.is_dir() else None)
    file = container.cards().unpack(_content(Path(wanted.file), container.cards().max_file))
    card = read_card(file.json)
    id = _id(wanted, card)
    imported = to_persona(card, id, file.json)
    others = _documents(container)
    place = _place(id, folder, others, force=wanted.force)
    written = _checked(container, imported.persona, place, others)
    gone = [str(path) for path in _besides(place) if os.path.lexists(path)]
    files = _keep(place, written, file)
    removed = [path for path in gone if path not in files]
    _tell_import(imported, card, file, files, removed, as_json=as_json)


def export_card(wanted: Export, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        MissingError: there is no such persona.
        InvalidPersonaError: it has a mistake.
        CardError: the picture cannot be used.
        ConfigError: it cannot be written like this.
    """
    target = _target(wanted)
    loaded = settings_from(config=config)
    container = _container(loaded, None)
    persona, kept = asyncio.run(_found(wanted.id, loaded, container))
    picture = _content(Path(wanted.image), container.cards().max_file) if wanted.image else None
    at_s = int(container.clock().now().timestamp())
    made = from_persona(persona, wanted.spec, at_s)
    packed = container.cards().pack(made.json, target, wanted.spec, kept, picture)
    _write({Path(wanted.output): packed.content})
    told: dict[str, object] = {
        "id": persona.id,
        "file": wanted.output,
        "spec": wanted.spec,
        "format": target,
        "changed": list(made.changed),
        "left_out": list(made.left_out),
        "lost": list(packed.lost),
    }
    if as_json:
        typer.echo(as_json_text(told))
        return
    typer.echo(f"'{persona.id}' is in {wanted.output} (Character Card {wanted.spec.upper()}).")
    _tell("changed since its import", ", ".join(made.changed))
    _tell("not in a card", ", ".join(made.left_out))
    _tell("left behind", ", ".join(packed.lost))


# Import


def _folder(wanted: Import, loaded: Loaded) -> Path:
    folder = wanted.folder or loaded.settings.personas.folder
    if folder is None:
        raise ConfigError(
            "no folder for personas is configured",
            hint="Name one: --folder personas, or personas.folder in cozy.yaml, which the server reads too.",
        )
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{folder} is not a folder")
    return path


def _id(wanted: Import, card: Card) -> PersonaId:
    id = wanted.id if wanted.id is not None else id_from(fields_of(card).name)
    if not is_usable(id):
        raise ConfigError(
            f"'{printable(id)[:64]}' cannot be an id: 1 to 64 lower-case letters, digits, - and _, the first a letter or "
            "digit, and no name of a device",
            hint="Give another one with --id.",
        )
    return PersonaId(id)


def _documents(container: Container) -> tuple[PersonaDocument, ...]:
    """Those that can be read: a mistake elsewhere is no reason not to import."""
    try:
        return asyncio.run(container.persona_files().read())
    except InvalidPersonaError as error:
        return error.readable


def _place(id: PersonaId, folder: Path, others: tuple[PersonaDocument, ...], *, force: bool) -> Path:
    """The file to write: that of the persona to be replaced, else one named as the id."""
    own = {Path(it.file).name: it.id for it in others if it.file.startswith(f"{folder}/")}
    name = next((name for name, its in own.items() if its == id), f"{id}.yaml")
    place = folder / name
    if own.get(name, id) != id:
        raise ConfigError(
            f"{place} holds the persona '{own[name]}'", hint="Rename that file, or give another --id."
        )
    taken = [str(path) for path in (place, *_besides(place)) if os.path.lexists(path)]
    if not taken and any(it.id == id for it in others):
        taken = ["the one that comes with the engine"]
    if taken and not force:
        raise ConfigError(
            f"there is a persona '{id}' already: {', '.join(taken)}",
            hint="Give another id with --id, or replace it with --force.",
        )
    return place


def _checked(
    container: Container, persona: Persona, place: Path, others: tuple[PersonaDocument, ...]
) -> bytes:
    """The persona's file, after it was read back and found right."""
    file = f"{place.parent}/{place.name}"
    written = container.cards().to_yaml(as_written(persona, file))
    beside = (it for it in others if it.id != persona.id)
    found = examine((container.cards().parse(written, file), *beside))
    if wrong := tuple(problem for problem in found.errors if problem.file == file):
        raise InvalidPersonaError(wrong)
    return written


def _besides(place: Path) -> tuple[Path, ...]:
    return tuple(place.with_name(f"{place.stem}{ending}") for ending in BESIDE.values())


def _keep(place: Path, written: bytes, file: CardFile) -> list[str]:
    """Writes the persona, and beside it the card with its picture or assets. Gives the files. What was there before goes
    only when all of the new is on the disk."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {place.parent}: {error.strerror}") from error
    made = {place: written}
    if file.format in BESIDE:
        made[place.with_name(f"{place.stem}{BESIDE[file.format]}")] = file.content
    _write(made, [beside for beside in _besides(place) if beside not in made])
    return list(map(str, made))


def _tell_import(
    imported: Imported, card: Card, file: CardFile, files: list[str], removed: list[str], *, as_json: bool
) -> None:
    persona = imported.persona
    told: dict[str, object] = {
        "id": persona.id,
        "name": persona.name,
        "spec": f"v{card.version}",
        "format": file.format,
        "files": files,
        "removed": removed,
        "mapped": list(imported.mapped),
        "kept": [{"field": it.field, "why": it.why} for it in imported.kept],
        "ignored": list(file.ignored),
        "notes": [*imported.notes, *_asset_note(file)],
    }
    if as_json:
        typer.echo(as_json_text(told))
        return
    typer.echo(
        f"'{persona.id}' is in {' and '.join(files)} (Character Card V{card.version}, {file.format.upper()})."
    )
    _tell("removed, as the new card has none", ", ".join(removed))
    _tell("used", ", ".join(imported.mapped))
    _tell(
        "kept, not used", ", ".join(f"{it.field} ({it.why})" if it.why else it.field for it in imported.kept)
    )
    _tell("ignored", ", ".join(file.ignored))
    for note in cast(list[str], told["notes"]):
        _tell("note", note)
    typer.echo("It may use no tool; tools.allow in its file gives it some.")


def _asset_note(file: CardFile) -> Iterator[str]:
    if file.assets:
        one = len(file.assets) == 1
        yield f"{counted(len(file.assets), 'asset')} {'is' if one else 'are'} kept in the file beside it"


# Export


def _target(wanted: Export) -> Format:
    ending = Path(wanted.output).suffix.lower()
    if ending not in _FORMATS:
        raise ConfigError(
            f"{wanted.output} says nothing of its kind", hint=f"End it in {', '.join(_FORMATS)}."
        )
    if ending == ".charx" and wanted.spec == "v2":
        raise ConfigError("a CHARX holds a V3 card", hint="Use --spec v3, or write a .png or .json.")
    if os.path.lexists(wanted.output) and not wanted.force:
        raise ConfigError(
            f"{wanted.output} is there already", hint="Name another file, or replace it with --force."
        )
    return cast(Format, ending[1:])


async def _found(id: str, loaded: Loaded, container: Container) -> tuple[Persona, CardFile | None]:
    """The persona, and the card with picture or assets that it was imported from, if it is still beside its file."""
    found = await examined(loaded)
    document = next((it for it in found.documents if it.id == id), None)
    persona = next((it for it in found.personas if it.id == id), None)
    if persona is None:
        file = document.file if document else ""
        errors = (it for it in found.problems if it.severity == "error")
        if wrong := tuple(it for it in errors if not found.documents or it.file == file):
            raise InvalidPersonaError(wrong)
        raise MissingError(
            f"there is no persona '{printable(id)[:64]}'", hint="`cozy persona list` shows them."
        )
    folder = loaded.settings.personas.folder
    if document is None or folder is None or not document.file.startswith(f"{Path(folder)}/"):
        return persona, None
    beside = next((path for path in _besides(Path(document.file)) if path.is_file()), None)
    if beside is None:
        return persona, None
    return persona, container.cards().unpack(_content(beside, container.cards().max_file))


# Both


def _container(loaded: Loaded, folder: Path | None) -> Container:
    settings = replace(loaded.settings, personas=PersonaSettings(folder=str(folder) if folder else None))
    return Container(settings=settings, audit_key=b"", database_role="reader")


def _content(path: Path, most: int) -> bytes:
    """At most one byte more than ``most``, so that whoever gets it can tell that it is too much."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", hint="Name a file that is there and that you may read."
        ) from error


def _write(contents: Mapping[Path, bytes], unwanted: Sequence[Path] = ()) -> None:
    """All of them, each whole, and then removes what is ``unwanted``; nothing of what was there is touched before all of
    the new is on the disk."""
    news = {path: path.with_name(f".{path.name}.new") for path in contents}
    path = next(iter(contents))
    try:
        for path in (*contents, *unwanted):
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        for path, content in contents.items():
            _write_new(news[path], content)
        for path, new in news.items():
            new.replace(path)
        for path in unwanted:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    finally:
        for new in news.values():
            with suppress(OSError):
                new.unlink(missing_ok=True)


def _write_new(new: Path, content: bytes) -> None:
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _tell(what: str, told: str) -> None:
    if told:
        typer.echo(f"  {what}: {printable(told)}")
