"""A session's first title: the beginning of what its owner said first (pure)."""

import re

LONGEST = 60
_SPACE = re.compile(r"\s+")


def title_of(text: str) -> str | None:
    """At most 60 characters, cut at a word where there are words; None for an empty text."""
    line = _SPACE.sub(" ", text).strip()
    if len(line) <= LONGEST:
        return line or None
    cut = line[: LONGEST - 1]
    if line[LONGEST - 1] != " " and " " in cut:
        cut = cut[: cut.rindex(" ")]
    return f"{cut.rstrip()}…"
