"""Finds the text in a JSON body that no store takes: with a NUL character, or with half of a surrogate pair (pure).

Only for the error: it parses the body a second time, with the standard library, which takes both.
"""

import json
import re
from collections.abc import Iterator

MAX_BYTES = 1_000_000
"""Of a larger body the place is not looked for: 1 MB takes some 10 ms."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def place_of_unstorable(body: bytes) -> tuple[str, ...] | None:
    """Where the first such text stands, as the names and indexes that lead to it; None when there is none, or when the body
    is something else that cannot be read. Of a name that is one itself, the object that has it."""
    if len(body) > MAX_BYTES:
        return None
    try:
        return next(_places(json.loads(body, strict=False), ()), None)
    except (ValueError, RecursionError):
        return None


def _places(node: object, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(node, str):
        if _UNSTORABLE.search(node):
            yield place
    elif isinstance(node, dict):
        for name, inner in node.items():
            if _UNSTORABLE.search(name):
                yield place
            yield from _places(inner, (*place, name))
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _places(inner, (*place, str(index)))
