"""The paths of the settings tree, and what may stand at each (pure)."""

import types
import typing
from collections.abc import Iterator, Mapping

import msgspec

from cozy_domain.nearest import nearest
from cozy_server.settings.secret import Secret
from cozy_server.settings.tree import Settings

Path = tuple[str, ...]
"""``("server", "port")``; written ``server.port``."""
Shape = typing.Any
"""A type: of a section (a Struct), of a table of named things (a dict), or of a value."""


def shape_at(path: Path) -> Shape | None:
    """The type at ``path``, or None when there is nothing."""
    shape: Shape | None = Settings
    for step in path:
        shape = None if shape is None else children(shape, step).get(step)
    return shape


FILE_ONLY: tuple[Path, ...] = (("tools", "mcp"),)
"""What is below these is taken from the configuration file alone: it says which programs run, and the environment, a
``.env`` file that came with a folder and an API are easier to write than that file (CVE-2026-30623 was such an API)."""


def is_file_only(path: Path) -> bool:
    return any(path[: len(head)] == head for head in FILE_ONLY)


def children(shape: Shape, step: str = "<name>") -> Mapping[str, Shape]:
    """What stands below: a section's fields, or in a table the one thing called ``step``; nothing below a value."""
    if is_section(shape):
        hints = typing.get_type_hints(shape, include_extras=True)
        return {field: hints[field] for field in shape.__struct_fields__}
    if is_table(shape):
        return {step: typing.get_args(shape)[1]}
    return {}


def is_section(shape: Shape) -> bool:
    return isinstance(shape, type) and issubclass(shape, msgspec.Struct)


def is_table(shape: Shape) -> bool:
    return getattr(shape, "__origin__", None) is dict


def is_list(shape: Shape) -> bool:
    return getattr(shape, "__origin__", None) is tuple


def is_secret(shape: Shape) -> bool:
    return shape is Secret or Secret in typing.get_args(shape)


def leaves(shape: Shape = Settings, path: Path = ()) -> Iterator[tuple[Path, Shape]]:
    """Every value with its path, in the tree's order; a table's with ``<name>`` for the name."""
    below = children(shape)
    if not below and not is_section(shape):
        yield path, shape
    for step, inner in below.items():
        yield from leaves(inner, (*path, step))


def known_near(path: Path, step: str) -> str | None:
    """The name below ``path`` that ``step`` is probably a slip of."""
    return nearest(step, children(shape_at(path)), likeness=0.6)


_UNIONS = (str(typing.Union), str(types.UnionType))
"""What ``X | None`` is, with and without a Literal in it."""


def words_of(shape: Shape) -> tuple[str, ...]:
    """All that a value may be, where that is some words; beside None."""
    several = str(typing.get_origin(shape)) in _UNIONS
    members = typing.get_args(shape) if several else (shape,)
    kinds = [it for it in members if it is not types.NoneType]
    if any(typing.get_origin(it) is not typing.Literal for it in kinds):
        return ()
    return tuple(word for it in kinds for word in typing.get_args(it))


def variable(path: Path) -> str:
    """The environment variable of a path: ``COZY_SERVER__PORT``."""
    return "COZY_" + "__".join(step.upper() for step in path)


def dotted(path: Path) -> str:
    return ".".join(path)
