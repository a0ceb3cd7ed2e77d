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
from cozy_domain.speech.transcribe import DecodingLimits, Transcribing
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


async def test_a_long_file_is_heard_in_pieces_by_one_recogniser_as_long_as_it_is_well() -> None:
    first, second = ScriptedSpeechToText(["One.", FAILURE]), ScriptedSpeechToText(["Two."] * 9)
    told: list[tuple[int, int]] = []
    heard = await transcribing(first, second).file(
        Upload(SOUND * 10), Hearing(), piece_s=4, progress=lambda *it: told.append(it)
    )
    pieces = [len(sound) for sound, _ in first.heard[:1] + second.heard]
    assert max(pieces) <= 4 * HEARING_RATE
    assert told == [(sum(pieces[:at]), 10 * HEARING_RATE) for at in range(len(pieces))]
    assert heard.transcript.text == "One." + " Two." * len(second.heard)
    assert (heard.samples, heard.by) == (sum(pieces), "r1")
    assert [it.start for it in heard.transcript.segments] == [at for at, _ in told]


async def test_pieces_of_which_no_times_are_known_are_a_segment_each() -> None:
    heard = await transcribing(Plain()).file(Upload(SOUND * 5), Hearing(), piece_s=4)
    assert [it.text for it in heard.transcript.segments] == ["plain", "plain"]
    assert heard.transcript.segments[1].start == heard.transcript.segments[0].end
    whole = await transcribing(Plain()).file(Upload(SOUND * 5), Hearing(), piece_s=5)
    assert whole.transcript.segments == ()


async def test_a_file_without_a_sound_is_asked_about_all_the_same() -> None:
    class Silent(RawCodec):
        async def decode(self, upload: Upload) -> Pcm:
            return Pcm(b"")

    recogniser = ScriptedSpeechToText(["x"])
    recognisers = Switchover("recogniser", [Named[SpeechToText]("r0", recogniser)], InMemoryClock())
    heard = await Transcribing(Silent(), recognisers).file(Upload(b"x"), Hearing())
    assert (heard.transcript.text, heard.samples, heard.by) == ("", 0, "r0")


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


class SlowCodec(RawCodec):
    """Takes a second for each file."""

    def __init__(self) -> None:
        self.at_once = 0
        self.most = 0

    async def decode(self, upload: Upload) -> Pcm:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(1)
        finally:
            self.at_once -= 1
        return await super().decode(upload)


def reading(codec: RawCodec, seconds: float = 0, **limits: float) -> Transcribing:
    """With a recogniser that takes ``seconds``."""
    switchover = Switchover("recogniser", [Named[SpeechToText]("r0", Plain(seconds))], InMemoryClock())
    return Transcribing(codec, switchover, decoding=DecodingLimits(**limits))  # type: ignore[arg-type]


async def failures(transcribing: Transcribing, count: int) -> list[str]:
    """Codes of those of ``count`` files at once that were not heard."""
    hear = (transcribing.file(Upload(SOUND), Hearing()) for _ in range(count))
    heard = await asyncio.gather(*hear, return_exceptions=True)
    return [it.code for it in heard if isinstance(it, LimitError)]


@pytest.mark.virtual_time
async def test_files_are_read_in_turn_so_many_at_once() -> None:
    codec = SlowCodec()
    assert await failures(reading(codec, at_once=2), 7) == []
    assert codec.most == 2


@pytest.mark.virtual_time
async def test_too_many_files_are_not_kept_waiting() -> None:
    assert await failures(reading(SlowCodec(), at_once=1, waiting=3), 7) == ["server_overloaded"] * 3


@pytest.mark.virtual_time
async def test_nobody_waits_for_his_turn_for_ever() -> None:
    assert await failures(reading(SlowCodec(), at_once=1, wait_s=2.5), 7) == ["server_overloaded"] * 4


@pytest.mark.virtual_time
async def test_nothing_is_read_while_much_sound_is_with_recognisers() -> None:
    files = reading(RawCodec(), seconds=10, held_bytes=len(SOUND), wait_s=15)
    began = asyncio.get_running_loop().time()
    assert await failures(files, 4) == []
    assert asyncio.get_running_loop().time() - began == 20
    assert await failures(files, 6) == ["server_overloaded"] * 2


@pytest.mark.virtual_time
async def test_who_leaves_while_he_waits_takes_nobodys_turn() -> None:
    files = reading(RawCodec(), seconds=10, held_bytes=len(SOUND) - 1, at_once=1)
    first, leaving = (asyncio.create_task(files.file(Upload(SOUND), Hearing())) for _ in range(2))
    await asyncio.sleep(1)
    leaving.cancel()
    last = asyncio.create_task(files.file(Upload(SOUND), Hearing()))
    assert (await first).transcript.text == (await last).transcript.text == "plain"
    assert leaving.cancelled()


async def test_a_file_that_cannot_be_read_leaves_its_turn_to_the_next() -> None:
    files = reading(RawCodec(), at_once=1)
    for _ in range(3):
        with pytest.raises(InputError):
            await files.file(Upload(b""), Hearing())
    assert (await files.file(Upload(SOUND), Hearing())).transcript.text == "plain"
