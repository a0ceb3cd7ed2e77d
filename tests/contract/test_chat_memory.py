"""What every ChatMemory promises."""

import asyncio
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cozy_adapters.inmemory.memory import InMemoryChatMemory
from cozy_domain.ids import Owner, PersonaId
from cozy_domain.memory import ChatMemory, Fact, Recalled, RecallQuery

BOB, EVE = Owner("acme", "bob"), Owner("acme", "eve")
ANNA, OTTO = PersonaId("anna"), PersonaId("otto")
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def fact(number: int, text: str, persona: PersonaId | None = None, *, days: int = 0) -> Fact:
    return Fact(id=UUID(int=number), text=text, at=DAY + timedelta(days=days), persona=persona)


def asking(
    text: str, limit: int = 10, persona: PersonaId | None = None, min_score: float = 0.0
) -> RecallQuery:
    return RecallQuery(text=text, limit=limit, persona=persona, min_score=min_score)


def numbers(recalled: tuple[Recalled, ...]) -> list[int]:
    return [it.fact.id.int for it in recalled]


class ChatMemoryContract(ABC):
    """An adapter passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def memory(self) -> ChatMemory:
        """Empty."""

    @pytest.fixture
    async def filled(self, memory: ChatMemory) -> ChatMemory:
        await memory.remember(BOB, fact(1, "Bob likes green tea in the morning.", ANNA))
        await memory.remember(BOB, fact(2, "Bob has a sister in Oslo.", OTTO))
        await memory.remember(BOB, fact(3, "鲍勃喜欢绿茶。", ANNA))
        return memory

    async def test_an_empty_memory_recalls_nothing(self, memory: ChatMemory) -> None:
        assert await memory.recall(BOB, asking("tea")) == ()

    async def test_a_fact_is_recalled_whole_by_its_words(self, filled: ChatMemory) -> None:
        (found,) = await filled.recall(BOB, asking("What teas does he like?"))
        assert found.fact == fact(1, "Bob likes green tea in the morning.", ANNA)

    async def test_a_chinese_fact_is_recalled_by_its_words(self, filled: ChatMemory) -> None:
        assert numbers(await filled.recall(BOB, asking("我想喝绿茶"))) == [3]

    async def test_what_has_nothing_in_common_is_not_recalled(self, filled: ChatMemory) -> None:
        assert await filled.recall(BOB, asking("volcano")) == ()

    async def test_an_empty_question_recalls_nothing(self, filled: ChatMemory) -> None:
        assert await filled.recall(BOB, asking("")) == ()

    async def test_scores_are_between_0_and_1_and_best_come_first(self, filled: ChatMemory) -> None:
        found = await filled.recall(BOB, asking("Does Bob like green tea?"))
        scores = [it.score for it in found]
        assert numbers(found)[0] == 1
        assert len(found) == 2
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)

    async def test_no_more_than_asked_for_are_recalled(self, filled: ChatMemory) -> None:
        assert numbers(await filled.recall(BOB, asking("Does Bob like green tea?", limit=1))) == [1]

    async def test_what_scores_too_low_is_not_recalled(self, filled: ChatMemory) -> None:
        best, worse = await filled.recall(BOB, asking("Does Bob like green tea?"))
        between = (best.score + worse.score) / 2
        assert numbers(await filled.recall(BOB, asking("Does Bob like green tea?", min_score=between))) == [1]

    async def test_a_persona_may_recall_only_what_it_learned(self, filled: ChatMemory) -> None:
        assert numbers(await filled.recall(BOB, asking("Bob", persona=OTTO))) == [2]
        assert numbers(await filled.recall(BOB, asking("Bob", persona=ANNA))) == [1]

    async def test_the_same_id_again_replaces(self, filled: ChatMemory) -> None:
        await filled.remember(BOB, fact(1, "Bob prefers coffee.", ANNA))
        assert await filled.recall(BOB, asking("morning tea")) == ()
        assert numbers(await filled.recall(BOB, asking("coffee"))) == [1]

    async def test_what_is_forgotten_is_gone(self, filled: ChatMemory) -> None:
        await filled.forget(BOB, UUID(int=1))
        assert await filled.recall(BOB, asking("morning tea")) == ()
        assert numbers(await filled.recall(BOB, asking("sister"))) == [2]

    async def test_forgetting_what_is_not_there_does_nothing(self, filled: ChatMemory) -> None:
        await filled.forget(BOB, UUID(int=99))
        await filled.forget(EVE, UUID(int=1))
        assert numbers(await filled.recall(BOB, asking("morning tea"))) == [1]

    async def test_nobody_recalls_what_belongs_to_another(self, filled: ChatMemory) -> None:
        assert await filled.recall(EVE, asking("Bob likes green tea")) == ()
        assert await filled.recall(Owner("other", "bob"), asking("Bob likes green tea")) == ()

    async def test_the_same_id_of_another_owner_is_another_fact(self, filled: ChatMemory) -> None:
        await filled.remember(EVE, fact(1, "Eve likes black tea."))
        assert (await filled.recall(BOB, asking("tea")))[0].fact.text.startswith("Bob")
        assert (await filled.recall(EVE, asking("tea")))[0].fact.text.startswith("Eve")

    async def test_anothers_facts_change_no_score(self, filled: ChatMemory) -> None:
        before = await filled.recall(BOB, asking("Does Bob like green tea?"))
        for number in range(20):
            await filled.remember(EVE, fact(100 + number, "Everybody talks about green tea."))
        assert await filled.recall(BOB, asking("Does Bob like green tea?")) == before

    async def test_of_equal_facts_the_newer_comes_first(self, memory: ChatMemory) -> None:
        await memory.remember(BOB, fact(1, "He likes tea.", days=1))
        await memory.remember(BOB, fact(2, "He likes tea.", days=2))
        assert numbers(await memory.recall(BOB, asking("tea"))) == [2, 1]

    async def test_a_call_may_be_cancelled_and_the_memory_used_again(self, filled: ChatMemory) -> None:
        call = asyncio.ensure_future(filled.recall(BOB, asking("tea")))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert numbers(await filled.recall(BOB, asking("morning tea"))) == [1]

    async def test_many_calls_at_once_get_their_own_answers(self, filled: ChatMemory) -> None:
        answers = await asyncio.gather(*(filled.recall(BOB, asking(it)) for it in ("sister", "morning") * 5))
        assert [numbers(it) for it in answers] == [[2], [1]] * 5


class TestInMemoryChatMemory(ChatMemoryContract):
    @pytest.fixture
    def memory(self) -> ChatMemory:
        return InMemoryChatMemory()
