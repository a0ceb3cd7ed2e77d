"""Who and what: identifiers, and the port that makes new ones."""

from functools import lru_cache
from typing import NewType, Protocol
from uuid import UUID, uuid5

import msgspec

PersonaId = NewType("PersonaId", str)
"""``^[a-z0-9][a-z0-9_-]{0,63}$``; checked where a persona is defined."""
SessionId = NewType("SessionId", UUID)
TurnId = NewType("TurnId", UUID)
OwnerId = NewType("OwnerId", UUID)

_OWNERS = UUID("b6b2a6a4-8f3c-5d0e-9d67-0c6f1d1f7a11")


class Owner(msgspec.Struct, frozen=True):
    """Whom stored things belong to: the account that asked, and the person it asked for.

    ``account`` comes from the credential; ``subject`` is the end user the account names, or the account itself.
    """

    account: str
    subject: str

    @property
    def id(self) -> OwnerId:
        """The same pair always gives the same id; the length prefix keeps ``(a, bc)`` and ``(ab, c)`` apart."""
        return _owner_id(self.account, self.subject)


@lru_cache(1_024)
def _owner_id(account: str, subject: str) -> OwnerId:
    """Remembered, because a turn asks for it ten times."""
    return OwnerId(uuid5(_OWNERS, f"{len(account)}:{account}{subject}"))


class Ids(Protocol):
    """Makes identifiers."""

    def new(self) -> UUID:
        """A UUIDv7 (RFC 9562, section 5.7): later ones of one process sort after earlier ones."""
        ...
