"""Whether a document fits the schema (pure). Every problem is found, each where its value was written."""

import re
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import assert_never

import msgspec
from msgspec import inspect

from cozy_domain.persona.document import (
    ListNode,
    MapNode,
    Node,
    Path,
    Problem,
    ScalarNode,
    problem_at,
)
from cozy_domain.persona.persona import ID_PATTERN, LOCALE_PATTERN, SCHEMA
from cozy_domain.persona.schema import WRITTEN, nearest, without_null

_FORMS = {
    ID_PATTERN: "1 to 64 lower-case letters, digits, - and _, the first a letter or digit",
    LOCALE_PATTERN: "a language tag such as en, zh-CN or mul",
}
_SHOWN = 40  # characters of a value that a message repeats
_BROKEN = re.compile(r"[\x00\ud800-\udfff]")
_INTEGERS = range(-(2**63), 2**64)  # what JSON readers of other languages and databases keep exactly at best
_TRUTHS = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # of YAML 1.1, text since 1.2


def fit(root: MapNode) -> tuple[Problem, ...]:
    """What is missing, or not as the schema says, in a document whose unknown keys were set apart."""
    return tuple(_fit(root, WRITTEN, _Place()))


def unstorable(root: Node) -> tuple[Problem, ...]:
    """Values that JSON or a database could not give back as they are: refused anywhere, in unknown keys too."""
    return tuple(_unstorable(root, ()))


class _Place(msgspec.Struct, frozen=True):
    """``code`` is made of the names of the schema alone, so that codes are a known set."""

    path: Path = ()
    code: str = "persona"

    def field(self, name: str) -> "_Place":
        return _Place((*self.path, name), f"{self.code}_{name}")

    def inside(self, step: str | int) -> "_Place":
        return _Place((*self.path, step), self.code)


class _Misfit(msgspec.Struct, frozen=True):
    message: str
    suggestion: str = ""


def _fit(node: Node, shape: inspect.Type, place: _Place) -> Iterator[Problem]:
    inner = without_null(shape)
    if inner != shape and isinstance(node, ScalarNode) and node.value is None:
        return
    match inner, node:
        case inspect.RawType(), _:
            return
        case inspect.StructType(), MapNode():
            yield from _fit_struct(node, inner, place)
        case inspect.DictType(), MapNode():
            for entry in node.entries:
                yield from _fit(entry.value, inner.value_type, place.inside(entry.key))
        case inspect.VarTupleType(), ListNode():
            yield from _fit_list(node, inner, place)
        case _:
            if misfit := _misfit(node, inner):
                yield problem_at(node.mark, place.path, misfit.message, place.code, misfit.suggestion)


def _fit_struct(node: MapNode, shape: inspect.StructType, place: _Place) -> Iterator[Problem]:
    for field in shape.fields:
        value = node.get(field.name)
        inner = place.field(field.name)
        if value is not None:
            yield from _fit(value, field.type, inner)
        elif field.required:
            line = f"`schema: {SCHEMA}`" if field.name == "schema" else ""
            yield problem_at(node.mark, inner.path, "is missing", inner.code, line)


def _fit_list(node: ListNode, shape: inspect.VarTupleType, place: _Place) -> Iterator[Problem]:
    if shape.max_length is not None and len(node.items) > shape.max_length:
        yield problem_at(
            node.mark, place.path, f"{len(node.items)} items are more than {shape.max_length}", place.code
        )
    for index, item in enumerate(node.items):
        yield from _fit(item, shape.item_type, place.inside(index))


