"""How many answers are under way at once: what is too many is refused at once, for a queue only makes everybody late (pure).

The process has so many seats in all, and each owner so many of them. As with the limits of requests, a key that serves many
takes them for each of its people, any other for its account.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cozy_domain.access.caller import Caller
from cozy_domain.errors import LimitError
from cozy_domain.ids import Owner

RETRY_S = 1.0
"""A seat is free again as soon as any turn ends, which takes about as long as a turn."""

Sitter = tuple[str, str]
"""Whose seat it is."""


class Seats:
    """``refused`` counts those that found none, until somebody sets it back."""

    def __init__(self, at_once: int, each: int) -> None:
        self._at_once = at_once
        self._each = each
        self._taken: Counter[Sitter] = Counter()
        self.refused = 0

    def take(self, caller: Caller, owner: Owner) -> Sitter:
        """To be handed to ``free`` when the turn has ended.

        Raises:
            LimitError: ``server_overloaded`` when there is none at all, else ``rate_limit_exceeded``.
        """
        sitter = (caller.account, owner.subject if caller.serves_many else "")
        if self._taken.total() >= self._at_once:
            self.refused += 1
            raise LimitError(
                "The server has as many answers under way as it can do at once.",
                code="server_overloaded",
                retry_after_s=RETRY_S,
            )
        if self._taken[sitter] >= self._each:
            raise LimitError(
                f"Too many answers at once for one caller: at most {self._each}.", retry_after_s=RETRY_S
            )
        self._taken[sitter] += 1
        return sitter

    @contextmanager
    def taken(self, caller: Caller, owner: Owner) -> Iterator[None]:
        """A seat for as long as the context.

        Raises:
            LimitError: as ``take``.
        """
        sitter = self.take(caller, owner)
        try:
            yield
        finally:
            self.free(sitter)

    def free(self, sitter: Sitter) -> None:
        self._taken[sitter] -= 1
        if not self._taken[sitter]:
            del self._taken[sitter]
