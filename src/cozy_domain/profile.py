"""Who the owner is: named slots (name, language, likes...), and the port that keeps them."""

from typing import Protocol

import msgspec

from cozy_domain.ids import Owner


class Slot(msgspec.Struct, frozen=True):
    """``name`` as ``topic`` or ``topic.detail``, lower snake case."""

    name: str
    value: str


class Profile(msgspec.Struct, frozen=True):
    """``version`` counts changes, from 0 for an empty one."""

    slots: tuple[Slot, ...] = ()
    version: int = 0


class ProfileStore(Protocol):
    """Profiles by owner. Every method raises ``StorageUnavailableError`` when the engine does not answer."""

    async def read(self, owner: Owner) -> Profile:
        """The owner's profile, slots by name; empty when there is none."""
        ...

    async def put(self, owner: Owner, slot: Slot) -> None:
        """Sets one slot; an empty value removes it."""
        ...
