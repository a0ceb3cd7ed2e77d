"""A check of arguments that needs no other package: the part of JSON Schema (draft 2020-12) that tools mostly use.

A schema with a keyword that is not known here fails every call: a rule that nobody checks is worse than none.
``cozy_adapters.json_schema`` knows them all.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice

import msgspec

MAX_PROBLEMS = 5
MAX_DEPTH = 64
"""Of nested values; each level costs four frames of Python's stack, which has about 1,000."""
_SHOWN = 64

_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "format", "deprecated", "$schema", "$id"}
)
_Found = Iterator[str]


class InMemoryArgumentCheck:
    """An ``ArgumentCheck``. ``format`` is taken as a description, as the specification has it."""

    def problems(self, schema: msgspec.Raw, arguments: msgspec.Raw) -> tuple[str, ...]:
        try:
            rules = _rules(bytes(schema))
            value = msgspec.json.decode(arguments)
        except (msgspec.MsgspecError, RecursionError):
            return ("$: the schema or the arguments are no JSON",)
        return tuple(islice(_check(rules, value, "$", 0), MAX_PROBLEMS))


@lru_cache(maxsize=256)
def _rules(schema: bytes) -> object:
    return msgspec.json.decode(schema)


def _check(rules: object, value: object, path: str, depth: int) -> _Found:
    if depth > MAX_DEPTH:
        yield f"{path}: nested more than {MAX_DEPTH} levels deep"
    elif rules is False:
        yield f"{path}: not allowed"
    elif isinstance(rules, dict):
        for keyword, rule in rules.items():
            yield from _check_one(rules, keyword, rule, value, path, depth)
    elif rules is not True:
        yield f"{path}: the tool's schema is not valid"


def _check_one(rules: object, keyword: str, rule: object, value: object, path: str, depth: int) -> _Found:
    if keyword in _ANNOTATIONS:
        return
    if keyword in _NESTING:
        yield from _NESTING[keyword](rules, rule, value, path, depth)
    elif keyword not in _PLAIN:
        yield f"{path}: the tool's schema uses {keyword!r}, which cannot be checked here"
    elif not _holds(keyword, rule, value):
        yield f"{path}: {_PLAIN[keyword][1].format(_text(rule))}"


def _holds(keyword: str, rule: object, value: object) -> bool:
    """False also when the schema's rule is of a wrong kind."""
    try:
        return _PLAIN[keyword][0](rule, value)
    except TypeError:
        return False


def _text(rule: object) -> str:
    return msgspec.json.encode(rule).decode()[:_SHOWN]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    )


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": _is_whole,
}


def _is_of(types: object, value: object) -> bool:
    names = types if isinstance(types, list) else [types]
    return any(_TYPES[name](value) for name in names if isinstance(name, str) and name in _TYPES)


def _same(a: object, b: object) -> bool:
    """As JSON has it: true is not 1, which it is in Python."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _of_numbers(compare: Callable[[float, float], bool]) -> Callable[[object, object], bool]:
    return lambda rule, value: not _is_number(value) or compare(value, rule)  # type: ignore[arg-type]


def _of_lengths(kind: type, compare: Callable[[int, int], bool]) -> Callable[[object, object], bool]:
    return lambda rule, value: not isinstance(value, kind) or compare(len(value), rule)  # type: ignore[arg-type]


_PLAIN: Mapping[str, tuple[Callable[[object, object], bool], str]] = {
    "type": (_is_of, "must be of type {}"),
    "enum": (lambda rule, value: any(_same(one, value) for one in rule), "must be one of {}"),  # type: ignore[attr-defined]
    "const": (_same, "must be {}"),
    "minimum": (_of_numbers(lambda value, rule: value >= rule), "must be at least {}"),
    "maximum": (_of_numbers(lambda value, rule: value <= rule), "must be at most {}"),
    "exclusiveMinimum": (_of_numbers(lambda value, rule: value > rule), "must be more than {}"),
    "exclusiveMaximum": (_of_numbers(lambda value, rule: value < rule), "must be less than {}"),
    "minLength": (_of_lengths(str, lambda value, rule: value >= rule), "must have at least {} characters"),
    "maxLength": (_of_lengths(str, lambda value, rule: value <= rule), "must have at most {} characters"),
    "minItems": (_of_lengths(list, lambda value, rule: value >= rule), "must have at least {} items"),
    "maxItems": (_of_lengths(list, lambda value, rule: value <= rule), "must have at most {} items"),
}


def _properties(_: object, rule: object, value: object, path: str, depth: int) -> _Found:
    if isinstance(rule, dict) and isinstance(value, dict):
        for name in sorted(rule.keys() & value.keys()):
            yield from _check(rule[name], value[name], f"{path}.{name}", depth + 1)


def _required(_: object, rule: object, value: object, path: str, depth: int) -> _Found:  # noqa: ARG001 - all alike
    if isinstance(rule, list) and isinstance(value, dict):
        yield from (f"{path}: {name!r} is missing" for name in rule if name not in value)


def _additional(rules: object, rule: object, value: object, path: str, depth: int) -> _Found:
    known = rules.get("properties", {}) if isinstance(rules, dict) else {}
    if isinstance(value, dict):
        for name in sorted(value.keys() - known.keys()):
            yield from _check(rule, value[name], f"{path}.{name[:_SHOWN]}", depth + 1)


def _items(_: object, rule: object, value: object, path: str, depth: int) -> _Found:
    for index, item in enumerate(value) if isinstance(value, list) else ():
        yield from _check(rule, item, f"{path}[{index}]", depth + 1)


def _any_of(_: object, rule: object, value: object, path: str, depth: int) -> _Found:
    options: list[object] = rule if isinstance(rule, list) else []
    if not any(next(_check(option, value, path, depth + 1), None) is None for option in options):
        yield f"{path}: fits none of the {len(options)} forms it may have"


_NESTING: Mapping[str, Callable[[object, object, object, str, int], _Found]] = {
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "items": _items,
    "anyOf": _any_of,
}
