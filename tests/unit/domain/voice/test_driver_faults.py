"""What fails in a call: the call goes on as well as it can, and nothing is left of it in the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_adapters.inmemory.peer import InMemoryCall
from cozy_adapters.inmemory.sessions import InMemoryTurnHistory, InMemoryTurnStore
from cozy_adapters.inmemory.speech import LoudnessVoiceActivity, ScriptedSpeechToText, ToneTextToSpeech
from cozy_domain.access.caller import Caller
from cozy_domain.audio import Pcm
from cozy_domain.chat.parts import ChatParts
from cozy_domain.errors import (
    LimitError,
    MissingError,
    ProviderUnavailableError,
    StorageUnavailableError,
)
from cozy_domain.ids import Owner, PersonaId, SessionId
from cozy_domain.models.deltas import TextDelta
from cozy_domain.sessions.session import Session
from cozy_domain.sessions.turn import Opening, TurnClosed, TurnOpened
from cozy_domain.speech.ports import Hearing, Sound, Voicing
from cozy_domain.voice.calling import CallOrder
from cozy_domain.voice.phrases import ENGLISH
from cozy_domain.voice.public import (
    InputTranscriptionFailed,
    OutputStarted,
    PublicEvent,
    ResponseDone,
    SessionActive,
    SessionClosed,
    SessionDraining,
    SessionSuspended,
    SpeechUnavailable,
    ToolStarted,
    TurnCommitted,
    TurnDiscarded,
)
from cozy_domain.voice.seats import SeatLimits
from tests.fixtures.calls import said
from tests.fixtures.chat import CALLER, OWNER, SESSION, ChatUnderTest
from tests.fixtures.clocks import LoopClock
from tests.fixtures.driven_calls import LOOKUP, CallUnderTest, VoiceUnderTest, begun, settled, with_lookup

pytestmark = pytest.mark.virtual_time

LONG = "One two three four five six seven eight nine ten. Eleven twelve thirteen fourteen. Fifteen sixteen."
DEAD = ProviderUnavailableError("dead", provider="test")


class DyingSpeechToText(ScriptedSpeechToText):
    """Dies in the middle of each utterance, and cannot hear a whole one either."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked = 0

    async def transcribe(self, sound: Pcm, hearing: Hearing):  # type: ignore[no-untyped-def]
        raise DEAD

    @asynccontextmanager
    async def listen(self, hearing: Hearing):  # type: ignore[no-untyped-def]
        self.asked += 1

        class Dying:
            fed = 0

            async def feed(self, samples: bytes) -> str:
                self.fed += 1
                if self.fed > 5:
                    raise DEAD
                return ""

        yield Dying()


