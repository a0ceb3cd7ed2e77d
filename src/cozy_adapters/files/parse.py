"""One YAML file into a document whose values know their lines.

Plain values are read as YAML 1.2 does (``no`` and ``off`` are text, ``1:30`` is no number), dates stay text, and nothing is
constructed: tags of other types, aliases and merge keys are refused, so neither code nor a small file that grows a
billionfold can come in.
"""

import re
from collections.abc import Iterator

import yaml

from cozy_domain.persona.document import (
    Entry,
    InvalidPersonaError,
    ListNode,
    MapNode,
    Mark,
    Node,
    PersonaDocument,
    Problem,
    ScalarNode,
)

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 40  # far beyond what is kept exactly; Python refuses to read more than 4,300

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def parse(content: bytes, file: str) -> PersonaDocument:
    """The document in a file of at most 1 MB of UTF-8, called ``file`` in messages.

    Raises:
        InvalidPersonaError: with the first thing that is wrong.
    """
    if len(content) > MAX_BYTES:
        raise too_large(file)
    try:
        text = content.decode("utf-8-sig")
        return PersonaDocument(file, _Parser(text, file).document())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refused(Mark(file, line), "is not UTF-8", "persona_encoding") from error
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, file) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise refused(Mark(file, line), message, "persona_yaml") from error


def too_large(file: str) -> InvalidPersonaError:
    return refused(Mark(file), f"is larger than {MAX_BYTES // 1024} kB", "persona_too_large")


def refused(mark: Mark, message: str, code: str, suggestion: str = "") -> InvalidPersonaError:
    return InvalidPersonaError((Problem(mark.file, mark.line, mark.column, "", message, code, suggestion),))


def _not_yaml(error: yaml.MarkedYAMLError, file: str) -> InvalidPersonaError:
    place = error.problem_mark or error.context_mark
    mark = Mark(file, place.line + 1, place.column + 1) if place else Mark(file)
    return refused(mark, f"is not YAML: {error.problem or error.context}", "persona_yaml", _mended(error))


def _mended(error: yaml.MarkedYAMLError) -> str:
    """What is usually meant where YAML's own words do not say it."""
    problem = str(error.problem)
    if problem.startswith("mapping values are not allowed"):
        return "quotes around the text with the colon, or | and the text on the next line"
    return "spaces instead of a tab" if "'\\t'" in problem else ""


class _Parser:
    """Builds the tree from the parser's events, one at a time, so that limits hold before anything grows."""

    def __init__(self, text: str, file: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._file = file

    def document(self) -> MapNode:
        next(self._events)  # the stream begins
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise refused(Mark(self._file), "is empty", "persona_yaml")
        first = next(self._events)
        root = self._node(first, 1)
        if not isinstance(root, MapNode):
            raise refused(self._mark(first), "is not a mapping of keys and values", "persona_yaml")
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise refused(
                self._mark(after), "holds more than one document; write one file each", "persona_yaml"
            )
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = self._mark(event)
        if depth > MAX_DEPTH:
            raise refused(mark, f"is nested deeper than {MAX_DEPTH} levels", "persona_too_deep")
        match event:
            case yaml.MappingStartEvent():
                self._check_tag(event.tag, mark, "map")
                return MapNode(tuple(self._entries(depth)), mark)
            case yaml.SequenceStartEvent():
                self._check_tag(event.tag, mark, "seq")
                return ListNode(tuple(self._items(depth)), mark)
            case yaml.ScalarEvent():
                return self._scalar(event)
            case _:
                raise refused(mark, "aliases are refused; write the value again", "persona_alias")

    def _entries(self, depth: int) -> Iterator[Entry]:
        seen: set[str] = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            mark = self._mark(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise refused(mark, "a key is plain text", "persona_yaml")
            if event.value == "<<" and event.implicit[0]:
                raise refused(mark, "merge keys are refused", "persona_alias", "extends")
            if event.value in seen:
                raise refused(
                    mark, f"the key '{event.value[:40]}' stands here twice", "persona_duplicate_key"
                )
            seen.add(event.value)
            yield Entry(event.value, self._node(next(self._events), depth + 1), mark)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        mark = self._mark(event)
        if event.tag or not event.implicit[0]:
            self._check_tag(event.tag, mark, "str")
            return ScalarNode(event.value, mark)
        if _INT.fullmatch(event.value) and len(event.value) > MAX_DIGITS:
            raise refused(mark, f"a number of more than {MAX_DIGITS} digits", "persona_yaml")
        return ScalarNode(_plain(event.value), mark)

    def _check_tag(self, tag: str | None, mark: Mark, kind: str) -> None:
        if tag not in (None, "!", f"{_TAG}{kind}"):
            raise refused(mark, f"the tag {tag[:40]} is refused", "persona_tag")

    def _mark(self, event: yaml.Event) -> Mark:
        place = event.start_mark
        return Mark(self._file, place.line + 1, place.column + 1) if place else Mark(self._file)


def _plain(text: str) -> str | int | float | bool | None:
    """A value without quotes or tag, by the core schema of YAML 1.2 (section 10.3.2), decimal numbers only."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if sign := _NOT_FINITE.fullmatch(text):
        return float("nan") if "n" in text.lower().replace("inf", "") else float(f"{sign[1]}inf")
    return text
