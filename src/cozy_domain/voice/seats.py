"""Who may call: so many calls at once, so many of each owner, and none where the machine has no time left (pure).

What cannot be taken is refused at once: a call that is let in and then stutters is worse than one that was not.
"""

from collections import Counter

import msgspec

from cozy_domain.access.caller import Caller
from cozy_domain.access.seats import Sitter
from cozy_domain.errors import LimitError
from cozy_domain.ids import Owner

RETRY_S = 5.0
"""A call lasts minutes; sooner than this nothing will have changed."""


class SeatLimits(msgspec.Struct, frozen=True):
    """``each`` is of one owner: settled question 2. ``busy_percent`` of the machine's time, from which no call is let in:
    half of what is left there is needed for those who speak already."""

    at_once: int = 100
    each: int = 3
    busy_percent: int = 90


class CallSeats:
    """``refused`` counts those that found none."""

    def __init__(self, limits: SeatLimits) -> None:
        self.limits = limits
        self.refused = 0
        self._taken: Counter[Sitter] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    def take(self, caller: Caller, owner: Owner, busy_percent: int) -> Sitter:
        """To be handed to ``free`` when the call has ended.

        Raises:
            LimitError: ``too_many_calls`` of this owner; ``server_overloaded``.
        """
        sitter = (caller.account, owner.subject if caller.serves_many else "")
        if refusal := self._refusal(sitter, busy_percent):
            self.refused += 1
            raise refusal
        self._taken[sitter] += 1
        return sitter

    def free(self, sitter: Sitter) -> None:
        self._taken[sitter] -= 1
        if not self._taken[sitter]:
            del self._taken[sitter]

    def _refusal(self, sitter: Sitter, busy_percent: int) -> LimitError | None:
        limits = self.limits
        if self.taken >= limits.at_once:
            return _overloaded(f"There are {limits.at_once} calls, as many as there may be at once.")
        if busy_percent >= limits.busy_percent:
            return _overloaded(
                f"The server is busy for {busy_percent} % of its time, too much for another call."
            )
        if self._taken[sitter] >= limits.each:
            return LimitError(
                f"Too many calls at once for one caller: at most {limits.each}.",
                code="too_many_calls",
                retry_after_s=RETRY_S,
            )
        return None


def _overloaded(message: str) -> LimitError:
    return LimitError(message, code="server_overloaded", retry_after_s=RETRY_S)
