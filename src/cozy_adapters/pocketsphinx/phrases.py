"""A phrase as the dictionary has it, and the grammar of several (pure)."""

import re
from collections.abc import Iterable, Mapping

_OTHER = re.compile(r"[^\w']+|_")


def normal(text: str) -> str:
    """Small letters, words apart by one space, no punctuation but apostrophes inside words."""
    plain = text.lower().replace("’", "'")
    return " ".join(filter(None, (it.strip("'") for it in _OTHER.split(plain))))


def spellings(phrases: Iterable[str]) -> Mapping[str, str]:
    """Each normal form with the first phrase that has it, as that is written; those without a word are left out."""
    found: dict[str, str] = {}
    for phrase in phrases:
        form = normal(phrase)
        if form:
            found.setdefault(form, phrase)
    return found


def grammar(forms: Iterable[str]) -> str:
    """JSGF (W3C note of 5 June 2000) of exactly these normal forms, one at a time."""
    return "#JSGF V1.0;\ngrammar phrases;\npublic <phrase> = " + " | ".join(forms) + ";\n"
