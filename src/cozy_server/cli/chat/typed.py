"""What a line means that somebody typed (pure)."""

from difflib import get_close_matches
from typing import Literal

import msgspec

Name = Literal["help", "new", "sessions", "history", "persona", "retry", "quit"]
NAMES: tuple[Name, ...] = ("help", "new", "sessions", "history", "persona", "retry", "quit")


class Nothing(msgspec.Struct, frozen=True):
    """An empty line."""


class Say(msgspec.Struct, frozen=True):
    text: str


class Order(msgspec.Struct, frozen=True):
    """A slash command of ours with what follows it."""

    name: Name
    argument: str = ""


class Slip(msgspec.Struct, frozen=True):
    """A slash command that is none; ``near`` is what was probably meant."""

    name: str
    near: str | None = None


Typed = Nothing | Say | Order | Slip


def read(line: str) -> Typed:
    """``/name argument`` is an order; a message that begins with a slash is typed with two."""
    text = line.strip()
    if not text:
        return Nothing()
    if not text.startswith("/"):
        return Say(text)
    if text.startswith("//"):
        return Say(text[1:])
    word, _, argument = text[1:].partition(" ")
    for name in NAMES:
        if word.lower() == name:
            return Order(name, argument.strip())
    near = get_close_matches(word.lower(), NAMES, n=1, cutoff=0.5)
    return Slip(word, near[0] if near else None)
