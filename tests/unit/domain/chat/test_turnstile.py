"""Who goes in, and when."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import saying
from cozy_domain.chat.parts import ChatLimits
from cozy_domain.chat.turnstile import Passage, Turnstile
from cozy_domain.errors import MissingError
from cozy_domain.models.deltas import TextDelta
from cozy_domain.sessions.turn import IdempotencyKey
from tests.fixtures.chat import ChatUnderTest, asking, events_of, text_in, until
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time

NARROW = ChatLimits(turns_entering=1, entering_s=1_000.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def pass_through(turnstile: Turnstile, name: str, order: list[str], inside_s: float) -> None:
    passage = await turnstile.enter()
    order.append(name)
    await asyncio.sleep(inside_s)
    passage.end()


async def test_only_so_many_are_inside_and_they_go_in_as_they_came() -> None:
    turnstile, order = Turnstile(2, 100.0), list[str]()
    began = now()
    await asyncio.gather(*(pass_through(turnstile, name, order, 1.0) for name in "abcde"))
    assert order == [*"abcde"]
    assert now() - began == pytest.approx(3.0)


async def test_a_place_that_is_given_back_twice_is_one_place() -> None:
    turnstile = Turnstile(1, 100.0)
    first = await turnstile.enter()
    first.end()
    first.end()
    await turnstile.enter()
    other = asyncio.create_task(turnstile.enter())
    await asyncio.sleep(1)
    assert not other.done()
    other.cancel()
    await asyncio.wait((other,))


async def test_nobody_waits_longer_than_the_patience() -> None:
    turnstile = Turnstile(1, 0.5)
    await turnstile.enter()
    began = now()
    await turnstile.enter()
    assert now() - began == pytest.approx(0.5)


async def test_who_lost_patience_makes_no_place_when_it_has_passed() -> None:
    turnstile = Turnstile(1, 0.5)
    await turnstile.enter()
    impatient = await turnstile.enter()
    began = now()
    waiting = asyncio.create_task(turnstile.enter())
    await asyncio.sleep(0.1)
    impatient.end()
    await waiting
    assert now() - began == pytest.approx(0.5)


async def test_who_goes_away_while_it_waits_takes_no_place() -> None:
    turnstile = Turnstile(1, 100.0)
    first = await turnstile.enter()
    gone = asyncio.create_task(turnstile.enter())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait((gone,))
    first.end()
    assert isinstance(await turnstile.enter(), Passage)


async def test_who_goes_away_in_the_moment_it_is_let_in_lets_in_the_next() -> None:
    turnstile = Turnstile(1, 100.0)
    first = await turnstile.enter()
    gone, second = asyncio.create_task(turnstile.enter()), asyncio.create_task(turnstile.enter())
    await asyncio.sleep(0)
    first.end()
    gone.cancel()
    await asyncio.wait((gone,))
    assert isinstance(await second, Passage)
    assert gone.cancelled()


async def test_a_turn_makes_room_as_soon_as_it_asks_its_model() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=NARROW)
    release = asyncio.Event()
    async with chat.running((release, TextDelta("late")), saying("soon")) as pipeline:
        began = now()
        first = asyncio.create_task(events_of(pipeline, asking("one", session=None)))
        await until(lambda: chat.model.streaming == 1)
        assert text_in(await events_of(pipeline, asking("two", session=None))) == "soon"
        assert now() - began < 1
        release.set()
        await first


async def test_a_turn_that_is_refused_makes_room() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=NARROW)
    async with chat.running(saying("hello")) as pipeline:
        with pytest.raises(MissingError):
            await events_of(pipeline, asking("hi", model="nobody", session=None))
        began = now()
        assert text_in(await events_of(pipeline, asking("hi", session=None))) == "hello"
        assert now() - began < 1


async def test_a_turn_that_waits_for_one_with_its_key_makes_room() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=NARROW)
    asked = asking("hi", session=None, idempotency=IdempotencyKey("chat", "k", "digest"))
    release = asyncio.Event()
    async with chat.running((TextDelta("first"), release, TextDelta(".")), saying("other")) as pipeline:
        first = asyncio.create_task(events_of(pipeline, asked))
        await until(lambda: chat.model.streaming == 1)
        again = asyncio.create_task(events_of(pipeline, asked))
        await asyncio.sleep(0.5)
        began = now()
        assert text_in(await events_of(pipeline, asking("hello", session=None))) == "other"
        assert now() - began < 1
        release.set()
        assert text_in(await first) == text_in(await again) == "first."
