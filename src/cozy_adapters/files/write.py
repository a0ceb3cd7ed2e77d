"""A document as YAML that `parse` reads back as the same values."""

import re
from collections.abc import Iterator
from typing import assert_never

import msgspec
import yaml

from cozy_adapters.files.parse import MAX_BYTES, parse, too_large
from cozy_domain.persona.document import ListNode, MapNode, Node, ScalarNode, to_json

_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9 _,.()/'!?-]*")
_WORDS = {"null", "true", "false"}
_UNBROKEN = 1_000_000
_LONG = 200
"""Characters of a line that is better read without escapes."""


def to_yaml(root: MapNode, file: str) -> bytes:
    """UTF-8; texts of several lines are written as blocks where YAML can hold them so. ``file`` is for messages.

    Raises:
        InvalidPersonaError: the document is larger than a file may be.
    """
    if sum(map(len, _texts(root))) > MAX_BYTES:
        raise too_large(file)  # before the time is spent to write it
    written = _emitted(root, blocks=True)
    if to_json(parse(written, file).root) == to_json(root):
        return written
    return _emitted(root, blocks=False)


def _texts(node: Node) -> Iterator[bytes]:
    match node:
        case ScalarNode(value=str(text)):
            yield text.encode()
        case ScalarNode():
            return
        case ListNode():
            for item in node.items:
                yield from _texts(item)
        case MapNode():
            for entry in node.entries:
                yield from _texts(entry.value)
        case _:
            assert_never(node)


def _emitted(root: MapNode, *, blocks: bool) -> bytes:
    events = (
        yaml.StreamStartEvent(),
        yaml.DocumentStartEvent(explicit=False),
        *_events(root, blocks),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    )
    text: str = yaml.emit(events, Dumper=yaml.SafeDumper, allow_unicode=True, width=_UNBROKEN)
    return text.encode()


def _events(node: Node, blocks: bool) -> Iterator[yaml.Event]:
    match node:
        case ScalarNode(value=str(text)):
            yield _text(text, blocks)
        case ScalarNode():
            plain = msgspec.json.encode(node.value).decode()
            yield yaml.ScalarEvent(anchor=None, tag=None, implicit=(True, False), value=plain)
        case ListNode():
            yield yaml.SequenceStartEvent(anchor=None, tag=None, implicit=True, flow_style=False)
            for item in node.items:
                yield from _events(item, blocks)
            yield yaml.SequenceEndEvent()
        case MapNode():
            yield yaml.MappingStartEvent(anchor=None, tag=None, implicit=True, flow_style=False)
            for entry in node.entries:
                yield _text(entry.key, blocks=False)
                yield from _events(entry.value, blocks)
            yield yaml.MappingEndEvent()
        case _:
            assert_never(node)


def _text(text: str, blocks: bool) -> yaml.ScalarEvent:
    plain = bool(_SAFE.fullmatch(text)) and text.lower() not in _WORDS
    block = blocks and ("\n" in text or len(text) > _LONG)
    style = None if plain else "|" if block else '"'
    return yaml.ScalarEvent(anchor=None, tag=None, implicit=(plain, True), value=text, style=style)
