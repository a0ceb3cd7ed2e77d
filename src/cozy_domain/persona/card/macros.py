"""The placeholders of cards (pure). What is filled in stays a placeholder; what is not known stays as it is written, so
nothing of a card is ever evaluated."""

import re

from cozy_domain.persona.persona import ALWAYS_FILLED

_OLD = re.compile(r"<(bot|char|user)>", re.IGNORECASE)
_OURS = re.compile(r"\{\{[ \t]*(char|user)[ \t]*\}\}", re.IGNORECASE)
_COMMENT = re.compile(r"\{\{(?://|comment:)[^{}]*\}\}", re.IGNORECASE)
_ORIGINAL = re.compile(r"\{\{[ \t]*original[ \t]*\}\}", re.IGNORECASE)
_ANY = re.compile(r"\{\{([^{}]{1,200})\}\}")
_NAME = re.compile(r"[\w/]{1,40}")


def plain(text: str) -> str:
    """``text`` with ``{{char}}`` and ``{{user}}`` for every way of writing them, V1's ``<BOT>`` and ``<USER>`` too,
    without comments, and with lines that end in a line feed alone."""
    text = _COMMENT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _OLD.sub(lambda found: "{{user}}" if found[1].lower() == "user" else "{{char}}", text)
    return _OURS.sub(lambda found: f"{{{{{found[1].lower()}}}}}", text)


def without_original(text: str) -> str:
    """V2's ``{{original}}`` stands for the host's own instructions. Ours stand above every persona anyway."""
    return _ORIGINAL.sub("", text).strip() if _ORIGINAL.search(text) else text


def unknown(text: str) -> tuple[str, ...]:
    """The names of placeholders that will stay as they are, each once."""
    names = (_NAME.match(found.strip()) for found in _ANY.findall(text))
    told = dict.fromkeys(name[0].lower() for name in names if name)
    return tuple(name for name in told if name not in ALWAYS_FILLED)
