"""Where settings are written: a YAML file, the environment, a ``.env`` file, the command line. Each gives what it says with
its place, and what is wrong with it; which of them wins is decided in ``load``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath

import msgspec
import yaml

from cozy_domain.nearest import nearest
from cozy_server.settings.shape import (
    FILE_ONLY,
    Path,
    dotted,
    is_file_only,
    is_list,
    is_section,
    is_table,
    known_near,
    leaves,
    shape_at,
    variable,
)

PREFIX = "COZY_"
ALIASES: Mapping[str, Path] = {
    "COZY_MODEL": ("models", "default"),
    "COZY_DATA": ("data", "folder"),
}
"""Short names, as good as the long ones."""
FALLBACKS: Mapping[str, Path] = {
    "DATABASE_URL": ("database", "url"),
    "REDIS_URL": ("redis", "url"),
    "OPENAI_API_KEY": ("models", "providers", "openai", "api_key"),
    "OPENAI_BASE_URL": ("models", "providers", "openai", "base_url"),
    "ANTHROPIC_API_KEY": ("models", "providers", "anthropic", "api_key"),
    "ANTHROPIC_BASE_URL": ("models", "providers", "anthropic", "base_url"),
}
"""Names that other programs use too: a file of ours is meant for us, so it wins over them."""


_CLOSED = frozenset(variable(path[:1]) for path in FILE_ONLY)
"""Sections with something that may stand in the file alone: whoever writes one as a whole means that too, and must not think
that it holds."""


class Written(msgspec.Struct, frozen=True):
    """One value as somebody wrote it. ``origin`` tells people where: ``cozy.yaml:12``, ``environment COZY_MODEL``."""

    path: Path
    value: object
    origin: str


class Wrong(msgspec.Struct, frozen=True):
    """``str`` is the line for people."""

    origin: str
    field: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        guess = f"  did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.origin}  {field}{self.message}{guess}"


Found = Iterator[Written | Wrong]


def from_file(file: FilePath) -> Found:
    """What a YAML file says."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        yield Wrong(str(file), "", f"cannot be read ({_reason(error)}); --config names another file")
        return
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        yield Wrong(place, "", f"is not YAML: {error.problem}", _mended(str(error.problem)))
        return
    except yaml.YAMLError as error:
        yield Wrong(str(file), "", f"is not YAML: {error}")
        return
    if root is not None:
        yield from _of_node(root, (), str(file))


def from_environment(variables: Mapping[str, str], source: str) -> Found:
    """What ``COZY_<SECTION>__<KEY>`` variables and their short names say; ``source`` is "environment" or a file's name.
    An empty one says nothing."""
    for name, text in variables.items():
        if not text:
            continue
        if name in ALIASES:
            yield Written(ALIASES[name], text, f"{source} {name}")
        elif name.startswith(PREFIX) and ("__" in name or name in _CLOSED):
            yield _of_variable(name, text, source)


def unknown(variables: Mapping[str, str]) -> Iterator[Wrong]:
    """Variables that look like ours and say nothing. They are no reason not to start: other software may have set them.
    Those with ``__`` are settings that do not exist, which `from_environment` finds."""
    for name in variables:
        if name.startswith(PREFIX) and "__" not in name and name not in ALIASES and name not in _CLOSED:
            near = nearest(name, _known_variables(), likeness=0.8)
            yield Wrong(f"variable {name}", "", "is not a setting", near)


def from_fallbacks(variables: Mapping[str, str], source: str) -> Found:
    """What the variables of other programs say."""
    for name, path in FALLBACKS.items():
        if variables.get(name):
            yield Written(path, variables[name], f"{source} {name}")


def from_flags(flags: Mapping[str, tuple[Path, object]]) -> Found:
    """What options of the command line say, by option; those that were not given are None."""
    for option, (path, value) in flags.items():
        if value is not None:
            yield Written(path, value, f"command line {option}")


def read_dotenv(file: FilePath) -> Mapping[str, str]:
    """The variables of a ``.env`` file: ``NAME=value`` lines, with or without ``export`` and quotes."""
    variables = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            variables[name.strip()] = _unquoted(value.strip())
    return variables


def _of_node(node: yaml.Node, path: Path, file: str) -> Found:
    shape = shape_at(path)
    place = f"{file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return
    if not (is_section(shape) or is_table(shape)):
        yield Written(path, _plain(node), place)
    elif not isinstance(node, yaml.MappingNode):
        yield Wrong(place, dotted(path), "is not a table of keys and values")
    else:
        yield from _of_table(node, path, file)


def _of_table(node: yaml.MappingNode, path: Path, file: str) -> Found:
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        place = f"{file}:{key.start_mark.line + 1}"
        inner = (*path, name)
        if shape_at(inner) is None:
            yield Wrong(place, dotted(inner), "is not a setting", known_near(path, name))
        elif name in seen:
            yield Wrong(place, dotted(inner), "is written twice")
        else:
            yield from _of_node(value, inner, file)
        seen.add(name)


def _plain(node: yaml.Node) -> object:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _of_variable(name: str, text: str, source: str) -> Written | Wrong:
    path: Path = ()
    for step in name.removeprefix(PREFIX).lower().split("__"):
        if shape_at((*path, step)) is None:
            return Wrong(f"{source} {name}", "", "is not a setting", _meant(name))
        path = (*path, step)
        if is_file_only(path):
            message = f"{dotted(path)} can be written in the configuration file only; a secret there may be env:NAME"
            return Wrong(f"{source} {name}", "", message)
    shape = shape_at(path)
    if is_section(shape) or is_table(shape):
        message = "is a section, not a setting"
        for inner in (head for head in FILE_ONLY if head[: len(path)] == path):
            message += f"; {dotted(inner)} can be written in the configuration file only"
        return Wrong(f"{source} {name}", "", message)
    value: object = [item.strip() for item in text.split(",") if item.strip()] if is_list(shape) else text
    return Written(path, value, f"{source} {name}")


def _meant(name: str) -> str | None:
    """The whole variable that ``name`` is probably a slip of; as far as it is known where its end is not."""
    path: Path = ()
    steps = tuple(name.removeprefix(PREFIX).lower().split("__"))
    for step in steps:
        known = step if shape_at((*path, step)) is not None else known_near(path, step)
        if known is None:
            break
        path = (*path, known)
    return None if path == steps[: len(path)] else variable(path)  # the beginning of it is no suggestion


def _known_variables() -> tuple[str, ...]:
    return (*ALIASES, *(variable(path) for path, _ in leaves()))


def _reason(error: OSError | UnicodeDecodeError) -> str:
    """Without the file's name, which stands before it."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8"


def _mended(problem: str) -> str | None:
    """What is usually meant where YAML's own words do not say it."""
    if problem.startswith("mapping values are not allowed"):
        return "quotes around the text with the colon"
    return "spaces instead of a tab" if "'\\t'" in problem else None


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
