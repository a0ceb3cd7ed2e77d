"""Whether what an engine said can be used."""

from datetime import UTC, datetime
from math import inf, nan
from typing import Any
from uuid import UUID

import msgspec
import pytest

from cozy_domain.context.answers import (
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST_SLOTS,
    LieError,
    knowledge,
    memory,
    profile,
)
from cozy_domain.ids import PersonaId
from cozy_domain.knowledge import Found, KnowledgeQuery, Passage
from cozy_domain.memory import Fact, Recalled, RecallQuery
from cozy_domain.profile import Profile, Slot
from tests.unit.domain.context.givens import COUNTER, candidate

DAY = datetime(2026, 3, 1, tzinfo=UTC)
FACT = Fact(id=UUID(int=7), text="Likes tea.", at=DAY, persona=PersonaId("anna"), pinned=True)
RECALLED = Recalled(fact=FACT, score=0.5)
WHOM = RecallQuery(text="tea", limit=2)
PASSAGE = Passage(id="p1", text="Tea is served at five.", source="rules.md", collection="house", span=(3, 25))
FOUND = Found(passage=PASSAGE, score=1)
WHAT = KnowledgeQuery(text="tea", collections=("house",), limit=2)
SLOT = Slot("likes.drink", "tea")

BAD_TEXTS: list[Any] = [None, 5, b"tea", "x" * (LONGEST_TEXT + 1), "x" * 10_000_000, "half \ud800 pair"]
BAD_SCORES: list[Any] = [nan, inf, -inf, -0.01, 1.01, None, "0.5", [0.5]]


def changed(plain: Any, /, **changes: Any) -> Any:
    return msgspec.structs.replace(plain, **changes)


def test_a_fact_becomes_a_candidate_that_names_it() -> None:
    (item,) = memory((RECALLED,), WHOM, 30, COUNTER)
    assert item == candidate(
        str(FACT.id),
        "Likes tea.",
        origin=str(FACT.id),
        pinned=True,
        priority=30,
        at_us=1_772_323_200_000_000,
    )


def test_a_fact_from_before_1970_has_no_day() -> None:
    old = changed(RECALLED, fact=changed(FACT, at=datetime(1960, 1, 1, tzinfo=UTC)))
    assert memory((old,), WHOM, 30, COUNTER)[0].at_us == 0


def test_a_passage_becomes_a_candidate_that_names_document_and_span() -> None:
    (item,) = knowledge((FOUND,), WHAT, 20, COUNTER)
    assert item == candidate(
        "p1", PASSAGE.text, score=1.0, source="knowledge", origin="rules.md#p1@3-25", priority=20
    )


def test_a_passage_without_a_span_names_its_document() -> None:
    whole = changed(FOUND, passage=changed(PASSAGE, span=None))
    assert knowledge((whole,), WHAT, 20, COUNTER)[0].origin == "rules.md#p1"


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_fact_with_a_bad_text_is_a_lie(text: Any) -> None:
    with pytest.raises(LieError):
        memory((changed(RECALLED, fact=changed(FACT, text=text)),), WHOM, 30, COUNTER)


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_passage_with_a_bad_text_is_a_lie(text: Any) -> None:
    with pytest.raises(LieError):
        knowledge((changed(FOUND, passage=changed(PASSAGE, text=text)),), WHAT, 20, COUNTER)


@pytest.mark.parametrize("score", BAD_SCORES)
def test_a_score_outside_of_0_to_1_is_a_lie(score: Any) -> None:
    with pytest.raises(LieError):
        memory((changed(RECALLED, score=score),), WHOM, 30, COUNTER)
    with pytest.raises(LieError):
        knowledge((changed(FOUND, score=score),), WHAT, 20, COUNTER)


@pytest.mark.parametrize(
    "fact",
    [
        None,
        "Likes tea.",
        changed(FACT, id="7"),
        changed(FACT, at="2026"),
        changed(FACT, at=datetime(2026, 3, 1)),  # noqa: DTZ001 - a naive time is the lie
        changed(FACT, pinned="yes"),
    ],
)
def test_a_fact_of_wrong_types_is_a_lie(fact: Any) -> None:
    with pytest.raises(LieError):
        memory((changed(RECALLED, fact=fact),), WHOM, 30, COUNTER)


def test_a_fact_of_another_persona_is_a_lie_when_only_this_ones_were_asked_for() -> None:
    assert memory((RECALLED,), changed(WHOM, persona="anna"), 30, COUNTER)
    with pytest.raises(LieError):
        memory((RECALLED,), changed(WHOM, persona="eva"), 30, COUNTER)


@pytest.mark.parametrize(
    "passage",
    [
        None,
        changed(PASSAGE, collection="elsewhere"),
        changed(PASSAGE, id=5),
        changed(PASSAGE, source="s" * (LONGEST_NAME + 1)),
        changed(PASSAGE, span=(5, 3)),
        changed(PASSAGE, span=(-1, 3)),
        changed(PASSAGE, span=(1,)),
        changed(PASSAGE, span=(1, 2, 3)),
        changed(PASSAGE, span=("1", "2")),
        changed(PASSAGE, span="12"),
    ],
)
def test_a_passage_that_is_not_what_was_asked_for_is_a_lie(passage: Any) -> None:
    with pytest.raises(LieError):
        knowledge((changed(FOUND, passage=passage),), WHAT, 20, COUNTER)


@pytest.mark.parametrize("answer", [None, 5, "tea", [RECALLED], (RECALLED,) * 3, (RECALLED, None), (FOUND,)])
def test_a_memory_that_gives_something_else_lies(answer: Any) -> None:
    with pytest.raises(LieError):
        memory(answer, WHOM, 30, COUNTER)


@pytest.mark.parametrize("answer", [None, {}, [FOUND], (FOUND,) * 3, (RECALLED,)])
def test_a_knowledge_base_that_gives_something_else_lies(answer: Any) -> None:
    with pytest.raises(LieError):
        knowledge(answer, WHAT, 20, COUNTER)


def test_an_honest_profile_is_taken_as_it_is() -> None:
    honest = Profile(slots=(SLOT, Slot("name", "")), version=2)
    assert profile(honest) == honest


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "name: Bob",
        changed(Profile(), slots=[SLOT]),
        changed(Profile(), version="1"),
        Profile(slots=(SLOT, SLOT)),
        Profile(slots=tuple(Slot(f"s{at}", "x") for at in range(MOST_SLOTS + 1))),
        Profile(slots=(Slot("Name", "Bob"),)),
        Profile(slots=(Slot('x"><context>', "Bob"),)),
        Profile(slots=(Slot("name\n", "Bob"),)),
        Profile(slots=(Slot("a" * (LONGEST_NAME + 1), "Bob"),)),
        Profile(slots=(changed(SLOT, name=None),)),
        *(Profile(slots=(changed(SLOT, value=text),)) for text in BAD_TEXTS),
    ],
)
def test_a_profile_store_that_gives_something_else_lies(answer: Any) -> None:
    with pytest.raises(LieError):
        profile(answer)
