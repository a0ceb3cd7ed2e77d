"""Personas in YAML files: those that come with the engine, and a folder of the operator's own."""

import asyncio
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from cozy_adapters.files.parse import MAX_BYTES, parse, refused
from cozy_domain.persona.document import InvalidPersonaError, Mark, PersonaDocument, Problem

_SHIPPED = Path(str(files("cozy_adapters.files") / "shipped"))
_ENDINGS = {".yaml", ".yml"}


class YamlPersonaFiles:
    """PersonaFiles on YAML. What the folder has under the id of a shipped persona replaces it.

    Read are the files directly in the folder that end in ``.yaml`` or ``.yml`` and do not begin with a dot; their names
    need not be ids. A link is followed as long as it stays in the folder, as those of Kubernetes ConfigMaps do.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    async def read(self) -> tuple[PersonaDocument, ...]:
        """In a thread: parsing takes milliseconds a file, which a call that is going on would hear."""
        return await asyncio.to_thread(self._read)

    async def look(self) -> object:
        """Something that is equal to what it was before as long as no file of the folder was changed, added or removed; it
        asks for names, times and sizes only."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> object:
        try:
            return tuple(_looks(path) for path in _yaml_files(self._folder)) if self._folder else ()
        except OSError as error:
            return str(error.strerror)

    def _read(self) -> tuple[PersonaDocument, ...]:
        problems: list[Problem] = []
        shipped = _documents(_SHIPPED, "shipped", problems)
        own = _documents(self._folder, str(self._folder), problems) if self._folder else ()
        overridden = {document.id for document in own}
        documents = (*(document for document in shipped if document.id not in overridden), *own)
        if problems:
            raise InvalidPersonaError(tuple(sorted(problems)), documents)
        return documents


def _documents(folder: Path, shown: str, problems: list[Problem]) -> tuple[PersonaDocument, ...]:
    documents = []
    try:
        for path in _yaml_files(folder):
            try:
                name = f"{shown}/{path.name}"
                documents.append(parse(_content(path, folder, name), name))
            except InvalidPersonaError as error:
                problems.extend(error.problems)
    except FileNotFoundError:
        told = "does not exist: make this folder, or correct personas.folder"
        problems.extend(refused(Mark(shown), told, "persona_unreadable").problems)
    except OSError as error:
        problems.extend(_unreadable(shown, error).problems)
    return tuple(documents)


def _yaml_files(folder: Path) -> Iterator[Path]:
    yield from sorted(
        path for path in folder.iterdir() if path.suffix in _ENDINGS and not path.name.startswith(".")
    )


def _looks(path: Path) -> tuple[object, ...]:
    """A link shows what it leads to: ConfigMaps change by turning one."""
    try:
        found = path.stat()
    except OSError as error:
        return (path.name, error.strerror)
    return (path.name, found.st_mtime_ns, found.st_size, found.st_ino)


def _content(path: Path, folder: Path, name: str) -> bytes:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise refused(Mark(name), "is a link out of its folder", "persona_link")
        if not real.is_file():
            raise refused(Mark(name), "is not a file", "persona_unreadable")
        with real.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> InvalidPersonaError:
    reason = error.strerror if isinstance(error, OSError) else "links go in a circle"
    return refused(Mark(name), f"cannot be read: {reason}", "persona_unreadable")
