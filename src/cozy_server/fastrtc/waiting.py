"""Sockets of which nobody has said yet whose they are: how many there may be."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cozy_domain.errors import LimitError

MOST = 256
EACH = 32
"""Of one address. A page says who it is with its first message, some milliseconds after it has connected; where a proxy is
not named in ``server.trusted_proxies``, all who come through it are of one address."""
RETRY_S = 5.0


class WaitingRoom:
    """Of one process."""

    def __init__(self, most: int = MOST, each: int = EACH) -> None:
        self.most = most
        self.each = each
        self._by_address: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._by_address.total()

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """
        Raises:
            LimitError: there is none, or none more for that address.
        """
        if self.taken >= self.most or self._by_address[address] >= self.each:
            raise LimitError(
                "Too many sockets have not said yet whose they are.",
                code="server_overloaded",
                retry_after_s=RETRY_S,
            )
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            self._by_address += Counter()  # forgets those who have none
