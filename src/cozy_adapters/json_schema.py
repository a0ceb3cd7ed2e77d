"""``ArgumentCheck`` with the jsonschema library: every keyword of the draft that a schema names, 2020-12 by default.

The arguments come from a model, which repeats what strangers say; schemas may come from tool servers. So nothing is ever
fetched (a ``$ref`` stays within its schema), and whatever could take long is bounded or refused: depth and size,
references that multiply, patterns that backtrack. A rule that cannot be checked within these bounds fails the call: it
never counts as kept.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, UnknownType, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

MAX_PROBLEMS = 5
MAX_DEPTH = 64
"""Of nested values in the arguments."""
MAX_SCHEMA_DEPTH = 40
"""Of nested values in a schema. Checking the schema itself takes up to ten frames of Python's stack for a level, of some
1,000. At the end of the stack the library's Rust part does not raise ``RecursionError`` but panics, past every
``except Exception``; so the end must not be reached."""
MAX_STACK = 300
"""Levels of the schema that references may put inside one another: two frames each (measured, jsonschema 4.26)."""
MAX_VALUES = 10_000
"""Values in one call's arguments, nested ones included."""
MAX_REFERENCES = 2_000
"""Followed in one check. Without references the work is at most schema times arguments; with them it can double at every
step, as in XML's billion laughs."""
MAX_PATTERN = 1_000
"""Characters of a pattern."""
MAX_PATTERN_STEPS = 20_000_000
"""About 0.3 s of Python's ``re``, which cannot be interrupted and holds the interpreter's lock."""
_SHOWN = 200
"""Characters of a reason: the library repeats the offending value."""

_FOLLOWING = ("$ref", "$dynamicRef", "$recursiveRef")
_budget: ContextVar["_Budget"] = ContextVar("_budget")

_PIECE = re.compile(
    r"(?P<back>\\[1-9]|\(\?P=|\(\?\()|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\()|(?P<close>\))|(?P<or>\|)"
    r"|(?P<many>[*+]|\{\d*,\d*\})|(?P<times>\{\d+\})|(?P<maybe>\?)|(?P<one>\\.|.)",
    re.DOTALL,
)


class _TooMuchError(Exception):
    """A bound was passed; ``str`` says which."""


class JsonSchemaArgumentCheck:
    """An ``ArgumentCheck``. ``format`` is taken as a description, as the specification has it."""

    def problems(self, schema: msgspec.Raw, arguments: msgspec.Raw) -> tuple[str, ...]:
        try:
            value = msgspec.json.decode(arguments)
            _depth(value, MAX_DEPTH)
            return _found(bytes(schema), value)
        except msgspec.MsgspecError:
            return ("$: the schema or the arguments are no JSON",)
        except RecursionError:
            return ("$: nested too deep",)
        except _TooMuchError as error:
            return (f"$: {error}",)
        except (SchemaError, UnknownType, Unresolvable, re.error, ValueError):  # the last for a wrong URL
            return ("$: the tool's schema is not valid",)


class _Budget:
    """What one check may still follow: references in all, and inside one another."""

    def __init__(self, inside: int) -> None:
        self.left = MAX_REFERENCES
        self.inside = inside

    @contextmanager
    def follow(self) -> Iterator[None]:
        if not self.left or not self.inside:
            raise _TooMuchError("the tool's schema has too many references to follow")
        self.left -= 1
        self.inside -= 1
        try:
            yield
        finally:
            self.inside += 1


