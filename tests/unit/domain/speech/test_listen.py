"""Sound that is still coming becomes text, utterance by utterance."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.speech import LoudnessVoiceActivity, ScriptedSpeechToText, ScriptedUtterance
from cozy_domain.audio import Pcm
from cozy_domain.errors import (
    InputError,
    LimitError,
    ProviderError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.detection import DetectionPolicy, SpeechEnded, SpeechStarted
from cozy_domain.speech.listen import WINDOW_BYTES, Final, Listening, ListeningEvent, Partial
from cozy_domain.speech.ports import WINDOW, Hearing, HearingFeature, SpeechToText
from cozy_domain.speech.transcribe import Transcribing
from cozy_domain.speech.transcript import Transcript
from tests.fixtures.speech import RawCodec

POLICY = DetectionPolicy(start=3 * WINDOW, prefix=2 * WINDOW, silence=4 * WINDOW, longest=40 * WINDOW)
LOUD = b"\x00\x20" * WINDOW
QUIET = b"\0\0" * WINDOW
SPOKEN = QUIET * 10 + LOUD * 5 + QUIET * 4
FAILURE = ProviderUnavailableError("down", provider="p")


def listening(*recognisers: SpeechToText) -> Listening:
    switchover = Switchover(
        "recogniser", [Named(f"r{number}", it) for number, it in enumerate(recognisers)], InMemoryClock()
    )
    return Listening(LoudnessVoiceActivity(), switchover, Transcribing(RawCodec(), switchover))


async def pieces(sound: bytes, size: int = WINDOW_BYTES) -> AsyncIterator[bytes]:
    for at in range(0, len(sound), size):
        yield sound[at : at + size]
        for _ in range(5):  # the recognisers' tasks have their turns
            await asyncio.sleep(0)


async def heard(ears: Listening, sound: bytes, size: int = WINDOW_BYTES) -> list[ListeningEvent]:
    async with ears.to(pieces(sound, size), Hearing(), POLICY) as events:
        return [it async for it in events]


def finals(events: Sequence[ListeningEvent]) -> list[tuple[str, int, int]]:
    return [(it.transcript.text, it.start, it.end) for it in events if isinstance(it, Final)]


async def test_an_utterance_is_told_from_its_beginning_to_its_text() -> None:
    events = await heard(listening(ScriptedSpeechToText(["Hello there."])), SPOKEN)
    assert events[0] == SpeechStarted(8 * WINDOW)
    assert Partial("Hello", 8 * WINDOW) in events
    assert SpeechEnded(15 * WINDOW) in events
    assert finals(events) == [("Hello there.", 8 * WINDOW, 15 * WINDOW)]


async def test_words_and_segments_count_from_the_beginning_of_the_stream() -> None:
    events = await heard(listening(ScriptedSpeechToText(["Hello."])), SPOKEN)
    [final] = [it for it in events if isinstance(it, Final)]
    assert final.transcript.segments[0].start == 8 * WINDOW


async def test_the_recogniser_hears_the_utterance_with_its_beginning_and_nothing_before() -> None:
    recogniser = ScriptedSpeechToText(["x"])
    await heard(listening(recogniser), SPOKEN)
    assert recogniser.heard[0][0].samples == QUIET * 2 + LOUD * 5 + QUIET * 4


@pytest.mark.parametrize("size", [2, 700, 5_000, 10_000_000])
async def test_pieces_may_have_any_length(size: int) -> None:
    events = await heard(listening(ScriptedSpeechToText(["x"])), SPOKEN + b"\1\0", size)
    assert finals(events) == [("x", 8 * WINDOW, 15 * WINDOW)]


async def test_silence_is_no_utterance() -> None:
    assert await heard(listening(ScriptedSpeechToText(["x"])), QUIET * 50) == []


async def test_speech_under_way_when_the_sound_ends_is_understood() -> None:
    events = await heard(listening(ScriptedSpeechToText(["x"])), LOUD * 6)
    assert finals(events) == [("x", 0, 6 * WINDOW)]


class Slow(ScriptedSpeechToText):
    """The first utterance takes until ``go`` to understand, the others no time."""

    def __init__(self, *script: str) -> None:
        super().__init__(script)
        self.go = asyncio.Event()
        self.count = 0

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator[ScriptedUtterance]:
        self.count += 1
        async with super().listen(hearing) as utterance:
            yield _Waiting(utterance, self.go) if self.count == 1 else utterance


class _Waiting(ScriptedUtterance):
    def __init__(self, utterance: ScriptedUtterance, go: asyncio.Event) -> None:
        self.__dict__ = utterance.__dict__
        self._go = go

    async def finish(self) -> Transcript:
        await self._go.wait()
        return await super().finish()


async def test_results_come_in_the_order_spoken_though_a_later_one_is_understood_first() -> None:
    slow = Slow("text1", "text2")
    events: list[ListeningEvent] = []
    async with listening(slow).to(pieces(SPOKEN * 2), Hearing(), POLICY) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, SpeechEnded) and event.sample > len(SPOKEN) // 2:
                slow.go.set()
    assert [it[0] for it in finals(events)] == ["text1", "text2"]
    assert [it for it in events if isinstance(it, Partial)][-1].start < len(SPOKEN) // 2


async def test_when_a_recogniser_fails_another_hears_the_whole_utterance() -> None:
    backup = ScriptedSpeechToText(["understood"])
    events = await heard(listening(ScriptedSpeechToText([FAILURE, FAILURE]), backup), SPOKEN)
    assert [it[0] for it in finals(events)] == ["understood"]
    assert backup.heard[0][0] == Pcm(QUIET * 2 + LOUD * 5 + QUIET * 4)


async def test_an_utterance_for_which_there_is_no_room_is_heard_when_it_is_over() -> None:
    busy = ScriptedSpeechToText([LimitError("busy", retry_after_s=1.0), "understood"])
    assert [it[0] for it in finals(await heard(listening(busy), SPOKEN))] == ["understood"]


async def test_when_there_is_no_room_then_either_the_reader_is_told() -> None:
    busy = ScriptedSpeechToText([LimitError("busy", retry_after_s=1.0)] * 2)
    with pytest.raises(LimitError, match="busy"):
        await heard(listening(busy), SPOKEN)


async def test_when_nobody_can_hear_the_reader_is_told() -> None:
    with pytest.raises(ProviderError, match="down"):
        await heard(listening(ScriptedSpeechToText([FAILURE, FAILURE])), SPOKEN)


async def test_a_refusal_is_told_at_once() -> None:
    backup = ScriptedSpeechToText(["x"])
    refusing = ScriptedSpeechToText([ProviderRefusedError("no", provider="p")])
    with pytest.raises(ProviderRefusedError):
        await heard(listening(refusing, backup), SPOKEN)


async def test_an_utterance_is_heard_by_who_hears_its_language() -> None:
    english = ScriptedSpeechToText(["Hello."] * 2, frozenset({"en"}))
    ears = listening(english, ScriptedSpeechToText([FAILURE, "你好。"]))
    async with ears.to(pieces(SPOKEN), Hearing(language="zh"), POLICY, wanted="r0") as events:
        assert finals([it async for it in events]) == [("你好。", 8 * WINDOW, 15 * WINDOW)]
    assert not english.heard


async def test_a_language_that_nobody_hears_is_refused_before_anybody_speaks() -> None:
    ears = listening(ScriptedSpeechToText(["Hello."], frozenset({"en"})))
    with pytest.raises(InputError, match="'zh'"):
        async with ears.to(pieces(SPOKEN), Hearing(language="zh"), POLICY):
            pytest.fail("it listens")


async def test_what_the_sound_itself_raises_reaches_the_reader() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LOUD * 5
        raise ConnectionResetError

    async with listening(ScriptedSpeechToText(["x"])).to(broken(), Hearing(), POLICY) as events:
        with pytest.raises(ConnectionResetError):
            [it async for it in events]


@pytest.mark.virtual_time
async def test_a_recogniser_that_hangs_is_given_up_for_another() -> None:
    backup = ScriptedSpeechToText(["understood"])
    events = await heard(listening(Slow("never"), backup), SPOKEN)
    assert [it[0] for it in finals(events)] == ["understood"]


class WholeOnly(ScriptedSpeechToText):
    """Has no partial results."""

    def features(self) -> frozenset[HearingFeature]:
        return frozenset()


async def test_partial_results_that_are_wanted_come_from_who_has_them_and_if_he_fails_others_hear_the_whole() -> (
    None
):
    whole = WholeOnly(["second"])
    ears = listening(whole, ScriptedSpeechToText(["first one", FAILURE]))
    async with ears.to(pieces(SPOKEN * 2), Hearing(partials=True), POLICY) as events:
        got = [it async for it in events]
    assert [text for text, _, _ in finals(got)] == ["first one", "second"]
    assert next(it.text for it in got if isinstance(it, Partial)) == "first"
    assert len(whole.heard) == 1
