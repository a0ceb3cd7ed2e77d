"""What a client is told of a stream, and the sound that waits to be heard."""

import asyncio

import msgspec

from cozy_domain.speech.detection import SpeechStarted
from cozy_domain.speech.listen import Final, ListeningEvent, Partial
from cozy_domain.speech.transcript import Transcript
from cozy_server.openai.listening import WAITING_BYTES, Waiting, told


def as_json(event: ListeningEvent) -> object:
    message = told(event)
    return message and msgspec.json.decode(message)


def test_samples_are_told_as_seconds() -> None:
    assert as_json(Partial("Good", 8_000)) == {
        "type": "transcript",
        "text": "Good",
        "start": 0.5,
        "is_partial": True,
    }
    assert as_json(Final(Transcript("Good.", "en"), 8_000, 24_000)) == {
        "type": "transcript_final",
        "text": "Good.",
        "start": 0.5,
        "end": 1.5,
        "language": "en",
        "is_partial": False,
    }


def test_a_recogniser_that_is_not_to_be_trusted_says_so() -> None:
    message = told(Final(Transcript("Good.", caution="demo quality"), 0, 1))
    assert message is not None
    assert msgspec.json.decode(message)["caution"] == "demo quality"


def test_edges_of_speech_are_not_told() -> None:
    assert as_json(SpeechStarted(0)) is None


async def test_sound_waits_until_it_is_heard_and_only_so_much_of_it() -> None:
    waiting = Waiting()

    async def fill() -> int:
        for count in range(1_000):
            await waiting.put(bytes(10_000))
            filled.append(count)
        return len(filled)

    filled: list[int] = []
    filling = asyncio.create_task(fill())
    for _ in range(2_000):
        await asyncio.sleep(0)
    assert WAITING_BYTES <= len(filled) * (10_000 + 64) < WAITING_BYTES + 20_000
    for _ in range(1_000):
        assert await waiting.get() == bytes(10_000)
    assert await filling == 1_000


async def test_many_small_pieces_are_no_way_around_it() -> None:
    waiting = Waiting()
    filled = 0
    try:
        async with asyncio.timeout(0.2):
            while True:
                await waiting.put(b"")
                filled += 1
    except TimeoutError:
        pass
    assert filled * 64 < WAITING_BYTES + 1_000


async def test_what_waits_at_the_end_is_still_heard() -> None:
    waiting = Waiting()
    await waiting.put(b"one")
    waiting.close()
    assert [await waiting.get(), await waiting.get(), await waiting.get()] == [b"one", None, None]


async def test_who_waits_for_sound_learns_that_there_will_be_none() -> None:
    waiting = Waiting()
    getting = asyncio.create_task(waiting.get())
    await asyncio.sleep(0)
    waiting.close()
    assert await getting is None
