"""A file becomes text, and recognisers take over from each other."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.speech import ScriptedSpeechToText
from cozy_domain.audio import HEARING_RATE, Pcm, Upload
from cozy_domain.errors import (
    InputError,
    LimitError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.ports import Hearing, HearingFeature, SpeechToText, Utterance
from cozy_domain.speech.transcribe import Transcribing
from cozy_domain.speech.transcript import Transcript
from tests.fixtures.speech import RawCodec

SOUND = b"\1\0" * HEARING_RATE
FAILURE = ProviderUnavailableError("down", provider="p")


class Plain:
    """Can only tell what was said, after ``seconds``."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.asked = 0

    def features(self) -> frozenset[HearingFeature]:
        return frozenset()

    def languages(self) -> frozenset[str] | None:
        return None

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return Transcript("plain")

    def listen(self, hearing: Hearing) -> AbstractAsyncContextManager[Utterance]:
        raise NotImplementedError


def transcribing(*recognisers: SpeechToText) -> Transcribing:
    named = [Named(f"r{number}", it) for number, it in enumerate(recognisers)]
    return Transcribing(RawCodec(), Switchover("recogniser", named, InMemoryClock()))


async def test_a_file_is_heard_with_its_length_and_by_whom() -> None:
    heard = await transcribing(ScriptedSpeechToText(["Hello."])).file(Upload(SOUND), Hearing(language="en"))
    assert (heard.transcript.text, heard.samples, heard.by) == ("Hello.", HEARING_RATE, "r0")


async def test_a_file_that_cannot_be_read_is_refused_before_anybody_is_asked() -> None:
    recogniser = Plain()
    with pytest.raises(InputError):
        await transcribing(recogniser).file(Upload(b""), Hearing())
    assert recogniser.asked == 0


async def test_the_backup_hears_what_the_first_could_not() -> None:
    heard = await transcribing(ScriptedSpeechToText([FAILURE]), Plain()).file(Upload(SOUND), Hearing())
    assert (heard.transcript.text, heard.by) == ("plain", "r1")


async def test_a_refusal_is_told_and_nobody_else_is_asked() -> None:
    backup = Plain()
    with pytest.raises(ProviderRefusedError):
        await transcribing(ScriptedSpeechToText([ProviderRefusedError("no", provider="p")]), backup).file(
            Upload(SOUND), Hearing()
        )
    assert backup.asked == 0


async def test_who_has_too_much_to_hear_is_passed_over_without_being_called_unwell() -> None:
    busy = LimitError("busy", retry_after_s=1.0)
    asked = transcribing(ScriptedSpeechToText([busy] * 6 + ["Hello."]), ScriptedSpeechToText(["backup"] * 6))
    for _ in range(6):
        assert (await asked.file(Upload(SOUND), Hearing())).by == "r1"
    assert (await asked.file(Upload(SOUND), Hearing())).by == "r0"


async def test_when_all_have_too_much_to_hear_the_caller_is_told_when_to_come_back() -> None:
    busy = LimitError("busy", code="server_overloaded", retry_after_s=1.0)
    with pytest.raises(LimitError, match="busy"):
        await transcribing(ScriptedSpeechToText([busy])).file(Upload(SOUND), Hearing())


async def test_when_all_fail_the_last_failure_is_told() -> None:
    with pytest.raises(ProviderUnavailableError, match="down"):
        await transcribing(ScriptedSpeechToText([FAILURE])).file(Upload(SOUND), Hearing())


async def test_without_a_recogniser_it_says_so() -> None:
    with pytest.raises(ProviderUnavailableError, match="no recogniser"):
        await transcribing().file(Upload(SOUND), Hearing())


async def test_only_who_knows_word_times_is_asked_for_them() -> None:
    plain, able = Plain(), ScriptedSpeechToText(["Hello."])
    heard = await transcribing(plain, able).file(Upload(SOUND), Hearing(word_times=True))
    assert heard.by == "r1"
    assert heard.transcript.words[0].end == HEARING_RATE
    assert plain.asked == 0


@pytest.mark.parametrize(
    ("hearing", "param"),
    [(Hearing(word_times=True), "timestamp_granularities"), (Hearing(translate=True), "model")],
)
async def test_what_nobody_can_do_is_refused_by_name(hearing: Hearing, param: str | None) -> None:
    with pytest.raises(InputError) as refused:
        await transcribing(Plain()).file(Upload(SOUND), hearing)
    assert refused.value.code == "unsupported_value"
    assert refused.value.param == param


async def test_a_recogniser_that_does_not_hear_the_language_is_passed_over() -> None:
    english, any_language = (
        ScriptedSpeechToText(["Hello."], frozenset({"en"})),
        ScriptedSpeechToText(["你好。"]),
    )
    heard = await transcribing(english, any_language).file(Upload(SOUND), Hearing(language="zh-CN"))
    assert (heard.transcript.text, heard.by) == ("你好。", "r1")


async def test_it_is_not_asked_though_it_is_wanted_and_the_other_one_fails() -> None:
    english, failing = ScriptedSpeechToText(["Hello."], frozenset({"en"})), ScriptedSpeechToText([FAILURE])
    asked = transcribing(english, failing)
    with pytest.raises(ProviderUnavailableError, match="down"):
        await asked.file(Upload(SOUND), Hearing(language="zh"), wanted="r0")
    assert not english.heard


async def test_a_language_that_nobody_hears_is_refused_with_those_that_are_heard() -> None:
    with pytest.raises(InputError, match="'de'") as refused:
        await transcribing(ScriptedSpeechToText([], frozenset({"en", "zh"}))).file(
            Upload(SOUND), Hearing(language="de")
        )
    assert (refused.value.code, refused.value.param) == ("unsupported_value", "language")
    assert "en, zh" in str(refused.value.hint)


@pytest.mark.virtual_time
async def test_a_recogniser_gets_more_time_for_a_longer_file_and_then_is_given_up() -> None:
    long = Upload(SOUND * 10)
    assert (await transcribing(Plain(seconds=39)).file(long, Hearing())).by == "r0"
    with pytest.raises(ProviderTimeoutError):
        await transcribing(Plain(seconds=41)).file(long, Hearing())
