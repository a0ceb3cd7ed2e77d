"""Profiles in this process's own memory."""

from cozy_domain.ids import Owner
from cozy_domain.profile import Profile, Slot


class InMemoryProfileStore:
    """A `ProfileStore` that ends with the process. Setting a slot to the value it has is no change."""

    def __init__(self) -> None:
        self._profiles: dict[Owner, Profile] = {}

    async def read(self, owner: Owner) -> Profile:
        return self._profiles.get(owner, Profile())

    async def put(self, owner: Owner, slot: Slot) -> None:
        before = self._profiles.get(owner, Profile())
        others = [it for it in before.slots if it.name != slot.name]
        slots = tuple(sorted([*others, slot] if slot.value else others, key=lambda it: it.name))
        if slots != before.slots:
            self._profiles[owner] = Profile(slots=slots, version=before.version + 1)
