"""A call, from the caller's first sound to what is remembered of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_adapters.inmemory.speech import ScriptedSpeechToText, ScriptedUtterance
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.messages import SystemMessage, ToolMessage
from cozy_domain.models.deltas import TextDelta
from cozy_domain.persona.persona import Prompt, Voice
from cozy_domain.speech.ports import Hearing
from cozy_domain.speech.transcript import Transcript
from cozy_domain.voice.calling import SPOKEN
from cozy_domain.voice.events import PausePlayout, SpeechStarted
from cozy_domain.voice.loudspeaker import PIECE
from cozy_domain.voice.policy import DEFAULT as PROFILE
from cozy_domain.voice.public import (
    FalseInterruption,
    IdlePrompted,
    InputTranscribed,
    OutputCleared,
    OutputStarted,
    ResponseDone,
    ResponseTextGrown,
    SessionClosed,
    TurnCommitted,
    TurnLatency,
)
from cozy_domain.voice.replay import Step, read
from tests.fixtures.calls import said
from tests.fixtures.chat import DEFAULT, ChatUnderTest
from tests.fixtures.clocks import LoopClock
from tests.fixtures.driven_calls import (
    LOOKUP,
    CallUnderTest,
    Spoken,
    VoiceUnderTest,
    begun,
    is_loud,
    settled,
    with_lookup,
)

pytestmark = pytest.mark.virtual_time

LONG = "One two three four five six seven eight nine ten. Eleven twelve thirteen fourteen. Fifteen sixteen."


def with_persona(**changes: object) -> ChatUnderTest:
    return ChatUnderTest(clock=LoopClock(), personas=(replace(DEFAULT, **changes),))


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_question_is_answered_aloud_and_remembered() -> None:
    voice = VoiceUnderTest(heard=["What time is it?"])
    async with voice.call(saying("It is ", "noon.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        done = await call.until(ResponseDone)
    assert done.status == "completed"
    assert call.told(TurnCommitted)[0].text == "What time is it?"
    ((start, end),) = call.sounding()
    assert end - start == pytest.approx(len("It is noon.") * 0.06, abs=0.1)
    assert await voice.history() == [("user", "What time is it?"), ("agent", "It is noon.")]


async def test_a_recogniser_is_held_to_all_that_callers_can_say() -> None:
    phrases = ("What time is it?", "What day is it?")
    recogniser = ScriptedSpeechToText(["What time is it?"])
    voice = VoiceUnderTest(recognisers=[recogniser], phrases=phrases)
    async with voice.call(saying("It is noon.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(ResponseDone)
    assert [hearing.phrases for _, hearing in recogniser.heard] == [phrases]


@pytest.mark.parametrize("first", [True, False], ids=["in silence", "over the agent"])
async def test_a_recogniser_hears_a_little_from_before_the_first_sound(first: bool) -> None:
    recogniser = ScriptedSpeechToText(["Count, please.", "That is enough."])
    voice = VoiceUnderTest(recognisers=[recogniser])
    async with voice.call(saying(LONG), saying("Well.")) as call:
        await call.quiet(3.5)
        await call.say(1.0)
        if not first:
            await call.until(OutputStarted)
            await call.quiet(2.0)
            await call.say(1.0)
        await call.until(ResponseDone, 1 if first else 2)
    sound = recogniser.heard[0 if first else 1][0].samples
    assert 0.25 <= quiet_before(sound) <= 0.5


def quiet_before(sound: bytes) -> float:
    """Seconds until it is loud."""
    piece = HEARING_RATE // 100 * SAMPLE_BYTES
    return (
        next(at for at in range(len(sound) // piece) if is_loud(sound[at * piece : (at + 1) * piece])) / 100
    )


async def test_a_finished_sentence_is_answered_within_three_tenths_of_a_second() -> None:
    voice = VoiceUnderTest(heard=["What time is it?"])
    async with voice.call(saying("It is noon.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        ended = now()
        await call.until(ResponseDone)
    assert call.sounding()[0][0] - ended <= 0.3
    (latency,) = call.told(TurnLatency)
    assert sum(it.ns for it in latency.stages) == latency.total_ns
    assert sum(it.ns for it in latency.stages[1:]) <= 40_000_000


async def test_the_model_knows_that_it_is_heard_and_the_session_does_not_keep_that() -> None:
    voice = VoiceUnderTest(heard=["What time is it?"])
    async with voice.call(saying("Noon.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(ResponseDone)
    assert SystemMessage(content=SPOKEN) in voice.chat.model.requests[-1].messages
    assert not any(isinstance(it.message, SystemMessage) for it in await voice.chat.stored())


async def test_several_turns_are_one_conversation() -> None:
    voice = VoiceUnderTest(heard=["First question?", "Second question?"])
    async with voice.call(saying("First answer."), saying("Second answer.")) as call:
        for number in (1, 2):
            await call.quiet(0.5)
            await call.say(1.0)
            await call.until(ResponseDone, number)
    assert [text for _, text in await voice.history()] == [
        "First question?",
        "First answer.",
        "Second question?",
        "Second answer.",
    ]


async def test_who_talks_over_the_agent_silences_it_and_only_what_was_heard_was_said() -> None:
    voice = VoiceUnderTest(heard=["Count, please.", "That is enough."])
    chat = voice.chat
    gate = asyncio.Event()
    async with voice.call((TextDelta(LONG), gate, *saying(" More.")), saying("Well.")) as call:
        await call.quiet(3.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(2.0)
        assert chat.model.streaming == 1
        began = now()
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    silent = next(end for start, end in call.sounding() if start < began < end + 0.2)
    assert silent - began <= 0.2
    assert call.told(OutputCleared)
    assert chat.model.streaming == 0
    first, second = call.told(ResponseDone)
    assert (first.status, second.status) == ("cancelled", "completed")
    (_, said), (_, question), (_, answer) = (await voice.history())[1:]
    assert LONG.startswith(said)
    assert 10 < len(said) < 60
    assert said == first.text
    assert (question, answer) == ("That is enough.", "Well.")
    heard_s = call.told(OutputCleared)[0].samples / SPEAKING_RATE
    assert len(said) <= heard_s / 0.06 + 1


async def test_a_cough_does_not_end_the_answer() -> None:
    voice = VoiceUnderTest(heard=["Count, please.", ""])
    async with voice.call(saying(LONG)) as call:
        await call.quiet(3.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(2.0)
        began = now()
        await call.say(0.2)
        done = await call.until(ResponseDone)
    assert done.status == "completed"
    assert call.told(FalseInterruption)
    assert (await voice.history())[1:] == [("agent", LONG)]
    pauses = [
        after[0] - before[1] for before, after in zip(call.sounding(), call.sounding()[1:], strict=False)
    ]
    assert pauses, began


class Hesitating(ScriptedSpeechToText):
    """Knows the words at once, and is sure of them a second later."""

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator[ScriptedUtterance]:
        async with super().listen(hearing) as utterance:
            finish = utterance.finish

            async def slowly() -> Transcript:
                await asyncio.sleep(1.0)
                return await finish()

            utterance.finish = slowly  # type: ignore[method-assign]
            yield utterance


class Slow(ScriptedSpeechToText):
    """Hears the first two words, and needs 6 s for the others of its first utterance."""

    slow = True

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator[ScriptedUtterance]:
        async with super().listen(hearing) as utterance:
            feed, finish, first = utterance.feed, utterance.finish, self.slow
            self.slow = False

            async def two_words(samples: bytes) -> str:
                return " ".join((await feed(samples)).split()[:2])

            async def slowly() -> Transcript:
                await asyncio.sleep(6.0 if first else 0.0)
                return await finish()

            utterance.feed, utterance.finish = two_words, slowly  # type: ignore[method-assign]
            yield utterance


@pytest.mark.parametrize(
    ("policy", "second"), [("append", "about ferries. At noon?"), ("ignore", "At noon?")]
)
async def test_what_is_understood_after_its_turn_begins_the_next_one_if_it_may(
    policy: Literal["append", "ignore"], second: str
) -> None:
    endpointing = replace(PROFILE.endpointing, late_transcript=policy)
    recogniser = Slow(["Tell me about ferries.", "At noon?"])
    profile = replace(PROFILE, endpointing=endpointing)
    voice = VoiceUnderTest(recognisers=[recogniser], profile=profile)
    async with voice.call(*[saying("Yes.")] * 4) as call:
        await call.say(1.0)
        await call.until(ResponseDone)
        await call.quiet(2.0)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    assert [it.text for it in call.told(TurnCommitted)] == ["Tell me", second]
    assert [text for role, text in await voice.history() if role == "user"] == ["Tell me", second]


@pytest.mark.parametrize("personal", [True, False])
async def test_a_question_that_is_understood_late_is_corrected_and_answered_as_it_was_meant(
    personal: bool,
) -> None:
    endpointing = replace(PROFILE.endpointing, late_transcript="correct")
    recogniser = Slow(["Tell me about ferries.", "Thank you."])
    profile = replace(PROFILE, endpointing=endpointing)
    voice = VoiceUnderTest(recognisers=[recogniser], profile=profile)
    order = {} if personal else {"session": None, "personal": False}
    scripts = ((asyncio.Event(),), saying("They leave at noon."), saying("Welcome."))
    async with voice.call(*scripts, **order) as call:
        await call.say(1.0)
        await call.until(ResponseDone, 2)
        await call.say(1.0)
        await call.until(ResponseDone, 3)
    assert [it.text for it in call.told(InputTranscribed)][:2] == ["Tell me", "Tell me about ferries."]
    assert [it.text for it in call.told(ResponseDone)] == ["", "They leave at noon.", "Welcome."]
    said = ["Tell me about ferries.", "They leave at noon.", "Thank you."]
    asked = [it.content for it in voice.chat.model.requests[-1].messages]
    assert [it for it in asked if it in said or it == "Tell me"] == said
    if personal:
        assert [text for _, text in await voice.history()] == [*said, "Welcome."]


@pytest.mark.parametrize(("from_probability", "pause_s"), [(0.7, 0.4), (1.0, 1.2)])
async def test_the_agent_goes_on_at_once_when_its_listener_most_probably_only_listens(
    from_probability: float, pause_s: float
) -> None:
    policy = replace(PROFILE.interruption, backchannel_from=from_probability, call_guard_ns=0)
    recogniser = Hesitating(["Count, please.", "Mhm."])
    voice = VoiceUnderTest(recognisers=[recogniser], profile=replace(PROFILE, interruption=policy))
    async with voice.call(saying(LONG)) as call:
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(2.0)
        await call.say(0.2)
        paused = await call.until(FalseInterruption)
        done = await call.until(ResponseDone)
    assert paused.ns / 1e9 == pytest.approx(pause_s, abs=0.3)
    assert done.status == "completed"


PHASES = [it * HEARING_RATE // 250 for it in range(8)]
"""Samples, 4 ms apart: windows begin everywhere in packets, and sounds everywhere in windows."""


@pytest.mark.parametrize("phase", PHASES)
async def test_speech_over_a_reply_pauses_it_before_its_third_window_is_whole(phase: int) -> None:
    started = (await sounded_over_a_reply(0.3, phase))[-1]
    assert PausePlayout() in started.actions
    assert isinstance(started.event, SpeechStarted)
    assert 80e6 <= started.event.at - started.event.onset <= 96e6


@pytest.mark.parametrize("phase", PHASES)
async def test_a_click_over_a_reply_does_not_pause_it(phase: int) -> None:
    assert len(await sounded_over_a_reply(0.03, phase)) == 1


async def sounded_over_a_reply(seconds: float, phase: int) -> list[Step]:
    """What was done about each beginning of speech: the question's, and that of a sound over the reply, if it is one. Of the
    packet in which the sound begins ``phase`` samples are silent."""
    lines = list[bytes]()
    voice = VoiceUnderTest(
        heard=["Count, please."],
        profile=replace(PROFILE, interruption=replace(PROFILE.interruption, call_guard_ns=0)),
        record=lambda _, line: lines.append(line),
    )
    async with voice.call(saying(LONG)) as call:
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        call.line.caller.say(bytes(phase * SAMPLE_BYTES) + said(seconds))
        await call.until(ResponseDone)
    return [it for it in read(lines)[1] if isinstance(it.event, SpeechStarted)]


async def test_who_goes_on_after_a_pause_is_heard_to_the_end() -> None:
    voice = VoiceUnderTest(heard=["Tell me about", "the weather."])
    async with voice.call(saying("It rains."), saying("It rains.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.quiet(0.7)
        await call.say(1.0)
        await call.until(ResponseDone)
    assert [it.text for it in call.told(TurnCommitted)] == ["Tell me about the weather."]
    assert [it.text for it in call.told(ResponseDone)] == ["It rains."]
    assert (await voice.history())[0] == ("user", "Tell me about the weather.")
    assert len(voice.chat.conversations.turns) == 1


async def test_a_turn_does_not_end_while_the_user_begins_to_speak_again() -> None:
    voice = VoiceUnderTest(heard=["turn on the light", "in the kitchen"])
    async with voice.call(*[saying("Done.")] * 3) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.quiet(0.77)
        await call.say(1.0)
        await call.until(ResponseDone)
    assert [it.text for it in call.told(TurnCommitted)] == ["turn on the light in the kitchen"]


async def test_a_click_at_the_end_of_a_turn_does_not_keep_it_open() -> None:
    voice = VoiceUnderTest(heard=["turn on the light"])
    async with voice.call(*[saying("Done.")] * 3) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        ended = now()
        await call.quiet(0.77)
        await call.say(0.04)
        await call.until(TurnCommitted)
    assert 0.75 < call.at(TurnCommitted) - ended < 1.0


async def test_markup_is_shown_and_words_are_spoken() -> None:
    spoken = Spoken()
    voice = VoiceUnderTest(heard=["What time is it?"], voices=[spoken])
    written = "*smiles* It is **noon** 😀. See [the clock](https://example.org/clock)."
    async with voice.call(saying(written)) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        done = await call.until(ResponseDone)
    assert " ".join(spoken.texts) == "It is noon. See the clock."
    assert done.text == written
    assert (await voice.history())[1] == ("agent", written)


async def test_a_persona_greets_with_its_opening() -> None:
    chat = with_persona(prompt=Prompt(openings=("Hello, I am {{char}}.",)))
    voice = VoiceUnderTest(chat=chat)
    async with voice.call() as call:
        done = await call.until(ResponseDone)
    assert (done.text, done.status) == ("Hello, I am Cozy.", "completed")
    assert call.sounding()


async def test_a_persona_may_let_nobody_interrupt_it_and_wait_as_long_as_it_likes() -> None:
    wishes = Voice(realtime={"idle_s": 3.0, "idle": "Anybody?"}, turn_detection={"interrupt_response": False})
    profile = replace(PROFILE, interruption=replace(PROFILE.interruption, call_guard_ns=0))
    voice = VoiceUnderTest(chat=with_persona(voice=wishes), heard=["Count.", "Stop!"], profile=profile)
    async with voice.call(saying(LONG), saying("I am done.")) as call:
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.say(1.0)
        first, second = await call.until(ResponseDone), await call.until(ResponseDone, 2)
        ended = now()
        await call.until(IdlePrompted)
        assert now() - ended == pytest.approx(3.0, abs=0.5)
        assert (await call.until(ResponseDone, 3)).text == "Anybody?"
    assert (first.status, first.text, second.text) == ("completed", LONG, "I am done.")


async def test_a_persona_may_greet_nobody() -> None:
    chat = with_persona(prompt=Prompt(openings=("Hello.",)), voice=Voice(realtime={"greeting": False}))
    async with VoiceUnderTest(chat=chat).call() as call:
        await call.quiet(5.0)
    assert not call.told(ResponseDone)


async def test_who_says_nothing_is_asked_and_at_last_hung_up_on() -> None:
    voice = VoiceUnderTest()
    async with voice.call() as call:
        reason = await call.call.ended()
    assert reason == "idle"
    assert [it.count for it in call.told(IdlePrompted)] == [1, 2]
    assert {it.text for it in call.told(ResponseTextGrown)} == {"Are you still there?", "Goodbye!"}
    assert now() == pytest.approx(120, abs=15)


async def test_a_call_ends_when_its_time_is_up_with_a_word() -> None:
    chat = with_persona(voice=Voice(realtime={"longest_s": 8, "time_limit": "So long!"}))
    async with VoiceUnderTest(chat=chat).call() as call:
        assert await call.call.ended() == "time_limit"
    assert [it.text for it in call.told(ResponseDone)] == ["So long!"]
    assert now() == pytest.approx(8.5, abs=1.0)


async def test_a_tool_that_takes_long_is_bridged_by_a_word() -> None:
    voice = VoiceUnderTest(chat=with_lookup(4.0), heard=["What is six times seven?"])
    async with voice.call(calling(LOOKUP), saying("It is 42.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await settled(lambda: any(it.text == "It is 42." for it in call.told(ResponseDone)))
    texts = [it.text for it in call.told(ResponseTextGrown)]
    assert "It is 42." in texts
    assert len(call.sounding()) == 2, "a filler, then the answer"
    assert (await voice.history())[-1] == ("agent", "It is 42.")


async def test_a_tool_goes_on_when_the_user_speaks_and_its_result_is_told_later() -> None:
    voice = VoiceUnderTest(chat=with_lookup(8.0), heard=["Look it up, please.", "And how are you?"])
    scripts = (
        calling(LOOKUP, before="Let me see what I can find."),
        saying("Fine."),
        saying("By the way, 42."),
    )
    async with voice.call(*scripts) as call:
        await call.quiet(3.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(0.5)
        await call.say(1.0)
        await settled(lambda: any(it.text == "Fine." for it in call.told(ResponseDone)))
        assert not any(it.text == "By the way, 42." for it in call.told(ResponseDone))
        await settled(lambda: any(it.text == "By the way, 42." for it in call.told(ResponseDone)))
    said = await voice.history()
    assert said[-1] == ("agent", "By the way, 42.")
    assert ("agent", "Fine.") in said
    stored = [it.message for it in await voice.chat.stored()]
    assert sum(isinstance(it, ToolMessage) for it in stored) == 1
    assert [text for role, text in said if role == "user"] == ["Look it up, please.", "And how are you?"]


async def test_typed_words_are_answered_aloud_in_the_same_conversation() -> None:
    voice = VoiceUnderTest(heard=["What time is it?"])
    async with voice.call(saying("Noon."), saying("Noon, I said.")) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(ResponseDone)
        call.call.typed("When?")
        await call.until(ResponseDone, 2)
    assert [text for _, text in await voice.history()] == [
        "What time is it?",
        "Noon.",
        "When?",
        "Noon, I said.",
    ]


async def test_hanging_up_in_mid_sentence_stops_the_model_and_keeps_what_was_heard() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.call((TextDelta(LONG), asyncio.Event())) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(1.5)
        await call.hang_up()
        assert voice.chat.model.streaming == 0
        (_, said) = (await voice.history())[1]
    assert LONG.startswith(said)
    assert 10 < len(said) < 40
    assert call.told(SessionClosed)[0].reason == "hangup"


async def test_what_was_heard_so_far_survives_the_process() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.call((TextDelta(LONG), asyncio.Event())) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(4.5)
        (turn,) = voice.chat.conversations.turns.values()
        assert LONG.startswith(turn.checkpoint)
        assert 10 < len(turn.checkpoint) < len(LONG)


async def test_of_a_long_answer_the_line_has_little_in_advance() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.call(saying(LONG)) as call:
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        for _ in range(20):
            assert call.line.peer.queued <= PROFILE.speaking.ahead_samples + PIECE
            await call.quiet(0.1)


async def test_messages_of_the_program_reach_the_surface() -> None:
    async with VoiceUnderTest().call() as call:
        call.line.caller.tell("handshake")
        await call.quiet(0.1)
    assert call.messages == ["handshake"]


async def test_a_recogniser_that_ends_everything_is_believed_only_until_its_caller_goes_on_twice() -> None:
    """Its full stops mean as little in his next call."""
    opened = ["My number is four.", "Seven.", "My number is nine.", "Eight."]
    voice = VoiceUnderTest(heard=[*opened, *["Turn on the light.", "In the kitchen."] * 2])
    async with voice.running(*[saying("Done.")] * 8) as calling:
        call = await begun(calling)
        await call.quiet(3.5)
        for _ in range(2):
            await two_stretches(call)
        assert len(call.told(TurnCommitted)) == 2
        await two_stretches(call)
        assert len(call.told(TurnCommitted)) == 3
        await call.hang_up()
        call = await begun(calling)
        await call.quiet(3.5)
        await two_stretches(call)
        assert len(call.told(TurnCommitted)) == 1
        await call.hang_up()


async def two_stretches(call: CallUnderTest) -> None:
    """With a pause between them."""
    await call.say(1.0)
    await call.quiet(0.5)
    await call.say(1.0)
    await call.quiet(3.0)


async def test_one_caller_who_interrupts_early_does_not_make_others_wait() -> None:
    voice = VoiceUnderTest(heard=["Turn on the light."] * 8)
    waits = []
    async with voice.running(*[saying("One two three four five six seven eight nine ten.")] * 12) as calling:
        for interrupts in (False, True, False):
            call = await begun(calling)
            await call.quiet(3.5)
            for _ in range(4 if interrupts else 2):
                await call.say(1.0)
                ended = now()
                await call.until(OutputStarted, len(call.told(OutputStarted)) + 1)
                waits.append(call.at(TurnCommitted, -1) - ended)
                await call.quiet(0.3 if interrupts else 8.0)
            await call.hang_up()
    assert [round(it, 1) for it in waits] == [0.2] * 8
