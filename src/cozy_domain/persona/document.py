"""A persona as somebody wrote it: a tree of values that remember their place, and what can be wrong with them."""

from typing import Literal, assert_never

import msgspec

from cozy_domain.errors import ConfigError

Path = tuple[str | int, ...]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class Mark(msgspec.Struct, frozen=True, order=True):
    """A place in a file, both numbers from 1. A default of the schema has ``file`` empty."""

    file: str = ""
    line: int = 1
    column: int = 1


class ScalarNode(msgspec.Struct, frozen=True):
    value: str | int | float | bool | None
    mark: Mark = Mark()


class ListNode(msgspec.Struct, frozen=True):
    items: tuple["Node", ...]
    mark: Mark = Mark()


class Entry(msgspec.Struct, frozen=True):
    """One line of a mapping; ``mark`` is where its key stands."""

    key: str
    value: "Node"
    mark: Mark = Mark()


class MapNode(msgspec.Struct, frozen=True):
    """Keys are unique."""

    entries: tuple[Entry, ...]
    mark: Mark = Mark()

    def get(self, key: str) -> "Node | None":
        return next((entry.value for entry in self.entries if entry.key == key), None)

    def __contains__(self, key: str) -> bool:
        return any(entry.key == key for entry in self.entries)

    def without(self, *keys: str) -> "MapNode":
        return MapNode(tuple(entry for entry in self.entries if entry.key not in keys), self.mark)

    def replacing(self, key: str, value: "Node") -> "MapNode":
        """With ``value`` under ``key``, in its old place or behind all others."""
        kept = tuple(Entry(e.key, value, e.mark) if e.key == key else e for e in self.entries)
        return MapNode(kept if key in self else (*kept, Entry(key, value, value.mark)), self.mark)

    def at(self, path: Path) -> "Node":
        """What stands at ``path``, or the nearest thing around it that was written in a file."""
        node: Node = self
        written: Node = self
        for step in path:
            inner = _step(node, step)
            if inner is None:
                break
            node = inner
            written = node if node.mark.file else written
        return written


Node = ScalarNode | ListNode | MapNode


class PersonaDocument(msgspec.Struct, frozen=True):
    """One persona, not yet checked. ``file`` is how people are told about it, also when it never was a file."""

    file: str
    root: MapNode

    @property
    def id(self) -> str:
        """As written; empty when there is none, or something that is not text."""
        node = self.root.get("id")
        return node.value if isinstance(node, ScalarNode) and isinstance(node.value, str) else ""


class Problem(msgspec.Struct, frozen=True, order=True):
    """What is wrong with a document, where, and what was probably meant. A warning does not keep it from going live.

    ``str`` is the line for people: ``file:line:column  field: message [code]  did you mean suggestion?``
    """

    file: str
    line: int
    column: int
    field: str
    message: str
    code: str
    suggestion: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        told = f"{self.file}:{self.line}:{self.column}  {field}{self.message} [{self.code}]"
        return f"{told}  did you mean {self.suggestion}?" if self.suggestion else told


class InvalidPersonaError(ConfigError):
    """``problems`` has every one that was found, by file and line; ``str`` is one line for each. ``readable`` are the
    documents of the files that have none of them, not examined yet."""

    default_code = "persona_invalid"

    def __init__(self, problems: tuple[Problem, ...], readable: tuple[PersonaDocument, ...] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.readable = readable


def render(path: Path) -> str:
    """``prompt.examples[0].user``"""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def problem_at(
    mark: Mark, path: Path, message: str, code: str, suggestion: str = "", *, warning: bool = False
) -> Problem:
    severity: Literal["error", "warning"] = "warning" if warning else "error"
    field, message, suggestion = map(_printable, (render(path), message, suggestion))
    return Problem(mark.file, mark.line, mark.column, field, message, code, suggestion, severity)


def to_json(node: Node) -> bytes:
    """Compact JSON with sorted keys.

    Raises:
        OverflowError, UnicodeEncodeError: a number or a text that JSON cannot hold; ``unstorable`` finds them before.
    """
    match node:
        case ScalarNode():
            return msgspec.json.encode(node.value)
        case ListNode():
            return b"[" + b",".join(to_json(item) for item in node.items) + b"]"
        case MapNode():
            entries = sorted(node.entries, key=lambda entry: entry.key)
            pairs = (msgspec.json.encode(entry.key) + b":" + to_json(entry.value) for entry in entries)
            return b"{" + b",".join(pairs) + b"}"
        case _:
            assert_never(node)


def from_json(document: bytes, file: str) -> MapNode:
    """The tree of a JSON object; everything in it is marked as the first line of ``file``."""
    root = _node(msgspec.json.decode(document), Mark(file))
    if not isinstance(root, MapNode):
        raise TypeError("a persona document is a JSON object")
    return root


def _node(value: Json, mark: Mark) -> Node:
    if isinstance(value, dict):
        return MapNode(tuple(Entry(key, _node(inner, mark), mark) for key, inner in value.items()), mark)
    if isinstance(value, list):
        return ListNode(tuple(_node(item, mark) for item in value), mark)
    return ScalarNode(value, mark)


def _printable(text: str) -> str:
    """Half a surrogate pair cannot be encoded: it would break whoever prints the problem."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _step(node: Node, step: str | int) -> Node | None:
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None
