"""Which sources a turn needs (pure)."""

from collections.abc import Sequence

from cozy_domain.context.bundle import Engine
from cozy_domain.messages import Message, SystemMessage, ToolMessage, text_of
from cozy_domain.persona.persona import KnowledgePolicy, Lore, LoreEntry, Persona
from cozy_domain.text import terms

QUERY_CHARACTERS = 2_000
"""Of a longer message the end is asked for: people put the question last, and search costs grow with the words."""
AUTO_TERMS = 3
"""Fewer words than this without a question mark ("thanks, bye") are no reason to look anything up."""


def engines(persona: Persona, personalise: bool, text: str) -> tuple[Engine, ...]:
    """Which engines to ask, in a fixed order. Nothing is asked for an empty text, or when it could not be shown."""
    if not personalise or not text.strip():
        return ()
    budgets = persona.budgets
    wanted: list[Engine] = []
    if persona.memory.read.enabled and budgets.memory.ceiling != 0:
        wanted.append("memory")
    if budgets.knowledge.ceiling != 0 and _looks_up(persona.knowledge, text):
        wanted.append("knowledge")
    if budgets.profile.ceiling != 0:
        wanted.append("profile")
    return tuple(wanted)


def query_of(text: str) -> str:
    return text[-QUERY_CHARACTERS:]


def triggered(lore: Lore, said: Sequence[Message]) -> tuple[LoreEntry, ...]:
    """The entries that belong in the prompt, in the author's order: constant ones, and those with a key in the last
    ``scan_depth`` messages, whatever its case; then, ``recursion`` times, those with a key in what was added."""
    enabled = [entry for entry in lore.entries if entry.enabled]
    if not enabled:
        return ()
    heard = "\n".join(_spoken(said)[-lore.scan_depth :]).casefold()
    found = [entry for entry in enabled if entry.constant or _mentions(heard, entry)]
    for _ in range(lore.recursion):
        heard = "\n".join(entry.text for entry in found).casefold()
        found += [entry for entry in enabled if entry not in found and _mentions(heard, entry)]
    return tuple(entry for entry in enabled if entry in found)


def _looks_up(policy: KnowledgePolicy, text: str) -> bool:
    if policy.mode == "off" or not policy.collections:
        return False
    return (
        policy.mode == "always"
        or "?" in text
        or "？" in text
        or len(set(terms(query_of(text)))) >= AUTO_TERMS
    )


def _spoken(said: Sequence[Message]) -> list[str]:
    """What people and the character said; instructions and tool results trigger nothing."""
    return [
        text_of(message.content) for message in said if not isinstance(message, SystemMessage | ToolMessage)
    ]


def _mentions(heard: str, entry: LoreEntry) -> bool:
    """Plain search: keys of imported cards may be hostile regular expressions, so none is ever run."""
    return any(key.strip() and key.strip().casefold() in heard for key in entry.keys)