def _found(schema: bytes, value: object) -> tuple[str, ...]:
    validator, depth = _compiled(schema)
    token = _budget.set(_Budget(MAX_STACK // depth))
    try:
        errors = islice(validator.iter_errors(value), MAX_PROBLEMS)
        return tuple(f"{error.json_path[:_SHOWN]}: {error.message[:_SHOWN]}" for error in errors)
    finally:
        _budget.reset(token)


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> tuple[Any, int]:
    """The validator and the depth of a schema, made once; an invalid one raises at every call, as errors are not kept."""
    rules = msgspec.json.decode(schema)
    if not isinstance(rules, dict) or not isinstance(rules.get("$schema", ""), str):
        raise SchemaError("not an object, which a tool's parameters must be")
    depth = _depth(rules, MAX_SCHEMA_DEPTH)
    for pattern in _patterns(rules):
        repeats_of(pattern)
    draft = validators.validator_for(rules, default=Draft202012Validator)
    draft.check_schema(rules)
    return _guarded(draft)(rules, registry=Registry()), depth  # an empty registry: nothing is fetched


@lru_cache(maxsize=16)
def _guarded(draft: Any) -> Any:
    """The draft's validator with our keywords in place of those that can take long."""
    ours: dict[str, Any] = {
        "pattern": _pattern,
        "patternProperties": _short_names(draft.VALIDATORS["patternProperties"]),
        "uniqueItems": _unique_items,
    }
    following = {name: _counted(draft.VALIDATORS[name]) for name in _FOLLOWING if name in draft.VALIDATORS}
    return validators.extend(draft, ours | following)  # type: ignore[no-untyped-call]


def _depth(value: object, most: int) -> int:
    """Levels of nested values, at least 1."""
    level = [value]
    seen = depth = 0
    while level:
        seen, depth = seen + len(level), depth + 1
        if seen > MAX_VALUES:
            raise _TooMuchError(f"more than {MAX_VALUES} values")
        if depth > most:
            raise _TooMuchError(f"nested more than {most} levels deep")
        level = [inner for outer in level for inner in _inside(outer)]
    return depth


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _patterns(rules: object) -> Iterator[str]:
    """Every pattern anywhere in a schema."""
    waiting = [rules]
    while waiting:
        value = waiting.pop()
        waiting += _inside(value)
        if isinstance(value, dict):
            pattern, names = value.get("pattern"), value.get("patternProperties")
            yield from [pattern] if isinstance(pattern, str) else []
            yield from names if isinstance(names, dict) else []


@lru_cache(maxsize=1_024)
def repeats_of(pattern: str) -> int:
    """How often a pattern repeats something a variable number of times: to the power of that, its time may grow.

    Refused is what may grow exponentially: a repeat of something that itself repeats or chooses, and back references.
    """
    if len(pattern) > MAX_PATTERN:
        raise _TooMuchError("the tool's schema has a pattern that is too long")
    varies = [False]  # for each open bracket: is there something inside that can match in more than one way
    last_varies = False
    repeats = 0
    for piece in _PIECE.finditer(pattern):
        kind = piece.lastgroup
        again = kind == "many" or (kind == "times" and piece[0] not in {"{0}", "{1}"})
        if kind == "back" or (again and last_varies):
            raise _TooMuchError("the tool's schema has a pattern that could take too long to check")
        if kind == "open":
            varies.append(False)
        elif kind == "close" and len(varies) > 1:
            last_varies = varies.pop()
            varies[-1] |= last_varies
            continue
        repeats += kind == "many"
        varies[-1] |= kind in {"or", "many", "maybe"}
        last_varies = False
    return repeats


def _refuse_slow(pattern: str, text: str) -> None:
    """A search may start anywhere, which is one power more."""
    anchored = pattern.startswith("^") and "|" not in pattern
    if len(text) ** (repeats_of(pattern) + (not anchored)) > MAX_PATTERN_STEPS:
        raise _TooMuchError("a text is too long to be checked against its pattern")


# The library's keyword functions: validator, the keyword's value, the instance, the schema around it.


def _pattern(_: Any, pattern: str, instance: object, __: object) -> Iterator[ValidationError]:
    if isinstance(instance, str):
        _refuse_slow(pattern, instance)
        if not re.search(pattern, instance):
            yield ValidationError(f"does not match {pattern!r}")


def _short_names(original: Any) -> Any:
    def checked(validator: Any, patterns: Any, instance: object, schema: object) -> Iterator[ValidationError]:
        if isinstance(instance, dict):
            for pattern in patterns:
                _refuse_slow(pattern, max(instance, key=len, default=""))
        yield from original(validator, patterns, instance, schema)

    return checked


def _unique_items(_: Any, wanted: object, instance: object, __: object) -> Iterator[ValidationError]:
    """The library compares each with each. Here 1 and 1.0 count as different."""
    items = instance if wanted and isinstance(instance, list) else []
    if len({json.dumps(item, sort_keys=True) for item in items}) < len(items):
        yield ValidationError("items are not unique")


def _counted(original: Any) -> Any:
    def followed(validator: Any, target: Any, instance: object, schema: object) -> Iterator[ValidationError]:
        with _budget.get().follow():
            yield from original(validator, target, instance, schema)

    return followed
