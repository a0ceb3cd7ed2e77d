"""Text of others on a terminal (pure). What a server, a model or a tool wrote may hold control characters, which a terminal
would obey: set its title, fill its clipboard, clear it."""

import re

_ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""C0 but tab and newline, DEL, C1, and the characters that turn the direction of what follows."""


def visible(text: str) -> str:
    """With U+FFFD for what a terminal would obey."""
    return _ORDERS.sub("\N{REPLACEMENT CHARACTER}", text)
