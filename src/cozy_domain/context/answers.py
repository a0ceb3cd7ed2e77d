"""What an engine answered, checked and made into candidates (pure).

An engine may be somebody's plugin over a network. What does not keep the port's promises is not used at all: half an answer
of a lying engine is no better than none.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from cozy_domain.context.bundle import Candidate
from cozy_domain.context.recall import counted
from cozy_domain.knowledge import Found, KnowledgeQuery, Passage
from cozy_domain.memory import Fact, Recalled, RecallQuery
from cozy_domain.models.ports import TokenCounter
from cozy_domain.profile import Profile, Slot

LONGEST_TEXT = 32_000
"""Characters of one item: about 8,000 tokens of English, four times what the default budget of knowledge has."""
LONGEST_NAME = 1_000
MOST_SLOTS = 500

_SLOT = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


class LieError(Exception):
    """The answer breaks the promises of its port."""


def memory(
    answer: Sequence[Recalled], query: RecallQuery, priority: int, tokens: TokenCounter
) -> tuple[Candidate, ...]:
    """
    Raises:
        LieError: wrong types, too many, scores outside 0..1, oversized texts, another persona's facts.
    """
    _list_of(answer, Recalled, query.limit)
    return tuple(counted(_fact(recalled, query, priority), tokens) for recalled in answer)


def knowledge(
    answer: Sequence[Found], query: KnowledgeQuery, priority: int, tokens: TokenCounter
) -> tuple[Candidate, ...]:
    """
    Raises:
        LieError: wrong types, too many, scores outside 0..1, oversized texts, collections that were not asked for.
    """
    _list_of(answer, Found, query.limit)
    return tuple(counted(_passage(found, query, priority), tokens) for found in answer)


def profile(answer: Profile) -> Profile:
    """
    Raises:
        LieError: wrong types, too many slots, slots without a proper name or twice the same, oversized values.
    """
    _is(answer, Profile)
    _is(answer.version, int)
    _list_of(answer.slots, Slot, MOST_SLOTS)
    for slot in answer.slots:
        _text(slot.name, LONGEST_NAME)
        _must(_SLOT.fullmatch(slot.name) is not None)
        _text(slot.value, LONGEST_TEXT)
    _must(len({slot.name for slot in answer.slots}) == len(answer.slots))
    return answer


def _fact(recalled: Recalled, query: RecallQuery, priority: int) -> Candidate:
    fact = recalled.fact
    _is(fact, Fact)
    _is(fact.id, UUID)
    _is(fact.pinned, bool)
    _is(fact.at, datetime)
    _must(fact.at.tzinfo is not None)
    _must(query.persona is None or fact.persona == query.persona)
    _text(fact.text, LONGEST_TEXT)
    name = str(fact.id)
    return Candidate(
        source="memory",
        id=name,
        text=fact.text,
        score=_score(recalled.score),
        tokens=0,
        origin=name,
        pinned=fact.pinned,
        priority=priority,
        at_us=max(0, int(fact.at.timestamp() * 1_000_000)),
    )


def _passage(found: Found, query: KnowledgeQuery, priority: int) -> Candidate:
    passage = found.passage
    _is(passage, Passage)
    _must(passage.collection in query.collections)
    _text(passage.text, LONGEST_TEXT)
    for name in (passage.id, passage.source):
        _text(name, LONGEST_NAME)
    return Candidate(
        source="knowledge",
        id=passage.id,
        text=passage.text,
        score=_score(found.score),
        tokens=0,
        origin=f"{passage.source}#{passage.id}{_span(passage)}",
        priority=priority,
    )


def _span(passage: Passage) -> str:
    if passage.span is None:
        return ""
    _list_of(passage.span, int, 2)
    try:
        start, end = passage.span
    except ValueError:
        raise LieError from None
    _must(0 <= start <= end)
    return f"@{start}-{end}"


def _list_of(value: object, kind: type, most: int) -> None:
    if not isinstance(value, tuple) or len(value) > most:
        raise LieError
    for item in value:
        _is(item, kind)


def _text(value: object, longest: int) -> None:
    """Half a surrogate pair is no text: nothing can store or send it."""
    if not isinstance(value, str) or len(value) > longest:
        raise LieError
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LieError from None


def _score(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:  # false for NaN, too
        raise LieError
    return float(value)


def _is(value: object, kind: type) -> None:
    _must(isinstance(value, kind))


def _must(holds: bool) -> None:
    if not holds:
        raise LieError
