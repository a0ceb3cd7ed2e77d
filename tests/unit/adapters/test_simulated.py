"""Engines that only take time."""

import asyncio

import pytest

from cozy_adapters.inmemory.simulated import (
    BEGUN,
    WHOLE,
    SimulatedLanguageModel,
    SimulatedSpeechToText,
    SimulatedTextToSpeech,
)
from cozy_domain.audio import HEARING_RATE, SPEAKING_RATE, Pcm
from cozy_domain.speech.ports import Hearing, Voicing
from tests.fixtures.chat import ChatUnderTest, asking, events_of, text_in
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time


def seconds() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("length", "text"), [(2 * HEARING_RATE, WHOLE), (HEARING_RATE // 2, BEGUN)])
async def test_a_long_sound_is_a_sentence_and_a_short_one_its_beginning(length: int, text: str) -> None:
    recogniser = SimulatedSpeechToText(0.15)
    assert (await recogniser.transcribe(Pcm(bytes(2 * length)), Hearing())).text == text
    assert seconds() == pytest.approx(0.15)
    async with recogniser.listen(Hearing()) as heard:
        assert await heard.feed(bytes(2 * length)) == text
        assert seconds() == pytest.approx(0.15)
        assert (await heard.finish()).text == text
    assert seconds() == pytest.approx(0.30)


async def test_an_answer_carries_the_number_of_its_turn() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    chat.model = SimulatedLanguageModel(0.25)  # type: ignore[assignment]
    async with chat.running() as pipeline:
        for number in (1, 2, 3):
            assert f"answer {number}." in text_in(await events_of(pipeline, asking("and?")))
    assert seconds() == pytest.approx(0.75)


async def test_its_voice_is_heard_after_its_delay_and_knows_where_it_is() -> None:
    async with SimulatedTextToSpeech(0.15).speak("Hello there.", Voicing()) as sounds:
        made = [it async for it in sounds]
    assert seconds() == pytest.approx(0.15)
    assert sum(len(it.samples) for it in made) == 12 * SPEAKING_RATE // 20 * 2
    assert [mark.index for it in made for mark in it.marks] == [0, 8]
