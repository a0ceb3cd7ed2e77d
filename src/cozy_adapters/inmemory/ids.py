"""Identifiers that are the same in every run."""

from uuid import UUID

_VERSION = 7 << 76
_VARIANT = 0b10 << 62


class InMemoryIds:
    """Counts up from 1 in the shape of UUIDv7, so ids sort in the order they were made. ``space`` (0 to 2**48 - 1) keeps
    several of these apart."""

    def __init__(self, space: int = 0) -> None:
        self._space = space
        self._made = 0

    def new(self) -> UUID:
        self._made += 1
        return UUID(int=self._space << 80 | _VERSION | _VARIANT | self._made)
