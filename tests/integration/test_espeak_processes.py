"""The processes of the offline voice: they are there before the first text, and outlive those who leave."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from cozy_adapters.espeak.speaker import EspeakTextToSpeech
from cozy_domain.speech.ports import Voicing

PATIENCE_S = 60.0
LONG = "The quick brown fox jumps over the lazy dog, again and again, " * 10


@pytest.fixture
async def voice() -> AsyncIterator[EspeakTextToSpeech]:
    voice = EspeakTextToSpeech(at_once=1)
    await voice.aopen()
    yield voice
    await voice.aclose()


async def said(voice: EspeakTextToSpeech, text: str) -> bytes:
    async with asyncio.timeout(PATIENCE_S), voice.speak(text, Voicing()) as sounds:
        return b"".join([sound.samples async for sound in sounds])


async def leave_amid(voice: EspeakTextToSpeech) -> None:
    """Asks for a long text, and goes once it was handed to the process."""
    speaking = asyncio.create_task(said(voice, LONG))
    await asyncio.sleep(0)
    assert not voice.pids
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking


async def test_all_processes_are_there_before_the_first_text() -> None:
    voice = EspeakTextToSpeech(at_once=2)
    await voice.aopen()
    try:
        assert len(set(voice.pids)) == 2
        before = set(voice.pids)
        assert await said(voice, "Hello.")
        assert set(voice.pids) == before
    finally:
        await voice.aclose()
    assert voice.pids == ()


async def test_who_leaves_amid_a_text_leaves_the_process_to_the_next_who_hears_only_their_own(
    voice: EspeakTextToSpeech,
) -> None:
    alone = len(await said(voice, "Hello."))  # its samples depend a little on what was said before
    process = voice.pids
    for _ in range(5):
        await leave_amid(voice)
        assert voice.pids == process
        assert len(await said(voice, "Hello.")) == pytest.approx(alone, rel=0.1)
        assert voice.pids == process


async def test_a_process_that_is_stuck_with_what_nobody_waits_for_is_replaced(
    voice: EspeakTextToSpeech,
) -> None:
    (stuck,) = voice.pids
    os.kill(stuck, signal.SIGSTOP)
    await leave_amid(voice)
    assert voice.pids == (stuck,)
    assert await said(voice, "Hello.")
    assert voice.pids
    assert stuck not in voice.pids


async def test_a_process_that_two_in_a_row_have_left_is_ended(voice: EspeakTextToSpeech) -> None:
    (stuck,) = voice.pids
    os.kill(stuck, signal.SIGSTOP)
    await leave_amid(voice)
    await leave_amid(voice)
    assert voice.pids == ()
    assert await said(voice, "Hello.")
