"""What is remembered of a call is what was heard in it: no more, no less, whoever said it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import saying
from cozy_adapters.inmemory.peer import InMemoryCall
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_adapters.inmemory.speech import ScriptedSpeechToText, ScriptedUtterance
from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.audit.events import TurnAudited
from cozy_domain.chat.parts import ChatParts
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.ids import SessionId
from cozy_domain.messages import AssistantMessage, UserMessage, text_of
from cozy_domain.persona.persona import Prompt, Voice
from cozy_domain.sessions.turn import TurnClosed
from cozy_domain.speech.ports import Hearing
from cozy_domain.speech.transcript import Transcript
from cozy_domain.voice.policy import DEFAULT as PROFILE
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.public import (
    HistoryTruncated,
    InputTranscribed,
    InputTranscriptGrown,
    OutputStarted,
    ResponseDone,
    SessionClosed,
    SessionDraining,
    TurnCommitted,
)
from tests.fixtures.chat import DEFAULT, SESSION, ChatUnderTest, asking, events_of, text_in
from tests.fixtures.clocks import LoopClock
from tests.fixtures.driven_calls import CallUnderTest, VoiceUnderTest, begun, settled

pytestmark = pytest.mark.virtual_time

LONG = "One two three four five six seven eight nine ten. Eleven twelve thirteen fourteen. Fifteen sixteen."
HELLO = "Hello, I am Cozy, and I am glad that you call me on this fine day."
UNGUARDED: VoiceProfile = replace(PROFILE, interruption=replace(PROFILE.interruption, call_guard_ns=0))


def greeting(text: str = HELLO, **realtime: str | float | bool) -> ChatUnderTest:
    persona = replace(DEFAULT, prompt=Prompt(openings=(text,)), voice=Voice(realtime=realtime))
    return ChatUnderTest(clock=LoopClock(), personas=(persona,))


async def test_a_greeting_that_was_heard_is_the_beginning_of_the_conversation() -> None:
    voice = VoiceUnderTest(chat=greeting(), heard=["How are you?"])
    async with voice.call(saying("Fine.")) as call:
        await call.until(ResponseDone)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    assert await voice.history() == [("agent", HELLO), ("user", "How are you?"), ("agent", "Fine.")]
    said = [it for it in voice.chat.model.requests[-1].messages if isinstance(it, AssistantMessage)]
    assert said == [AssistantMessage(HELLO)]


async def test_of_a_greeting_that_is_talked_over_only_what_was_heard_is_kept() -> None:
    voice = VoiceUnderTest(chat=greeting(), heard=["How are you?"], profile=UNGUARDED)
    async with voice.call(saying("Fine.")) as call:
        await call.until(OutputStarted)
        await call.quiet(1.0)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    (role, heard), *rest = await voice.history()
    assert role == "agent"
    assert HELLO.startswith(heard)
    assert 5 < len(heard) < 40
    assert rest == [("user", "How are you?"), ("agent", "Fine.")]
    states = [it.state for it in voice.chat.conversations.turns.values()]
    assert states == ["interrupted", "completed"]


async def test_a_greeting_that_nobody_heard_was_not_said() -> None:
    voice = VoiceUnderTest(chat=greeting())
    async with voice.call():
        pass
    assert not voice.chat.conversations.turns


async def test_what_is_said_into_silence_and_at_the_end_is_remembered_too() -> None:
    voice = VoiceUnderTest(chat=greeting("Hello.", idle="Hello?", goodbye="So long."), heard=[])
    async with voice.running() as calls:
        call = await begun(calls)
        assert await call.call.ended() == "idle"
    assert await voice.history() == [(("agent", it)) for it in ("Hello.", "Hello?", "Hello?", "So long.")]


async def test_a_caller_who_cannot_be_known_is_greeted_in_the_same_conversation() -> None:
    voice = VoiceUnderTest(chat=greeting(), heard=["How are you?"])
    async with voice.call(saying("Fine."), session=None, personal=False) as call:
        await call.until(ResponseDone)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    said = [it for it in voice.chat.model.requests[-1].messages if isinstance(it, AssistantMessage)]
    assert said == [AssistantMessage(HELLO)]
    assert not voice.chat.conversations.sessions


async def test_what_a_caller_says_while_the_server_stops_is_kept_though_nobody_answers() -> None:
    voice = VoiceUnderTest(heard=["Count, please.", "Oh, and my name is Mei."], profile=UNGUARDED)
    async with voice.running(saying(LONG), saying("Never.")) as calls:
        call = await begun(calls)
        await call.say(1.0)
        await call.until(OutputStarted)
        call.call.drain(10.0)
        await call.quiet(1.0)
        await call.say(1.0)
        await call.until(TurnCommitted, 2)
        assert await call.call.ended() == "drained"
    assert call.told(SessionDraining)
    question, (_, heard), *rest = await voice.history()
    assert question == ("user", "Count, please.")
    assert LONG.startswith(heard)
    assert rest == [("user", "Oh, and my name is Mei."), ("agent", "Goodbye!")]
    assert len(voice.chat.model.requests) == 1


async def test_what_a_caller_said_just_before_hanging_up_is_kept_though_nobody_answers() -> None:
    voice = VoiceUnderTest(heard=["How are you?", "Thanks, my train is here, goodbye."])
    async with voice.call(saying("Fine.")) as call:
        await call.say(1.0)
        await call.until(ResponseDone)
        await call.say(1.0)
        await call.until(InputTranscriptGrown, 2)
        call.call.close("hangup")
        assert await call.call.ended() == "hangup"
    assert [text for role, text in await voice.history() if role == "user"] == [
        "How are you?",
        "Thanks, my train is here, goodbye.",
    ]
    assert len(voice.chat.model.requests) == 1


class Lagging(ScriptedSpeechToText):
    """Knows the first three words while they are spoken, and the others a second after the end."""

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator[ScriptedUtterance]:
        async with super().listen(hearing) as utterance:
            feed, finish = utterance.feed, utterance.finish

            async def three_words(samples: bytes) -> str:
                return " ".join((await feed(samples)).split()[:3])

            async def slowly() -> Transcript:
                await asyncio.sleep(1.0)
                return await finish()

            utterance.feed, utterance.finish = three_words, slowly  # type: ignore[method-assign]
            yield utterance


async def test_a_sentence_in_which_the_caller_hangs_up_is_understood_to_its_end() -> None:
    voice = VoiceUnderTest(recognisers=[Lagging(["Thanks, my train is here, goodbye."])])
    async with voice.call() as call:
        await call.say(1.0)
        assert call.told(InputTranscriptGrown)[-1].text == "Thanks, my train"
        call.line.caller.hang_up()
        other = InMemoryCall()
        await call.quiet(0.5)
        call.call.attach(other.peer)
        await settled(lambda: other.caller.ended, 0.1)
        assert await call.call.ended() == "hangup"
    assert await voice.history() == [("user", "Thanks, my train is here, goodbye.")]
    assert [type(it) for _, it in call.events][-2:] == [InputTranscribed, SessionClosed]


async def test_what_a_caller_says_over_an_answer_and_hangs_up_is_kept_behind_what_was_heard_of_it() -> None:
    recogniser = Lagging(["Count, please.", "Thanks, my train is here, goodbye."])
    voice = VoiceUnderTest(recognisers=[recogniser], profile=UNGUARDED)
    async with voice.call(saying(LONG)) as call:
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        await call.say(0.2)
        call.line.caller.hang_up()
        await call.call.ended()
    question, (_, heard), *rest = await voice.history()
    assert question == ("user", "Count, please.")
    assert LONG.startswith(heard)
    assert 0 < len(heard) < len(LONG)
    assert rest == [("user", "Thanks, my train is here, goodbye.")]


async def test_a_process_that_is_ended_waits_for_no_last_words_and_keeps_what_is_understood() -> None:
    voice = VoiceUnderTest(recognisers=[Lagging(["Thanks, my train is here, goodbye."])])
    calls: list[CallUnderTest] = []

    async def serve() -> None:
        async with voice.running() as calling:
            calls.append(await begun(calling))
            await calls[0].say(1.0)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await settled(lambda: bool(calls and calls[0].told(InputTranscriptGrown)))
    serving.cancel()
    await calls[0].until(SessionDraining)
    began = asyncio.get_running_loop().time()
    serving.cancel()
    await asyncio.wait((serving,))
    assert asyncio.get_running_loop().time() - began < 0.5
    assert calls[0].call.reason == "cancelled"
    assert await voice.history() == [("user", "Thanks, my train")]


async def test_what_was_sent_to_a_caller_who_was_gone_already_was_not_heard() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.call(saying(LONG)) as call:
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        call.line.caller.go_away()
        assert await call.call.ended() == "media_lost"
    ((start, end),) = call.sounding()
    (_, (_, heard)) = await voice.history()
    assert LONG.startswith(heard)
    assert 0 < len(heard) * 0.06 <= end - start + 0.02


class SlowTurnStore(InMemoryTurnStore):
    """Ends a turn in a second."""

    async def close(self, turn: TurnClosed) -> None:
        await asyncio.sleep(1.0)
        await super().close(turn)


class ChatWithSlowStore(ChatUnderTest):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.turns = SlowTurnStore(self.conversations)

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.turns)


@pytest.mark.parametrize("session", [SESSION, None], ids=["remembered", "only in the call"])
async def test_what_was_heard_of_an_answer_is_known_to_the_one_that_follows_at_once(
    session: SessionId | None,
) -> None:
    voice = VoiceUnderTest(chat=ChatWithSlowStore(clock=LoopClock()), heard=["Count, please."])
    async with voice.call(saying(LONG), saying("Well."), session=session, personal=bool(session)) as call:
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        call.call.typed("And then?")
        done = await call.until(ResponseDone)
        await call.until(ResponseDone, 2)
    said = [it for it in voice.chat.model.requests[-1].messages if isinstance(it, AssistantMessage)]
    assert said == [AssistantMessage(done.text)]


async def test_what_is_written_elsewhere_while_an_answer_is_spoken_is_answered_at_once_and_without_it() -> (
    None
):
    voice = VoiceUnderTest(heard=["Count, please.", "And?"])
    async with voice.running(saying(LONG), saying("I am Cozy."), saying("Well.")) as calls:
        call = await begun(calls)
        await call.say(1.0)
        await call.until(OutputStarted)
        written = await events_of(calls._parts.pipeline, asking("Who are you?"))
        assert text_in(written) == "I am Cozy."
        assert not call.told(ResponseDone)
        asked = [text_of(it.content) for it in voice.chat.model.requests[-1].messages]
        assert "Count, please." not in asked
        await call.until(ResponseDone)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
        asked = [text_of(it.content) for it in voice.chat.model.requests[-1].messages]
        await call.hang_up()
    both = ["Count, please.", LONG, "Who are you?", "I am Cozy."]
    assert [text for _, text in await voice.history()] == [*both, "And?", "Well."]
    assert [it for it in asked if it in both] == both


async def test_words_without_an_answer_that_cannot_be_stored_fail_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    voice = VoiceUnderTest(chat=greeting(), heard=["How are you?"])
    async with voice.call(saying("Fine.")) as call:
        await call.until(OutputStarted)
        voice.chat.conversations.available = False
        await call.until(ResponseDone)
        await call.quiet(8.0)
        voice.chat.conversations.available = True
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    assert await voice.history() == [("user", "How are you?"), ("agent", "Fine.")]
    assert StorageUnavailableError("").code in caplog.text
    assert HELLO not in caplog.text


async def test_the_words_of_a_turn_are_stored_once() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.call(saying("One.")) as call:
        await call.say(1.0)
        await call.until(ResponseDone)
    users = [it for it in await voice.chat.stored() if isinstance(it.message, UserMessage)]
    assert len(users) == 1
    assert call.told(SessionClosed)
    assert asyncio.get_running_loop().time() < 30


@pytest.mark.parametrize("at_once", [True, False], ids=["before it is stored", "long after"])
async def test_of_an_answer_that_is_stored_whole_only_what_the_program_says_was_heard_remains(
    at_once: bool,
) -> None:
    voice = VoiceUnderTest(heard=["Count, please.", "And?"])
    async with voice.running(saying(LONG), saying("Well.")) as calls:
        call = await begun(calls)

        def cut_short(event: object) -> None:
            if isinstance(event, ResponseDone) and event.text == LONG:
                call.call.truncate(event.response_id, SPEAKING_RATE)

        if at_once:
            call.react = cut_short
        await call.say(1.0)
        done = await call.until(ResponseDone)
        if not at_once:
            await call.quiet(3.0)
            assert (await voice.history())[-1] == ("agent", LONG)
            cut_short(done)
        truncated = await call.until(HistoryTruncated)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
        await call.hang_up()
    assert 5 < len(truncated.text) < 30
    assert LONG.startswith(truncated.text)
    assert [text for _, text in await voice.history()] == ["Count, please.", truncated.text, "And?", "Well."]
    asked = [it.content for it in voice.chat.model.requests[-1].messages]
    assert truncated.text in asked
    assert LONG not in asked
    assert [it.event.state for it in voice.chat.records if isinstance(it.event, TurnAudited)] == [
        "completed",
        "amended",
        "completed",
    ]


async def test_of_a_greeting_too_only_what_the_program_says_was_heard_remains() -> None:
    voice = VoiceUnderTest(chat=greeting())
    async with voice.call() as call:
        done = await call.until(ResponseDone)
        call.call.truncate(done.response_id, SPEAKING_RATE)
        truncated = await call.until(HistoryTruncated)
    assert await voice.history() == [("agent", truncated.text)]
    assert HELLO.startswith(truncated.text)


async def test_an_answer_of_which_nothing_was_heard_is_not_in_the_history() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.call(saying(LONG)) as call:
        await call.say(1.0)
        done = await call.until(ResponseDone)
        call.call.truncate(done.response_id, 0)
    assert await voice.history() == [("user", "Count, please.")]


async def test_a_caller_who_cannot_be_known_hears_of_the_end_of_an_answer_no_more_than_was_heard() -> None:
    voice = VoiceUnderTest(heard=["Count, please.", "And?"])
    async with voice.call(saying(LONG), saying("Well."), session=None, personal=False) as call:
        await call.say(1.0)
        done = await call.until(ResponseDone)
        call.call.truncate(done.response_id, SPEAKING_RATE)
        truncated = await call.until(HistoryTruncated)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    asked = [it.content for it in voice.chat.model.requests[-1].messages]
    assert truncated.text in asked
    assert LONG not in asked


async def test_what_was_heard_is_cut_short_also_by_a_store_that_is_away_for_a_moment() -> None:
    voice = VoiceUnderTest(heard=["Count, please."])
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await call.say(1.0)
        done = await call.until(ResponseDone)
        await call.quiet(1.0)
        voice.chat.conversations.available = False
        call.call.truncate(done.response_id, SPEAKING_RATE)
        call.line.caller.hang_up()
        await call.quiet(10.0)
        voice.chat.conversations.available = True
        await call.call.ended()
    assert (await voice.history())[-1] == ("agent", call.told(HistoryTruncated)[0].text)
