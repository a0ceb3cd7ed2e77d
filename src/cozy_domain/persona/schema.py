"""The shape of a document, taken from the types of ``Persona``, and the keys that are not in it (pure)."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, inspect

from cozy_domain.persona.document import (
    Entry,
    ListNode,
    MapNode,
    Node,
    Path,
    Problem,
    problem_at,
    render,
)
from cozy_domain.persona.persona import ID_PATTERN, Persona

MAX_UNKNOWN = 256  # what a known key may have been is looked for once for each
LIKE_ENOUGH_AT_THE_TOP = 0.7
"""For a key of the document itself, whose loss costs a whole section (``personalisation`` is like ``personalise`` by
0.77)."""


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a persona extends; with a revision, as it was then."""

    id: Annotated[str, Meta(pattern=ID_PATTERN)]
    revision: Annotated[int, Meta(ge=1)] | None = None


class WrittenPersona(Persona, frozen=True, kw_only=True):
    """What may stand in a file: a persona, the name of its schema and its parent."""

    schema: Literal["persona/1"]
    extends: Parent | None = None


WRITTEN = cast(inspect.StructType, inspect.type_info(WrittenPersona))


def without_null(shape: inspect.Type) -> inspect.Type:
    """The one type that may also be null here; any other type as it is."""
    if isinstance(shape, inspect.UnionType):
        others = tuple(option for option in shape.types if not isinstance(option, inspect.NoneType))
        return others[0] if len(others) == 1 else inspect.UnionType(others)
    return shape


def nearest(word: str, known: Iterable[str], likeness: float = 0.8) -> str:
    """The known word that ``word`` is probably a slip of, or nothing; ``likeness`` is 1 for the same word."""
    plain = {name.replace("_", ""): name for name in known}
    near = get_close_matches(word.lower().replace("_", "").replace("-", ""), plain, n=1, cutoff=likeness)
    return plain[near[0]] if near else ""


def set_apart(root: MapNode, *, in_lists: bool, problems: list[Problem]) -> MapNode:
    """The document with every unknown key moved to ``extensions``, under its dotted path.

    Inside lists only with ``in_lists``: while lists can still be joined to others, the places in them are not final.
    A key that looks like a slip of a known one is a warning; one that is there already, or one too many, is an error.
    """
    strays: list[_Stray] = []
    clean = _clean_struct(root, WRITTEN, (), _Apart(in_lists, strays))
    if len(strays) > MAX_UNKNOWN:
        message = f"{len(strays)} unknown keys are more than {MAX_UNKNOWN}"
        problems.append(problem_at(root.mark, (), message, "persona_unknown_keys"))
        return clean
    problems.extend(_slips(strays))
    return _extended(clean, strays, problems)


class _Stray(msgspec.Struct, frozen=True):
    """An unknown key, with the keys that are known where it stands."""

    path: Path
    entry: Entry
    known: tuple[str, ...]


class _Apart(msgspec.Struct, frozen=True):
    in_lists: bool
    strays: list[_Stray]


def _clean(node: Node, shape: inspect.Type, path: Path, apart: _Apart) -> Node:
    shape = without_null(shape)
    match shape, node:
        case inspect.StructType(), MapNode():
            return _clean_struct(node, shape, path, apart)
        case inspect.DictType(), MapNode():
            entries = tuple(
                Entry(e.key, _clean(e.value, shape.value_type, (*path, e.key), apart), e.mark)
                for e in node.entries
            )
            return MapNode(entries, node.mark)
        case inspect.VarTupleType(), ListNode() if apart.in_lists:
            items = tuple(
                _clean(item, shape.item_type, (*path, index), apart) for index, item in enumerate(node.items)
            )
            return ListNode(items, node.mark)
        case _:
            return node


def _clean_struct(node: MapNode, shape: inspect.StructType, path: Path, apart: _Apart) -> MapNode:
    fields = {field.name: field.type for field in shape.fields}
    kept = []
    for entry in node.entries:
        inner = (*path, entry.key)
        if entry.key in fields:
            kept.append(Entry(entry.key, _clean(entry.value, fields[entry.key], inner, apart), entry.mark))
        else:
            apart.strays.append(_Stray(inner, entry, tuple(fields)))
    return MapNode(tuple(kept), node.mark)


def _slips(strays: Iterable[_Stray]) -> Iterator[Problem]:
    for stray in strays:
        likeness = LIKE_ENOUGH_AT_THE_TOP if len(stray.path) == 1 else 0.8
        near = nearest(stray.entry.key, stray.known, likeness) or _elsewhere(stray.entry.key)
        if near:
            message = "is not known, kept as an extension"
            yield problem_at(stray.entry.mark, stray.path, message, "persona_unknown_key", near, warning=True)


def _extended(root: MapNode, strays: Iterable[_Stray], problems: list[Problem]) -> MapNode:
    extensions = root.get("extensions") or MapNode((), root.mark)
    if not isinstance(extensions, MapNode) or not strays:
        return root  # what is no mapping is named by `fit`
    for stray in strays:
        key = render(stray.path)
        if key in extensions:
            message = "is given twice"
            problems.append(problem_at(stray.entry.mark, ("extensions", key), message, "persona_extensions"))
        extensions = extensions.replacing(key, stray.entry.value)
    return root.replacing("extensions", extensions)


def _elsewhere(word: str) -> str:
    """Where in the schema the key probably belongs, when there is just one such place."""
    name = nearest(word, {path.rpartition(".")[2] for path in _places()})
    places = [path for path in _places() if path.rpartition(".")[2] == name]
    return places[0] if len(places) == 1 else ""


@cache
def _places() -> tuple[str, ...]:
    return tuple(_paths_in(WRITTEN, ""))


def _paths_in(shape: inspect.StructType, prefix: str) -> Iterator[str]:
    for field in shape.fields:
        yield f"{prefix}{field.name}"
        inner = without_null(field.type)
        if isinstance(inner, inspect.StructType):
            yield from _paths_in(inner, f"{prefix}{field.name}.")
