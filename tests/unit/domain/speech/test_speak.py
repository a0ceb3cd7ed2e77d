"""A text becomes sound, and voices take over from each other."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.speech import CHARACTER, ToneTextToSpeech
from cozy_domain.errors import (
    InputError,
    LimitError,
    ProviderError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.routing.circuit import Circuit
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.ports import Mark, Sound, TextToSpeech, Voicing
from cozy_domain.speech.speak import AHEAD, Speaking

PLAIN = Voicing()


class Voice:
    """Says ``sounds`` for each piece: bytes are given, errors raised, a number of seconds waited."""

    def __init__(self, *sounds: bytes | Exception | float) -> None:
        self.sounds = sounds
        self.said: list[str] = []
        self.open = 0

    async def voices(self) -> tuple[str, ...]:
        return ()

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        self.said.append(text)
        self.open += 1
        sounds = self._sounds()
        try:
            yield sounds
        finally:
            self.open -= 1
            await sounds.aclose()

    async def _sounds(self) -> AsyncGenerator[Sound]:
        for it in self.sounds:
            match it:
                case bytes():
                    yield Sound(it)
                case Exception():
                    raise it
                case seconds:
                    await asyncio.sleep(seconds)


def speaking(*voices: TextToSpeech) -> Speaking:
    named = [Named(f"voice{number}", it) for number, it in enumerate(voices)]
    return Speaking(Switchover("voice", named, InMemoryClock()))


async def spoken(voices: Speaking, text: str, wanted: str | None = None) -> list[Sound]:
    async with voices.sound(text, PLAIN, wanted=wanted) as sounds:
        return [it async for it in sounds]


async def test_a_text_is_spoken_sentence_by_sentence_in_order() -> None:
    voice = Voice(b"\1\0")
    assert [it.samples for it in await spoken(speaking(voice), "One. Two.")] == [b"\1\0", b"\1\0"]
    assert voice.said == ["One. ", "Two."]


async def test_a_text_too_many_is_refused_at_once_and_a_slow_listener_keeps_nobody_out() -> None:
    voice = Voice(b"\1\0")
    voices = Speaking(
        Switchover("voice", [Named[TextToSpeech]("slow", Voice(3_600.0))], InMemoryClock()), texts_at_once=2
    )
    async with voices.sound("One.", PLAIN), voices.sound("Two.", PLAIN):
        with pytest.raises(LimitError) as caught:
            await spoken(voices, "Three.")
    assert (caught.value.code, caught.value.retry_after_s) == ("server_overloaded", 1.0)
    async with voices.sound("Again.", PLAIN):
        pass
    voices = Speaking(
        Switchover("voice", [Named[TextToSpeech]("quick", voice)], InMemoryClock()), texts_at_once=1
    )
    async with voices.sound("One.", PLAIN) as unheard:
        await anext(unheard)
        await anext(unheard, None)  # all is made
        assert len(await spoken(voices, "Two.")) == 1


async def test_a_voice_that_has_too_much_to_say_is_not_taken_for_a_broken_one() -> None:
    busy = LimitError("later", code="server_overloaded", retry_after_s=1.0)
    switchover = Switchover("voice", [Named[TextToSpeech]("busy", Voice(busy))], InMemoryClock())
    for _ in range(10):
        with pytest.raises(LimitError):
            await spoken(Speaking(switchover), "Hello.")
    assert switchover.circuits()["busy"] == Circuit()


async def test_nothing_to_say_is_no_sound() -> None:
    voice = Voice(b"\1\0")
    assert await spoken(speaking(voice), " \n ") == []
    assert voice.said == []


async def test_marks_count_from_the_beginning_of_the_whole_text() -> None:
    sounds = await spoken(speaking(ToneTextToSpeech()), "A. B")
    assert [mark for it in sounds for mark in it.marks] == [
        Mark(index, index * CHARACTER) for index in range(4)
    ]


FAILURE = ProviderUnavailableError("down", provider="p")


async def test_a_voice_that_fails_before_its_first_sound_is_replaced_for_the_rest() -> None:
    first, backup = Voice(FAILURE), Voice(b"\2\0")
    assert [it.samples for it in await spoken(speaking(first, backup), "One. Two.")] == [b"\2\0"] * 2
    assert first.said == ["One. "]
    assert backup.said == ["One. ", "Two."]


async def test_a_voice_that_fails_in_the_middle_of_a_piece_is_not_taken_back() -> None:
    backup = Voice(b"\2\0")
    voices = speaking(Voice(b"\1\0", FAILURE), backup)
    async with voices.sound("One.", PLAIN) as sounds:
        assert (await anext(sounds)).samples == b"\1\0"
        with pytest.raises(ProviderUnavailableError):
            await anext(sounds)
        with pytest.raises(ProviderUnavailableError):
            await anext(sounds)
    assert backup.said == []


async def test_what_is_refused_is_not_asked_of_another() -> None:
    backup = Voice(b"\2\0")
    with pytest.raises(ProviderRefusedError):
        await spoken(speaking(Voice(ProviderRefusedError("no", provider="p")), backup), "One.")
    assert backup.said == []


async def test_an_unknown_voice_reaches_the_caller() -> None:
    voices = speaking(ToneTextToSpeech())
    async with voices.sound("One.", Voicing(voice="nobody")) as sounds:
        with pytest.raises(InputError, match="nobody"):
            await anext(sounds)


async def test_a_fault_of_a_voice_reaches_the_caller_and_nobody_waits() -> None:
    with pytest.raises(ZeroDivisionError):
        await spoken(speaking(Voice(ZeroDivisionError())), "One.")


async def test_when_all_fail_the_last_failure_is_told() -> None:
    with pytest.raises(ProviderUnavailableError, match="down"):
        await spoken(speaking(Voice(FAILURE), Voice(FAILURE)), "One.")


async def test_without_a_voice_it_says_so() -> None:
    with pytest.raises(ProviderError, match="no voice"):
        await spoken(speaking(), "One.")


async def test_the_engine_asked_for_speaks() -> None:
    first, second = Voice(b"\1\0"), Voice(b"\2\0")
    assert [it.samples for it in await spoken(speaking(first, second), "One.", "voice1")] == [b"\2\0"]


@pytest.mark.virtual_time
async def test_a_voice_that_stays_silent_is_given_up() -> None:
    with pytest.raises(ProviderTimeoutError):
        await spoken(speaking(Voice(11.0, b"\1\0")), "One.")
    with pytest.raises(ProviderTimeoutError):
        await spoken(speaking(Voice(b"\1\0", 21.0, b"\1\0")), "One.")


@pytest.mark.virtual_time
async def test_a_slow_listener_is_not_the_voices_fault_and_holds_it_back() -> None:
    voice = Voice(*[b"\1\0"] * (AHEAD + 10))
    async with speaking(voice).sound("One.", PLAIN) as sounds:
        await asyncio.sleep(3_600)
        assert voice.open == 1
        assert len([it async for it in sounds]) == AHEAD + 10


async def test_leaving_stops_the_voice() -> None:
    voice = Voice(b"\1\0", 1_000.0)
    async with speaking(voice).sound("One.", PLAIN) as sounds:
        await anext(sounds)
        assert voice.open == 1
    assert voice.open == 0
