"""What is done ahead of the end of a turn: begun early, kept to itself, and dropped when the user goes on."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import saying
from cozy_domain.models.deltas import TextDelta
from cozy_domain.voice.public import (
    OutputStarted,
    ResponseCreated,
    ResponseDone,
    ResponseTextGrown,
    TurnCommitted,
)
from tests.fixtures.driven_calls import CallUnderTest, Spoken, VoiceUnderTest

pytestmark = pytest.mark.virtual_time

DOUBTFUL = "turn on the lamp"
"""No recogniser's full stop, and nothing that is missing: whether it is over, only time tells (0.8 s)."""
FIRST, REST = "The lamp is on. ", "It is warm."
LOAD_IS_SEEN_S = 1.5
UNDECIDED_S = 0.5
"""Of quiet after it: the stretch is understood, and the turn is not committed."""


async def say_something_doubtful(call: CallUnderTest) -> None:
    await call.quiet(LOAD_IS_SEEN_S)
    await call.say(1.0)
    await call.quiet(UNDECIDED_S)
    assert not call.told(TurnCommitted)


async def test_model_and_voice_are_at_work_before_the_turn_is_over_and_nobody_notices() -> None:
    voice = VoiceUnderTest(heard=[DOUBTFUL], voices=[spoken := Spoken()])
    async with voice.call(saying(FIRST, REST)) as call:
        await say_something_doubtful(call)
        assert len(voice.chat.model.requests) == 1
        assert spoken.texts == [FIRST.strip()]
        assert not voice.chat.conversations.turns
        assert not call.told(ResponseCreated)
        assert not call.told(ResponseTextGrown)
        assert not call.sounding()
        done = await call.until(ResponseDone)
    assert len(voice.chat.model.requests) == 1
    assert spoken.texts == [FIRST.strip(), REST]
    assert call.at(OutputStarted) - call.at(TurnCommitted) <= 0.05
    assert done.text == FIRST + REST
    assert await voice.history() == [("user", DOUBTFUL), ("agent", FIRST + REST)]


@pytest.mark.parametrize(
    ("percent", "asked", "made"), [(59, 1, [FIRST.strip()]), (60, 1, []), (89, 1, []), (90, 0, [])]
)
async def test_a_busy_machine_makes_no_sound_ahead_and_a_full_one_asks_no_model(
    percent: int, asked: int, made: list[str]
) -> None:
    voice = VoiceUnderTest(heard=[DOUBTFUL], voices=[spoken := Spoken()], percent=percent)
    async with voice.call(saying(FIRST, REST)) as call:
        await say_something_doubtful(call)
        assert len(voice.chat.model.requests) == asked
        assert spoken.texts == made
        await call.until(ResponseDone)
    assert len(voice.chat.model.requests) == 1
    assert await voice.history() == [("user", DOUBTFUL), ("agent", FIRST + REST)]


async def test_what_was_begun_ahead_is_dropped_when_the_user_goes_on() -> None:
    voice = VoiceUnderTest(heard=[DOUBTFUL, "in the kitchen"])
    never = asyncio.Event()
    async with voice.call((TextDelta(FIRST), never), saying("Which one?")) as call:
        await say_something_doubtful(call)
        assert voice.chat.model.streaming == 1
        await call.say(1.0)
        assert voice.chat.model.streaming == 0
        done = await call.until(ResponseDone)
    assert [it.text for it in call.told(TurnCommitted)] == [f"{DOUBTFUL} in the kitchen"]
    assert {it.text for it in call.told(ResponseTextGrown)} == {"Which one?"}
    assert call.told(ResponseDone) == [done]
    assert len(call.sounding()) == 1
    assert len(voice.chat.conversations.turns) == 1
    assert await voice.history() == [("user", f"{DOUBTFUL} in the kitchen"), ("agent", "Which one?")]
