"""Who asks."""

from typing import Literal
from uuid import UUID

import msgspec

from cozy_domain.ids import Owner

Role = Literal["user", "admin"]


class Caller(msgspec.Struct, frozen=True):
    """The account behind a credential. ``serves_many``: its key serves many people, each named by a subject."""

    account: str
    role: Role = "user"
    serves_many: bool = False
    key: UUID | None = None

    def owner(self, subject: str | None) -> Owner:
        return Owner(account=self.account, subject=subject or self.account)

    def is_personal(self, subject: str | None) -> bool:
        """Whether a session, memory and profile may be used: not when it is unknown whose they would be."""
        return bool(subject) or not self.serves_many
