"""What every ProfileStore promises."""

import asyncio
from abc import ABC, abstractmethod

import pytest

from cozy_adapters.inmemory.profile import InMemoryProfileStore
from cozy_domain.ids import Owner
from cozy_domain.profile import Profile, ProfileStore, Slot

BOB, EVE = Owner("acme", "bob"), Owner("acme", "eve")


class ProfileStoreContract(ABC):
    """An adapter passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def profiles(self) -> ProfileStore:
        """Empty."""

    async def test_an_unknown_owner_has_an_empty_profile(self, profiles: ProfileStore) -> None:
        assert await profiles.read(BOB) == Profile(slots=(), version=0)

    async def test_slots_come_by_name_whatever_was_set_first(self, profiles: ProfileStore) -> None:
        await profiles.put(BOB, Slot("name", "Bob"))
        await profiles.put(BOB, Slot("likes.drink", "绿茶"))
        assert (await profiles.read(BOB)).slots == (Slot("likes.drink", "绿茶"), Slot("name", "Bob"))

    async def test_setting_a_slot_again_replaces_its_value(self, profiles: ProfileStore) -> None:
        await profiles.put(BOB, Slot("name", "Bob"))
        await profiles.put(BOB, Slot("name", "Robert"))
        assert (await profiles.read(BOB)).slots == (Slot("name", "Robert"),)

    async def test_an_empty_value_removes_the_slot(self, profiles: ProfileStore) -> None:
        await profiles.put(BOB, Slot("city", "Rome"))
        await profiles.put(BOB, Slot("name", "Bob"))
        await profiles.put(BOB, Slot("city", ""))
        assert (await profiles.read(BOB)).slots == (Slot("name", "Bob"),)

    async def test_the_version_counts_changes(self, profiles: ProfileStore) -> None:
        for slot in (Slot("name", "Bob"), Slot("name", "Robert"), Slot("city", "Rome"), Slot("city", "")):
            await profiles.put(BOB, slot)
        assert (await profiles.read(BOB)).version == 4

    async def test_what_changes_nothing_is_not_counted(self, profiles: ProfileStore) -> None:
        await profiles.put(BOB, Slot("name", "Bob"))
        await profiles.put(BOB, Slot("name", "Bob"))
        await profiles.put(BOB, Slot("city", ""))
        assert await profiles.read(BOB) == Profile(slots=(Slot("name", "Bob"),), version=1)

    async def test_owners_have_profiles_of_their_own(self, profiles: ProfileStore) -> None:
        await profiles.put(BOB, Slot("name", "Bob"))
        assert await profiles.read(EVE) == Profile()
        assert await profiles.read(Owner("other", "bob")) == Profile()

    async def test_slots_set_at_once_are_all_kept(self, profiles: ProfileStore) -> None:
        await asyncio.gather(*(profiles.put(BOB, Slot(f"s{at}", "x")) for at in range(10)))
        profile = await profiles.read(BOB)
        assert len(profile.slots) == 10
        assert profile.version == 10


class TestInMemoryProfileStore(ProfileStoreContract):
    @pytest.fixture
    def profiles(self) -> ProfileStore:
        return InMemoryProfileStore()