def _misfit(node: Node, shape: inspect.Type) -> _Misfit | None:
    if isinstance(shape, inspect.UnionType):
        wrong = all(_misfit(node, option) for option in shape.types)
        return _Misfit(f"{_told(node)} is not {_expected(shape)}") if wrong else None
    if not isinstance(node, ScalarNode):
        return _Misfit(f"{_told(node)} is not {_expected(shape)}")
    value = node.value
    match shape:
        case inspect.StrType() if isinstance(value, str):
            return _misfit_text(value, shape)
        case inspect.BoolType() if isinstance(value, bool):
            return None
        case inspect.IntType() if isinstance(value, int) and not isinstance(value, bool):
            return _out_of_range(value, shape)
        case inspect.FloatType() if isinstance(value, int | float) and not isinstance(value, bool):
            return _out_of_range(value, shape)
        case inspect.LiteralType() if value in shape.values and not isinstance(value, bool):
            return None
        case _:
            return _Misfit(f"{_told(node)} is not {_expected(shape)}", _meant(value, shape))


def _misfit_text(text: str, shape: inspect.StrType) -> _Misfit | None:
    if shape.pattern is not None and not re.fullmatch(shape.pattern, text):
        return _Misfit(f"{_quoted(text)} is not {_FORMS[shape.pattern]}")
    if shape.min_length is not None and len(text) < shape.min_length:
        return _Misfit("is empty")
    if shape.max_length is not None and len(text) > shape.max_length:
        return _Misfit(f"{len(text)} characters are more than {shape.max_length}")
    return None


def _out_of_range(number: float, shape: inspect.IntType | inspect.FloatType) -> _Misfit | None:
    if shape.ge is not None and number < shape.ge:
        return _Misfit(f"{number} is below {shape.ge}", str(shape.ge))
    if shape.le is not None and number > shape.le:
        return _Misfit(f"{number} is above {shape.le}", str(shape.le))
    return None


def _meant(value: str | int | float | bool | None, shape: inspect.Type) -> str:
    """What an author who wrote ``value`` probably wanted, as it would be written in YAML."""
    if value is None:
        return ""
    match shape:
        case inspect.StrType():
            return f'"{str(value).lower() if isinstance(value, bool) else value}"'
        case inspect.BoolType():
            return _TRUTHS.get(str(value).lower(), "")
        case inspect.LiteralType():
            return nearest(str(value), [str(known) for known in shape.values])
        case inspect.VarTupleType():
            return f"[{_short(str(value))}]"
        case inspect.IntType() if isinstance(value, float) and isfinite(value):
            return str(round(value))
        case _:
            return ""


def _expected(shape: inspect.Type) -> str:
    match shape:
        case inspect.StructType():
            return f"a mapping of {', '.join(field.name for field in shape.fields)}"
        case inspect.DictType():
            return "a mapping"
        case inspect.VarTupleType():
            return "a list, or append and remove with a list each"
        case inspect.LiteralType():
            return _alternatives(map(str, shape.values))
        case inspect.UnionType():
            return _alternatives(_expected(option) for option in shape.types)
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case _:
            return "a number"


def _alternatives(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _told(node: Node) -> str:
    match node:
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=bool(value)):
            return str(value).lower()
        case ScalarNode(value=str(value)):
            return _quoted(value)
        case ScalarNode():
            return str(node.value)
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case _:
            assert_never(node)


def _quoted(text: str) -> str:
    return f"'{_short(text)}'"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _unstorable(node: Node, path: Path) -> Iterator[Problem]:
    match node:
        case MapNode():
            for entry in node.entries:
                yield from _unstorable(ScalarNode(entry.key, entry.mark), path)
                yield from _unstorable(entry.value, (*path, entry.key))
        case ListNode():
            for index, item in enumerate(node.items):
                yield from _unstorable(item, (*path, index))
        case ScalarNode():
            if reason := _why_unstorable(node.value):
                yield problem_at(node.mark, path, reason, "persona_unstorable")
        case _:
            assert_never(node)


def _why_unstorable(value: str | int | float | bool | None) -> str:
    if isinstance(value, str):
        return "text with a NUL or half a surrogate pair cannot be stored" if _BROKEN.search(value) else ""
    if isinstance(value, float):
        return "" if isfinite(value) else f"{value} cannot be stored"
    if isinstance(value, int) and value not in _INTEGERS:
        return "a whole number of more than 64 bits cannot be stored"
    return ""