class DyingTextToSpeech(ToneTextToSpeech):
    """Dies after ``pieces`` of each text."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        async with super().speak(text, voicing) as sounds:
            yield self._until_death(sounds)

    async def _until_death(self, sounds: AsyncIterator[Sound]) -> AsyncIterator[Sound]:
        left = self._pieces
        async for sound in sounds:
            if not left:
                raise DEAD
            left -= 1
            yield sound


async def asked(call: CallUnderTest) -> None:
    await call.quiet(0.5)
    await call.say(1.0)


async def test_a_recogniser_that_dies_in_mid_sentence_is_replaced_and_nothing_is_lost() -> None:
    backup = ScriptedSpeechToText(["What time is it?"])
    voice = VoiceUnderTest(recognisers=[DyingSpeechToText(), backup])
    async with voice.call(saying("Noon.")) as call:
        await asked(call)
        done = await call.until(ResponseDone)
    assert done.text == "Noon."
    assert call.told(TurnCommitted)[0].text == "What time is it?"
    ((sound, _),) = backup.heard
    assert sound.seconds > 0.9


async def test_when_nobody_can_hear_the_call_goes_on() -> None:
    voice = VoiceUnderTest(heard=[DEAD, DEAD, "And now?"])
    async with voice.call(saying("Now I hear you.")) as call:
        await asked(call)
        discarded = await call.until(TurnDiscarded)
        assert call.told(InputTranscriptionFailed) == [InputTranscriptionFailed(discarded.turn_id, DEAD.code)]
        assert (await call.until(ResponseDone)).text == ENGLISH.not_understood
        await asked(call)
        done = await call.until(ResponseDone, 2)
    assert done.text == "Now I hear you."
    assert len(call.told(InputTranscriptionFailed)) == 1


async def test_a_voice_that_dies_before_it_speaks_is_replaced() -> None:
    voice = VoiceUnderTest(heard=["Hm?"], voices=[DyingTextToSpeech(0), ToneTextToSpeech()])
    async with voice.call(saying("Noon.")) as call:
        await asked(call)
        done = await call.until(ResponseDone)
    assert (done.status, done.text) == ("completed", "Noon.")


async def test_an_answer_that_nobody_can_speak_is_shown() -> None:
    voice = VoiceUnderTest(heard=["Hm?", "And?"], voices=[DyingTextToSpeech(0)])
    async with voice.call(*[saying("Noon.")] * 4) as call:
        await asked(call)
        shown = await call.until(SpeechUnavailable)
        await asked(call)
        await call.until(ResponseDone, 2)
    assert shown.text == "Noon."
    assert [text for role, text in await voice.history() if role == "user"] == ["Hm?", "And?"]


async def test_of_an_answer_whose_voice_dies_what_was_heard_is_kept() -> None:
    voice = VoiceUnderTest(heard=["Hm?"], voices=[DyingTextToSpeech(20)])
    async with voice.call(*[saying(LONG)] * 3) as call:
        await asked(call)
        done = await call.until(ResponseDone)
        await call.quiet(5.0)
    assert (done.status, done.reason) == ("incomplete", "provider_unavailable")
    assert done.text == "One two three four"
    assert (await voice.history())[1] == ("agent", done.text)


async def test_a_model_that_fails_fails_its_answer_alone() -> None:
    voice = VoiceUnderTest(heard=["Hm?", "And?"])
    async with voice.call((DEAD,), (DEAD,), saying("Here I am.")) as call:
        await asked(call)
        failed = await call.until(ResponseDone)
        await asked(call)
        done = await call.until(ResponseDone, 2)
    assert failed.status == "failed"
    assert done.text == "Here I am."


async def test_a_model_that_breaks_off_has_said_what_was_heard() -> None:
    voice = VoiceUnderTest(heard=["Hm?"])
    async with voice.call((TextDelta("One two three four five. Six"), DEAD)) as call:
        await asked(call)
        done = await call.until(ResponseDone)
    assert done.status in {"failed", "incomplete"}
    assert [text for _, text in await voice.history()][1:] in ([], [done.text])


@pytest.mark.parametrize("personal", [True, False])
async def test_what_a_model_wrote_before_it_broke_off_is_remembered_as_far_as_it_was_heard(
    personal: bool,
) -> None:
    voice = VoiceUnderTest(heard=["Hm?", "And?"])
    order = {} if personal else {"session": None, "personal": False}
    gate = asyncio.Event()
    async with voice.call((TextDelta(LONG), gate, DEAD), saying("Here."), **order) as call:
        await asked(call)
        await call.until(OutputStarted)
        gate.set()
        done = await call.until(ResponseDone)
        await asked(call)
        await call.until(ResponseDone, 2)
    assert (done.status, done.reason) == ("failed", "provider_unavailable")
    assert done.text.startswith("One two three four")
    assert LONG.startswith(done.text)
    said = [it.content for it in voice.chat.model.requests[-1].messages]
    assert done.text in said
    assert "Hm?" in said


async def test_without_its_store_nothing_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: InMemoryTurnStore, turn: TurnOpened) -> Opening:
        raise StorageUnavailableError("away")

    monkeypatch.setattr(InMemoryTurnStore, "open", away)
    voice = VoiceUnderTest(heard=["Hm?"])
    async with voice.call(*[saying(LONG)] * 3) as call:
        await asked(call)
        done = await call.until(ResponseDone)
    assert done.status in {"failed", "cancelled"}
    assert sum(end - start for start, end in call.sounding()) < 0.1
    assert not voice.chat.conversations.turns


async def test_a_line_that_comes_back_goes_on() -> None:
    voice = VoiceUnderTest(heard=["Hm?", "And?"])
    async with voice.call(saying(LONG), saying("Good.")) as call:
        await asked(call)
        await call.until(OutputStarted)
        call.line.caller.go_away()
        await call.until(SessionSuspended)
        await asyncio.sleep(3.0)
        call.line.caller.come_back()
        done = await call.until(ResponseDone)
        await asked(call)
        await call.until(ResponseDone, 2)
    assert (done.status, done.text) == ("completed", LONG)
    assert [it.resumed for it in call.told(SessionActive)] == [False, True]


async def test_a_caller_may_come_back_on_another_line() -> None:
    voice = VoiceUnderTest(heard=["Hm?", "And?"])
    async with voice.call(saying(LONG), saying("Good.")) as call:
        await asked(call)
        await call.until(OutputStarted)
        first = call.line
        first.caller.go_away()
        await call.until(SessionSuspended)
        call.line = InMemoryCall()
        call.call.attach(call.line.peer)
        done = await call.until(ResponseDone)
        assert first.caller.ended
        await asked(call)
        await call.until(ResponseDone, 2)
    assert done.text == LONG
    assert call.sounding(), "on the second line"
    assert [text for _, text in await voice.history()] == ["Hm?", LONG, "And?", "Good."]


async def test_a_caller_who_vanishes_is_waited_for_and_then_given_up() -> None:
    voice = VoiceUnderTest(heard=["Hm?"])
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        call.line.caller.go_away()
        reason = await call.call.ended()
        assert calls.calls_open == 0
        assert voice.chat.model.streaming == 0
    assert reason == "media_lost"
    (_, heard) = (await voice.history())[1]
    assert LONG.startswith(heard)
    assert 0 < len(heard) < len(LONG)


async def test_a_call_whose_line_never_comes_gives_its_seat_back() -> None:
    voice = VoiceUnderTest()
    async with voice.running() as calls:
        call = CallUnderTest()
        call.opened = await calls.open(CallOrder(CALLER, OWNER, "req"), tell=call.tell)
        assert calls.calls_open == 1
        assert await call.call.ended() == "connect_timeout"
        assert calls.calls_open == 0


async def test_no_more_calls_than_seats() -> None:
    voice = VoiceUnderTest(seats=SeatLimits(at_once=3, each=2, busy_percent=90))
    async with voice.running() as calls:
        first, _second = await begun(calls), await begun(calls)
        with pytest.raises(LimitError) as refused:
            await begun(calls)
        assert refused.value.code == "too_many_calls"
        other = await begun(
            calls, caller=type(CALLER)("other"), owner=type(CALLER)("other").owner(None), session=None
        )
        with pytest.raises(LimitError) as full:
            await begun(calls, caller=Caller("third"))
        assert full.value.code == "server_overloaded"
        await first.hang_up()
        await begun(calls)
        await other.hang_up()
        voice.percent = 95
        await asyncio.sleep(1.1)
        with pytest.raises(LimitError) as busy:
            await begun(calls)
        assert busy.value.code == "server_overloaded"


async def test_who_asks_for_a_persona_that_is_not_there_takes_no_seat() -> None:
    async with VoiceUnderTest().running() as calls:
        with pytest.raises(MissingError):
            await begun(calls, persona=PersonaId("nobody"))
        assert calls.calls_open == 0


async def test_calls_end_with_a_goodbye_when_the_server_stops() -> None:
    voice = VoiceUnderTest(heard=["Hm?"] * 10, seats=SeatLimits(each=10))
    async with voice.running(*[saying(LONG)] * 10, drain_s=10.0) as calls:
        callers = [await begun(calls, session=None) for _ in range(10)]
        speaking = callers[0]
        await asked(speaking)
        await speaking.until(OutputStarted)
    for call in callers:
        assert call.told(SessionClosed)[0].reason == "drained"
        assert call.line.caller.ended
        assert "Goodbye!" in [it.text for it in call.told(ResponseDone)]
    assert voice.chat.model.streaming == 0
    with pytest.raises(LimitError) as refused:
        await begun(calls)
    assert refused.value.code == "server_shutdown"


async def test_a_detector_that_does_not_work_ends_the_call() -> None:
    class Broken:
        def open(self) -> "Broken":
            return self

        async def probability(self, window: bytes) -> float:
            raise ProviderUnavailableError("no", provider="test", code="not_configured")

    async with VoiceUnderTest(detector=Broken()).running() as calls:
        call = await begun(calls)
        assert await call.call.ended() == "not_configured"


class SlowVoiceActivity(LoudnessVoiceActivity):
    """Takes ``delay_s(n)`` seconds for its n-th answer."""

    def __init__(self, delay_s: Callable[[int], float]) -> None:
        self._delay_s = delay_s
        self._asked = 0

    def open(self) -> "SlowVoiceActivity":
        return SlowVoiceActivity(self._delay_s)

    async def probability(self, window: bytes) -> float:
        self._asked += 1
        await asyncio.sleep(self._delay_s(self._asked))
        return await super().probability(window)


async def test_a_detector_whose_answers_take_longer_than_its_windows_does_not_fall_behind() -> None:
    voice = VoiceUnderTest(heard=["What time is it?"], detector=SlowVoiceActivity(lambda _: 0.1))
    async with voice.call(saying("Noon.")) as call:
        await call.say(4.0)
        ended = asyncio.get_running_loop().time()
        await call.until(TurnCommitted)
    assert 0.2 <= call.at(TurnCommitted) - ended <= 0.5


async def test_a_microphone_is_not_taken_for_dead_that_is_only_not_judged_yet() -> None:
    detector = SlowVoiceActivity(lambda number: 1.5 if number == 30 else 0.0)
    voice = VoiceUnderTest(heard=["What time is it?"], detector=detector)
    async with voice.call(saying("Noon.")) as call:
        await call.say(4.0)
        ended = asyncio.get_running_loop().time()
        await call.until(TurnCommitted)
    assert 0.2 <= call.at(TurnCommitted) - ended <= 0.3


async def test_a_surface_that_cannot_tell_its_program_spoils_nothing() -> None:
    def broken(_: PublicEvent) -> None:
        raise OSError

    voice = VoiceUnderTest(heard=["Hm?"])
    async with voice.running(saying("Noon.")) as calls:
        call = CallUnderTest()
        opened = await calls.open(CallOrder(CALLER, OWNER, "req", session=SESSION), tell=broken)
        opened.call.attach(call.line.peer)
        await asked(call)
        await settled(lambda: bool(call.sounding()))
        call.line.caller.hang_up()
        assert await opened.call.ended() == "hangup"


async def test_whoever_cannot_be_known_is_remembered_for_the_call_alone() -> None:
    voice = VoiceUnderTest(heard=["My name is Mei.", "What is my name?"])
    async with voice.call(saying("Hello, Mei."), saying("Mei."), session=None, personal=False) as call:
        await asked(call)
        await call.until(ResponseDone)
        await asked(call)
        await call.until(ResponseDone, 2)
    assert call.opened.session is None
    said = [it.content for it in voice.chat.model.requests[1].messages]
    assert "My name is Mei." in said
    assert "Hello, Mei." in said


@pytest.mark.parametrize("after_ms", [0, 30, 300, 700, 1_200, 1_550, 1_650, 1_720, 1_800, 2_500, 4_000])
async def test_whenever_the_caller_hangs_up_nothing_is_left(after_ms: int) -> None:
    voice = VoiceUnderTest(heard=["What time is it?"])
    async with voice.running(saying(LONG), saying(LONG)) as calls:
        call = await begun(calls)
        call.line.caller.say(bytes(16_000))
        call.line.caller.say(said(1.0))
        await asyncio.sleep(after_ms / 1000)
        await call.hang_up()
        assert calls.calls_open == 0
        assert voice.chat.model.streaming == 0
        assert not call.opened.call._tasks
    assert call.told(SessionClosed)[-1].reason == "hangup"
    assert all(cell.state != "started" for cell in voice.chat.conversations.turns.values())


async def test_hanging_up_while_a_tool_runs_ends_the_call_at_once() -> None:
    voice = VoiceUnderTest(chat=with_lookup(20.0), heard=["Look it up, please."])
    async with voice.running(calling(LOOKUP)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(ToolStarted)
        began = asyncio.get_running_loop().time()
        await call.hang_up()
        assert asyncio.get_running_loop().time() - began < 0.5
        assert calls.calls_open == 0
    stored = [type(it.message).__name__ for it in await voice.chat.stored()]
    assert stored == ["UserMessage"]


async def test_hanging_up_while_a_tool_runs_behind_another_question_ends_the_call_at_once() -> None:
    voice = VoiceUnderTest(chat=with_lookup(20.0), heard=["Look it up, please.", "And how are you?"])
    async with voice.running(calling(LOOKUP, before="Let me see what I can find."), saying("Fine.")) as calls:
        call = await begun(calls)
        await call.quiet(3.5)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
        began = asyncio.get_running_loop().time()
        await call.hang_up()
        assert asyncio.get_running_loop().time() - began < 0.5
    said = await voice.history()
    assert said[-1] == ("agent", "Fine.")


class FaultyTextToSpeech(ToneTextToSpeech):
    """Has a bug, which its second text meets after a second."""

    def __init__(self) -> None:
        self._texts = 0

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        self._texts += 1
        if self._texts > 1:
            await asyncio.sleep(1.0)
            raise ValueError("a bug")
        async with super().speak(text, voicing) as sounds:
            yield sounds


async def test_a_bug_in_an_engine_ends_its_call_at_once_with_what_was_heard() -> None:
    voice = VoiceUnderTest(heard=["Hm?"], voices=[FaultyTextToSpeech()])
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(OutputStarted)
        async with asyncio.timeout(2.0):
            assert await call.call.ended() == "server_error"
    assert call.told(SessionClosed)[-1].reason == "server_error"
    (_, (role, text)) = await voice.history()
    assert (role, text) == ("agent", call.told(ResponseDone)[-1].text)
    assert LONG.startswith(text)


async def test_a_call_that_cannot_even_decide_ends_at_once_with_what_was_heard() -> None:
    full = False

    def record(_: object, line: bytes) -> None:
        if full:
            raise RuntimeError("a bug")

    voice = VoiceUnderTest(heard=["Hm?"], record=record)
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        full = True
        async with asyncio.timeout(2.0):
            assert await call.call.ended() == "server_error"
        assert voice.chat.model.streaming == 0
    (_, (role, text)) = await voice.history()
    assert role == "agent"
    assert LONG.startswith(text)


async def test_a_line_that_comes_when_the_call_has_just_ended_is_closed() -> None:
    voice = VoiceUnderTest()
    async with voice.running() as calls:
        call = await begun(calls)
        await call.quiet(0.5)
        call.call.close("hangup")
        other = InMemoryCall()
        call.call.attach(other.peer)
        await call.call.ended()
        await settled(lambda: other.caller.ended, 1.0)


class AwayTurnStore(InMemoryTurnStore):
    """Ends no turn while it is away."""

    away = True

    async def close(self, turn: TurnClosed) -> None:
        if self.away:
            raise StorageUnavailableError("away")
        await super().close(turn)


class ChatWithAwayStore(ChatUnderTest):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.turns = AwayTurnStore(self.conversations)

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.turns)


async def test_a_caller_is_let_go_at_once_while_the_store_is_away_and_nothing_is_lost() -> None:
    chat = ChatWithAwayStore(clock=LoopClock())
    voice = VoiceUnderTest(chat=chat, heard=["Hm?"])
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        call.call.close("drained")
        await settled(lambda: call.line.caller.ended, 0.1)
        await call.quiet(10.0)
        chat.turns.away = False
        assert await call.call.ended() == "drained"
    (_, (role, text)) = await voice.history()
    assert (role, text) == ("agent", call.told(ResponseDone)[-1].text)
    assert LONG.startswith(text)
    assert text


async def test_who_is_told_that_the_call_ended_can_call_again_while_it_is_stored() -> None:
    chat = ChatWithAwayStore(clock=LoopClock())
    voice = VoiceUnderTest(chat=chat, heard=["Hm?"], seats=SeatLimits(at_once=1))
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        again: list[asyncio.Task[CallUnderTest]] = []
        call.react = lambda event: (
            again.append(asyncio.create_task(begun(calls))) if isinstance(event, SessionClosed) else None
        )
        await asked(call)
        await call.until(OutputStarted)
        call.line.caller.hang_up()
        await call.until(SessionClosed)
        second = await again[0]
        assert calls.calls_open == 1
        chat.turns.away = False
        await call.call.ended()
        assert calls.calls_open == 1, "the seat of the second call"
        await second.hang_up()
        assert calls.calls_open == 0


async def test_a_server_that_stops_waits_for_what_an_ended_call_still_stores() -> None:
    chat = ChatWithAwayStore(clock=LoopClock())
    voice = VoiceUnderTest(chat=chat, heard=["Hm?"])
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        call.line.caller.hang_up()
        await call.until(SessionClosed)
        assert calls.calls_open == 0
        asyncio.get_running_loop().call_later(3.0, setattr, chat.turns, "away", False)
    (_, (role, text)) = await voice.history()
    assert (role, text) == ("agent", call.told(ResponseDone)[-1].text)


async def test_a_store_that_stays_away_is_tried_for_half_a_minute_after_a_call() -> None:
    chat = ChatWithAwayStore(clock=LoopClock())
    voice = VoiceUnderTest(chat=chat, heard=["Hm?"])
    async with voice.running(saying(LONG)) as calls:
        call = await begun(calls)
        await asked(call)
        await call.until(OutputStarted)
        call.line.caller.hang_up()
        began = asyncio.get_running_loop().time()
        await call.call.ended()
        assert 25.0 < asyncio.get_running_loop().time() - began < 40.0


async def test_a_call_that_comes_while_the_server_stops_leaves_no_timer() -> None:
    class SlowHistory(InMemoryTurnHistory):
        async def session(self, owner: Owner, session: SessionId) -> Session | None:
            await asyncio.sleep(1.0)
            return await super().session(owner, session)

    chat = ChatUnderTest(clock=LoopClock())
    chat.history = SlowHistory(chat.conversations)
    lines: list[bytes] = []
    voice = VoiceUnderTest(chat=chat, record=lambda _, line: lines.append(line))
    async with asyncio.TaskGroup() as tasks:
        async with voice.running() as calls:
            coming = tasks.create_task(refusal(begun(calls)))
            await asyncio.sleep(0.5)
        assert (await coming).code == "server_shutdown"
        assert calls.calls_open == 0
    assert not lines, "no call was begun, so nothing of it is armed"


async def refusal(coming: Awaitable[object]) -> LimitError:
    with pytest.raises(LimitError) as refused:
        await coming
    return refused.value


async def test_a_gauge_that_fails_ends_no_call(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(VoiceUnderTest):
        readings = iter((50, OSError("no such file"), 95))

        @property
        def percent(self) -> int:
            reading = next(self.readings, 95)
            if isinstance(reading, OSError):
                raise reading
            return reading

        @percent.setter
        def percent(self, _: int) -> None: ...

    voice = Broken(heard=["Hm?"])
    async with voice.running(saying("Noon.")) as calls:
        call = await begun(calls)
        await asked(call)
        assert (await call.until(ResponseDone)).text == "Noon."
        await call.quiet(2.0)
        with pytest.raises(LimitError) as busy:
            await begun(calls)
        await call.hang_up()
    assert busy.value.code == "server_overloaded"
    assert "could not be seen" in caplog.text


@pytest.mark.parametrize(("drain_s", "whole"), [(12.0, True), (3.0, False)])
async def test_ten_calls_are_told_goodbye_in_time_and_what_was_said_in_them_is_kept(
    drain_s: float, whole: bool
) -> None:
    voice = VoiceUnderTest(heard=["Hm?"] * 10, seats=SeatLimits(each=10))
    clock = asyncio.get_running_loop().time
    sessions = [SessionId(UUID(int=1_000 + it)) for it in range(10)]
    async with voice.running(*[saying(LONG)] * 30, drain_s=drain_s) as calls:
        callers = [await begun(calls, session=it) for it in sessions]
        await asyncio.gather(*(asked(it) for it in callers))
        for call in callers:
            await call.until(OutputStarted)
        began = clock()
    assert clock() - began <= drain_s + 1.0
    for call, session in zip(callers, sessions, strict=True):
        assert call.told(SessionDraining)
        assert call.told(SessionClosed)[-1].reason == "drained"
        assert call.line.caller.ended
        said = [it.text for it in call.told(ResponseDone)]
        assert LONG.startswith(said[0])
        assert said[0]
        assert (said == [LONG, "Goodbye!"]) == whole
        assert await voice.history(session) == [("user", "Hm?"), *(("agent", it) for it in said)]


async def test_a_caller_whose_line_is_lost_in_mid_sentence_is_answered_when_it_is_back() -> None:
    voice = VoiceUnderTest(heard=["Tell me more."])
    async with voice.call(*[saying(LONG)] * 3) as call:
        await call.quiet(0.5)
        call.line.caller.say(said(4.0))
        await call.quiet(1.0)
        call.line.caller.go_away()
        await call.until(SessionSuspended)
        await call.quiet(2.0)
        call.line.caller.come_back()
        done = await call.until(ResponseDone)
        assert call.sounding(since=call.at(SessionActive, 1))
    assert (done.status, done.text) == ("completed", LONG)
    assert (await voice.history())[:2] == [("user", "Tell me more."), ("agent", LONG)]


async def test_what_a_caller_said_who_then_vanishes_is_kept() -> None:
    voice = VoiceUnderTest(heard=["My name is Mei."])
    async with voice.running(*[saying("Hello, Mei.")] * 3) as calls:
        call = await begun(calls)
        await asked(call)
        call.line.caller.go_away()
        assert await call.call.ended() == "media_lost"
        assert calls.calls_open == 0
    assert (await voice.history())[0] == ("user", "My name is Mei.")


async def test_a_model_that_never_answers_is_given_up_and_the_next_question_is_answered() -> None:
    voice = VoiceUnderTest(heard=["Hm?", "And?"])
    async with voice.call((asyncio.Event(),), saying("Here I am.")) as call:
        await asked(call)
        began = asyncio.get_running_loop().time()
        failed = await call.until(ResponseDone)
        assert asyncio.get_running_loop().time() - began < 12.0
        assert (failed.status, failed.reason) == ("failed", "response_timeout")
        await settled(lambda: voice.chat.model.streaming == 0, 1.0)
        await asked(call)
        done = await call.until(ResponseDone, 2)
    assert done.text == "Here I am."


async def test_a_recogniser_that_never_answers_does_not_hold_up_the_call() -> None:
    class Stuck(ScriptedSpeechToText):
        @asynccontextmanager
        async def listen(self, hearing: Hearing):  # type: ignore[no-untyped-def]
            self._next()
            await asyncio.Event().wait()
            yield

    voice = VoiceUnderTest(recognisers=[Stuck(["Lost."])])
    async with voice.call(saying("Here I am.")) as call:
        await asked(call)
        await call.until(TurnDiscarded)
        call.call.typed("Can you hear me?")
        done = await call.until(ResponseDone, 2)  # behind the question to say it again
    assert done.text == "Here I am."


async def test_a_voice_that_never_makes_a_sound_leaves_its_answer_to_be_read() -> None:
    class Mute(ToneTextToSpeech):
        @asynccontextmanager
        async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
            await asyncio.Event().wait()
            async with super().speak(text, voicing) as sounds:
                yield sounds

    voice = VoiceUnderTest(heard=["Hm?"], voices=[Mute()])
    async with voice.call(*[saying("Noon.")] * 3) as call:
        await asked(call)
        began = asyncio.get_running_loop().time()
        assert (await call.until(SpeechUnavailable)).text == "Noon."
        assert asyncio.get_running_loop().time() - began < 8.0
    assert await voice.history() == [("user", "Hm?")]
