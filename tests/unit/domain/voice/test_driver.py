"""A call, from the caller's first sound to what is remembered of it."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import saying
from cozy_domain.voice.public import OutputStarted, ResponseDone, SessionActive, TurnCommitted
from tests.fixtures.voice import VoiceUnderTest

pytestmark = pytest.mark.virtual_time


async def test_a_question_is_answered_aloud_and_remembered() -> None:
    voice = VoiceUnderTest(heard=["What time is it?"])
    async with voice.call(saying("It is ", "noon.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        done = await call.until(ResponseDone)
    assert done.status == "completed"
    assert call.told(TurnCommitted)[0].text == "What time is it?"
    assert call.sounding()
    assert await voice.history() == [("user", "What time is it?"), ("agent", "It is noon.")]
