"""What every KnowledgeBase promises."""

import asyncio
from abc import ABC, abstractmethod

import pytest

from cozy_adapters.inmemory.knowledge import InMemoryKnowledgeBase
from cozy_domain.ids import Owner
from cozy_domain.knowledge import Found, KnowledgeBase, KnowledgeQuery, Passage

BOB, EVE = Owner("acme", "bob"), Owner("acme", "eve")


def passage(id: str, text: str, source: str = "rules.md", collection: str = "house") -> Passage:
    return Passage(id=id, text=text, source=source, collection=collection, span=(0, len(text)))


def asking(text: str, *collections: str, limit: int = 10) -> KnowledgeQuery:
    return KnowledgeQuery(text=text, collections=collections or ("house",), limit=limit)


def ids(found: tuple[Found, ...]) -> list[str]:
    return [it.passage.id for it in found]


class KnowledgeBaseContract(ABC):
    """An adapter passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def knowledge(self) -> KnowledgeBase:
        """Empty."""

    @pytest.fixture
    async def filled(self, knowledge: KnowledgeBase) -> KnowledgeBase:
        await knowledge.add(passage("tea", "Tea is served at five in the garden."))
        await knowledge.add(passage("dogs", "Dogs stay outside.", source="pets.md"))
        await knowledge.add(passage("ships", "Ships leave at five.", collection="harbour"))
        await knowledge.add(passage("bobs", "Bob keeps his tea in the cellar."), BOB)
        return knowledge

    async def test_an_empty_knowledge_base_finds_nothing(self, knowledge: KnowledgeBase) -> None:
        assert await knowledge.search(BOB, asking("tea")) == ()

    async def test_a_passage_is_found_whole_by_its_words(self, filled: KnowledgeBase) -> None:
        (found,) = await filled.search(BOB, asking("Where do dogs stay?"))
        assert found.passage == passage("dogs", "Dogs stay outside.", source="pets.md")

    async def test_a_chinese_passage_is_found_by_its_words(self, filled: KnowledgeBase) -> None:
        await filled.add(passage("zh", "下午五点在花园里喝茶。"))
        assert ids(await filled.search(BOB, asking("花园在哪里"))) == ["zh"]

    async def test_what_has_nothing_in_common_is_not_found(self, filled: KnowledgeBase) -> None:
        assert await filled.search(BOB, asking("volcano")) == ()

    async def test_only_named_collections_are_searched(self, filled: KnowledgeBase) -> None:
        assert ids(await filled.search(BOB, asking("at five", "house"))) == ["tea"]
        assert ids(await filled.search(BOB, asking("at five", "harbour"))) == ["ships"]
        assert sorted(ids(await filled.search(BOB, asking("at five", "house", "harbour")))) == [
            "ships",
            "tea",
        ]
        none = KnowledgeQuery(text="at five", collections=(), limit=10)
        assert await filled.search(BOB, none) == ()

    async def test_shared_passages_are_found_by_all_and_own_ones_by_their_owner(
        self, filled: KnowledgeBase
    ) -> None:
        assert sorted(ids(await filled.search(BOB, asking("tea")))) == ["bobs", "tea"]
        assert ids(await filled.search(EVE, asking("tea"))) == ["tea"]

    async def test_anothers_passages_change_no_score(self, filled: KnowledgeBase) -> None:
        before = await filled.search(EVE, asking("tea at five"))
        for number in range(20):
            await filled.add(passage(f"own{number}", "Tea, tea, tea at five."), BOB)
        assert await filled.search(EVE, asking("tea at five")) == before

    async def test_scores_are_between_0_and_1_and_best_come_first(self, filled: KnowledgeBase) -> None:
        found = await filled.search(BOB, asking("Is tea served in the garden?"))
        scores = [it.score for it in found]
        assert ids(found) == ["tea", "bobs"]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)

    async def test_no_more_than_asked_for_are_found(self, filled: KnowledgeBase) -> None:
        assert ids(await filled.search(BOB, asking("Is tea served in the garden?", limit=1))) == ["tea"]

    async def test_the_same_id_again_replaces(self, filled: KnowledgeBase) -> None:
        await filled.add(passage("tea", "Coffee is served at six."))
        assert ids(await filled.search(EVE, asking("tea"))) == []
        assert ids(await filled.search(EVE, asking("coffee"))) == ["tea"]

    async def test_the_same_id_again_replaces_also_what_stood_in_another_collection(
        self, filled: KnowledgeBase
    ) -> None:
        await filled.add(passage("tea", "Tea is served at sea.", collection="harbour"))
        assert ids(await filled.search(EVE, asking("tea", "house"))) == []
        assert ids(await filled.search(EVE, asking("tea", "harbour"))) == ["tea"]

    async def test_what_is_read_together_scores_as_if_it_stood_in_one_collection(
        self, knowledge: KnowledgeBase
    ) -> None:
        texts = {"tea": "Tea at five.", "ships": "Ships leave at five.", "bobs": "Bob has tea at sea."}
        for id, text in texts.items():
            await knowledge.add(passage(id, text, collection="one"))
        await knowledge.add(passage("tea", texts["tea"], collection="two"), EVE)
        await knowledge.add(passage("ships", texts["ships"], collection="three"), EVE)
        await knowledge.add(passage("bobs", texts["bobs"], collection="three"), EVE)
        one = await knowledge.search(EVE, asking("tea at sea", "one"))
        several = await knowledge.search(EVE, asking("tea at sea", "two", "three", "two"))
        assert [it.score for it in one] == [it.score for it in several]
        assert ids(one) == ids(several)

    async def test_a_source_is_removed_with_all_its_passages_and_nothing_else(
        self, filled: KnowledgeBase
    ) -> None:
        await filled.add(passage("tea2", "Tea is free."))
        await filled.remove("house", "rules.md")
        left = await filled.search(EVE, asking("tea dogs five", "house", "harbour"))
        assert sorted(ids(left)) == ["dogs", "ships"]
        assert ids(await filled.search(BOB, asking("tea"))) == ["bobs"]

    async def test_an_owners_source_is_removed_apart_from_the_shared_one(self, filled: KnowledgeBase) -> None:
        await filled.remove("house", "rules.md", BOB)
        assert ids(await filled.search(BOB, asking("tea"))) == ["tea"]

    async def test_removing_what_is_not_there_does_nothing(self, filled: KnowledgeBase) -> None:
        await filled.remove("house", "nowhere.md")
        await filled.remove("nowhere", "rules.md", EVE)
        assert sorted(ids(await filled.search(BOB, asking("tea")))) == ["bobs", "tea"]

    async def test_a_call_may_be_cancelled_and_the_base_used_again(self, filled: KnowledgeBase) -> None:
        call = asyncio.ensure_future(filled.search(EVE, asking("tea")))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert ids(await filled.search(EVE, asking("tea"))) == ["tea"]


class TestInMemoryKnowledgeBase(KnowledgeBaseContract):
    @pytest.fixture
    def knowledge(self) -> KnowledgeBase:
        return InMemoryKnowledgeBase()
