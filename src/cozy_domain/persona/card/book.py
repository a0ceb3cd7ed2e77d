"""A card's lorebook as lore, and back (pure).

Used are the fields that our lore has. Regular expressions of a card are never run. V3's decorators at the head of an entry
are taken out of its text; ``@@activate`` and ``@@dont_activate`` are followed, the others are not.
"""

import re
from collections.abc import Iterator
from itertools import takewhile

import msgspec

from cozy_domain.persona.card.card import Values
from cozy_domain.persona.card.macros import plain
from cozy_domain.persona.persona import Lore, LoreEntry

_DECORATOR = re.compile(r"@@@?([a-z_]+)")
_FOLLOWED = {"activate", "dont_activate"}
_SCAN_DEPTHS = range(1, 51)
_DEEPEST = 3
_MOST_TOKENS = 1_000_000


class Entry(msgspec.Struct, frozen=True):
    """An entry as we read it; V2 and V3 have further fields."""

    content: str
    keys: tuple[str, ...] = ()
    enabled: bool = True
    insertion_order: float = 0
    constant: bool | None = None
    use_regex: bool | None = None
    selective: bool | None = None
    secondary_keys: tuple[str, ...] | None = None


class FoundLore(msgspec.Struct, frozen=True):
    """``notes`` tell what of the book is not used as it was meant."""

    lore: Lore = Lore()
    notes: tuple[str, ...] = ()


def lore_of(raw: msgspec.Raw | None) -> FoundLore:
    if raw is None or bytes(raw) == b"null":
        return FoundLore()
    book, entries = _opened(raw)
    if book is None:
        return FoundLore(notes=("character_book is no lorebook; it is kept, not used",))
    read = [(number, _entry(entry)) for number, entry in enumerate(entries, 1)]
    used = [(number, entry) for number, entry in read if entry and _is_used(entry)]
    used.sort(key=lambda pair: pair[1].insertion_order)
    defaults = Lore()
    lore = Lore(
        entries=tuple(_lore_entry(number, entry) for number, entry in used),
        scan_depth=_number(book, "scan_depth", _SCAN_DEPTHS) or defaults.scan_depth,
        recursion=_DEEPEST if bytes(book.get("recursive_scanning", b"")) == b"true" else 0,
        budget=_number(book, "token_budget", range(1, _MOST_TOKENS)),
    )
    return FoundLore(lore, tuple(_notes([entry for _, entry in read])))


def book_with(raw: msgspec.Raw | None, was: Lore, now: Lore) -> msgspec.Raw:
    """The book that `lore_of` read ``was`` from, changed as far as ``now`` differs."""
    book, entries = _opened(raw) if raw is not None else (None, ())
    book = dict(book) if book is not None else {"extensions": msgspec.Raw(b"{}")}
    old, new = ({entry.id: entry for entry in lore.entries} for lore in (was, now))
    written = []
    for number, entry in enumerate(entries, 1):
        id = _id(number)
        if id not in old or new.get(id) == old[id]:
            written.append(entry)
        elif id in new:
            written.append(_changed(entry, new[id]))
    written.extend(_fresh(it, order) for order, it in enumerate(now.entries, 1) if it.id not in old)
    book["entries"] = _raw(written)
    if now.scan_depth != was.scan_depth:
        book["scan_depth"] = _raw(now.scan_depth)
    if now.budget != was.budget:
        book["token_budget"] = _raw(now.budget)
    if now.recursion != was.recursion:
        book["recursive_scanning"] = _raw(now.recursion > 0)
    return _raw(book)


def _opened(raw: msgspec.Raw) -> tuple[Values | None, tuple[msgspec.Raw, ...]]:
    try:
        book = msgspec.json.decode(raw, type=Values)
        return book, msgspec.json.decode(book.get("entries", b"[]"), type=tuple[msgspec.Raw, ...])
    except msgspec.ValidationError:
        return None, ()


def _entry(raw: msgspec.Raw) -> Entry | None:
    try:
        return msgspec.json.decode(raw, type=Entry)
    except msgspec.ValidationError:
        return None


def _is_used(entry: Entry) -> bool:
    return not entry.use_regex and bool(_text(entry))


def _id(number: int) -> str:
    """By the place in the book; its own ids are optional, and not always unique."""
    return f"card-{number:04}"


def _lore_entry(number: int, entry: Entry) -> LoreEntry:
    decorators = _decorators(entry)
    always = "activate" in decorators
    return LoreEntry(
        id=_id(number),
        text=_text(entry),
        keys=tuple(key for key in entry.keys if key.strip()),
        constant=always or bool(entry.constant),
        enabled=entry.enabled and (always or "dont_activate" not in decorators),
    )


def _decorators(entry: Entry) -> set[str]:
    return {found[1] for line in _head(entry) if (found := _DECORATOR.match(line))}


def _text(entry: Entry) -> str:
    return "\n".join(_lines(entry)[len(_head(entry)) :]).strip()


def _head(entry: Entry) -> list[str]:
    """The lines in front of the text: decorators, and blank ones between."""
    return list(takewhile(lambda line: not line.strip() or _DECORATOR.match(line), _lines(entry)))


def _lines(entry: Entry) -> list[str]:
    return plain(entry.content).split("\n")


def _number(book: Values, key: str, within: range) -> int | None:
    try:
        number = msgspec.json.decode(book.get(key, b"null"), type=float | None)
    except msgspec.ValidationError:
        return None
    return int(number) if number is not None and int(number) in within else None


def _notes(entries: list[Entry | None]) -> Iterator[str]:
    read = [entry for entry in entries if entry]
    counts = {
        "cannot be read; kept, not used": len(entries) - len(read),
        "have regular expressions as keys, which are never run; kept, not used": sum(
            bool(it.use_regex) for it in read
        ),
        "ask for a second key too; here one key is enough": sum(
            bool(it.selective and it.secondary_keys) for it in read
        ),
        "have decorators that are not followed": sum(bool(_decorators(it) - _FOLLOWED) for it in read),
    }
    return (f"lorebook entries that {what}: {count}" for what, count in counts.items() if count)


def _changed(raw: msgspec.Raw, entry: LoreEntry) -> msgspec.Raw:
    return _raw({**msgspec.json.decode(raw, type=Values), **_ours(entry)})


def _fresh(entry: LoreEntry, order: int) -> msgspec.Raw:
    rest = {
        "extensions": _raw({}),
        "insertion_order": _raw(order),
        "use_regex": _raw(False),
        "name": _raw(entry.id),
    }
    return _raw({**_ours(entry), **rest})


def _ours(entry: LoreEntry) -> Values:
    return {
        "keys": _raw(entry.keys),
        "content": _raw(entry.text),
        "enabled": _raw(entry.enabled),
        "constant": _raw(entry.constant),
    }


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
