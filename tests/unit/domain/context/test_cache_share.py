"""How much of each prompt a provider's cache already holds, over a long dialogue."""

from collections.abc import Callable
from random import Random

from cozy_domain.context.bundle import Gathered
from cozy_domain.context.prompt import build
from cozy_domain.messages import AssistantMessage, Message, UserMessage
from cozy_domain.persona.persona import Budget, Budgets, Prompt
from cozy_domain.sessions.session import PastTurn
from tests.unit.domain.context import givens
from tests.unit.domain.context.givens import COUNTER, anna, candidate, published, turn

TURNS = 150
CACHE_STEP = 128
"""Providers cache whole steps of so many tokens (OpenAI's guide on prompt caching)."""
HEAD_WORDS = 850
HISTORY_TOKENS = 2_000


def text(chance: Random, words: int) -> str:
    return " ".join(f"w{chance.randrange(5_000)}" for _ in range(words))


def shared_tokens(before: tuple[Message, ...], now: tuple[Message, ...]) -> int:
    tokens = 0
    for one, other in zip(before, now, strict=False):
        if one != other:
            break
        tokens += COUNTER.count_messages((other,))
    return tokens // CACHE_STEP * CACHE_STEP


def stable_share(recalled: Callable[[Random, int], int]) -> float:
    """The cached part of all prompt tokens of a dialogue in which each turn recalls so many new items."""
    chance = Random(7)
    budgets = Budgets(history=Budget(floor=HISTORY_TOKENS, ceiling=HISTORY_TOKENS, priority=40))
    persona = published(anna(prompt=Prompt(system=text(chance, HEAD_WORDS // 2)), budgets=budgets))
    past: list[PastTurn] = []
    before: tuple[Message, ...] = ()
    since, cached, total = 0, 0, 0
    for seq in range(1, TURNS + 1):
        found = tuple(
            candidate(f"{seq}-{at}", text(chance, 6), score=chance.random())
            for at in range(recalled(chance, seq))
        )
        asked = UserMessage(content=text(chance, 14))
        history = tuple(it for it in past if it.seq >= since)
        bundle = build(
            givens.given(
                persona=persona,
                gathered=Gathered(history=history, candidates=found),
                new=(asked,),
                history_from=since,
            ),
            COUNTER,
        )
        cached += shared_tokens(before, bundle.messages)
        total += bundle.prompt_tokens
        before, since = bundle.messages, bundle.history_from
        past.append(turn(seq, asked, AssistantMessage(content=text(chance, 14))))
    return cached / total


def test_three_quarters_of_a_long_dialogue_come_from_the_cache() -> None:
    assert stable_share(lambda chance, seq: 10) >= 0.75


def test_it_does_not_depend_on_how_much_each_turn_recalls() -> None:
    assert stable_share(lambda chance, seq: chance.randrange(11)) >= 0.75
