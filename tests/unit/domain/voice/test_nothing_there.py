"""A rule whose subject is gone does nothing."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cozy_domain.speech.segments import Piece
from cozy_domain.voice import interruption, playout, response, session, speculation, turns
from cozy_domain.voice.events import (
    CancelRequested,
    CancelResponse,
    ClearPlayout,
    CommitUser,
    EndOfTurnPredicted,
    EnqueuePlayout,
    InputCleared,
    OverlapClassified,
    PausePlayout,
    PlayoutProgressed,
    RecordToolResult,
    ResponseTextFinished,
    ResumePlayout,
    SoundHeard,
    SpeechStarted,
    SpeechStopped,
    Timer,
    ToolRequested,
    TranscriptFinished,
    TranscriptUpdated,
)
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import DEFAULT, MS, S
from cozy_domain.voice.public import ToolStarted
from cozy_domain.voice.state import Turn, UserVoice
from tests.fixtures.voice import WINDOWS, Call, samples

PROFILE = replace(DEFAULT, interruption=replace(DEFAULT.interruption, call_guard_ns=0))
ENDING = {Timer.CONNECT, Timer.RECONNECT, Timer.SESSION_LIMIT, Timer.DRAIN, Timer.IDLE}
"""Timers that always mean something: they end the call, or ask."""

RULES: dict[str, Callable[[Moment], object]] = {
    "confirm a reply": lambda m: response.confirm(m, Turn(1, 0, 0, 0)),
    "drop a speculation": lambda m: response.drop(m, "closed"),
    "cancel a reply": lambda m: response.cancel(m, "closed"),
    "fail a reply": lambda m: response.fail(m, "failed", "broken"),
    "notice a stall": response.stall,
    "order sound": response.synthesize,
    "cut segments": response.flush,
    "add a segment": lambda m: response._add(m, Piece("text", 0)),
    "say it again": response.say_again,
    "enqueue": playout.pump,
    "go on playing": playout.resume,
    "note the start": lambda m: playout._note_start(m, 480),
    "review a speculation": speculation.review,
    "pass the endpoint": turns.endpoint_passed,
    "await the endpoint": turns._await_endpoint,
    "await transcripts": turns._await_transcripts,
    "answer anew": turns.answer_owed,
    "forget what is late": turns.forget_late,
    "confirm an interruption": interruption.confirm,
    "dismiss one": interruption.dismiss,
    "drop one": interruption.drop,
    "decide about one": interruption._decide_by_words,
    "end a guarded time": interruption.guard_over,
    "challenge a reply": interruption._challenge,
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_about_nothing_changes_nothing(name: str) -> None:
    state = Call(PROFILE).state
    m = Moment(S, state)
    RULES[name](m)
    assert (m.state, m.actions) == (state, [])


@pytest.mark.parametrize(
    "timer", [it for it in Timer if it not in ENDING | {Timer.SPEECH_START, Timer.AUDIO_IDLE}]
)
def test_a_timer_about_nothing_changes_nothing_that_matters(timer: Timer) -> None:
    state = Call(PROFILE).state
    m = Moment(60 * S, state)
    session._fire(m, timer, 0)
    assert m.actions == []
    assert (m.state.turn, m.state.response, m.state.overlap) == (None, None, None)


def test_a_verdict_about_what_is_only_noted_is_ignored() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, protected=("turn",))))
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(OverlapClassified(call.at, 2, "interruption"))
    assert call.state.ignored.unexpected == 1
    call.tell(EndOfTurnPredicted(call.at, 2, 9, 0.9))
    assert call.state.ignored.stale == 1


def test_too_many_noises_over_one_reply_are_not_listened_to_any_more() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, protected=("turn",))))
    call.ask()
    call.write("One two three four five six seven.")
    call.sound_all(120 * S)
    call.play(500 * MS)
    for _ in range(80):
        onset = call.at
        call.play(100 * MS)
        call.tell(SpeechStarted(call.at, samples(onset), onset))
        call.play(200 * MS)
        call.tell(SpeechStopped(call.at, samples(call.at), WINDOWS))
        call.play(200 * MS)
    assert call.state.overlap
    assert len(call.state.overlap.turn.stretches) == turns.STRETCHES


def test_a_microphone_that_stops_over_a_reply_ends_that_too() -> None:
    call = Call(PROFILE)
    call.ask()
    call.reply()
    call.tell(SoundHeard(call.at, samples(call.at)))
    call.start_speaking()
    call.tell(SoundHeard(call.at, samples(call.at)))
    quiet = replace(call.state.profile.interruption, confirm_ns=5 * S, false_ns=5 * S)
    call.state = replace(call.state, profile=replace(call.state.profile, interruption=quiet))
    call.state = replace(
        call.state, timers=tuple(it for it in call.state.timers if it.timer is not Timer.OVERLAP_CONFIRM)
    )
    call.wait(1_010 * MS)
    assert call.state.overlap
    assert call.state.voice.kind == "quiet"


def test_a_reply_paused_with_nothing_queued_is_not_left_paused() -> None:
    call = Call(PROFILE)
    call.ask()
    call.write("One is here. And two", finished=False)
    call.sound_all(S)
    call.play(2 * S)
    call.start_speaking()
    assert call.all(PausePlayout)
    call.wait(600 * MS)
    assert call.all(ResumePlayout)
    assert call.state.response is None


def test_sound_that_comes_while_the_reply_is_paused_is_enqueued_behind_it() -> None:
    call = Call(PROFILE)
    call.ask()
    call.write("One is here. Two is here.")
    call.sound()
    call.play(500 * MS)
    call.start_speaking()
    before = len(call.all(EnqueuePlayout))
    call.sound()
    assert len(call.all(EnqueuePlayout)) == before + 1
    assert not call.armed(Timer.PLAYOUT)


def test_a_line_that_tells_the_same_position_again_changes_nothing() -> None:
    call = Call(PROFILE)
    call.ask()
    call.reply()
    before = call.state.playout
    call.tell(PlayoutProgressed(call.at, before.line))
    assert call.state.playout == before


def test_a_detector_without_a_turn_stops_nothing() -> None:
    state = Call(PROFILE).state
    m = Moment(S, replace(state, voice=replace(state.voice, kind=UserVoice.SPEAKING)))
    session._speech_stopped(m, SpeechStopped(S, 16_000, WINDOWS))
    assert m.state.turn is None


def test_rules_that_never_come_to_rest_do_not_hang_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_SETTLING", (lambda m: m.put(load=m.state.load + 1),))
    call = Call(PROFILE)
    assert call.state.load == session._ROUNDS


def test_a_second_noise_after_the_guarded_time_pauses_the_reply() -> None:
    call = Call(DEFAULT)
    call.at = S
    call.ask(ns=200 * MS)
    call.reply(played=300 * MS)
    call.speak(150 * MS)
    call.play(1_300 * MS)
    assert not call.all(PausePlayout)
    assert call.state.overlap
    call.start_speaking()
    assert call.all(PausePlayout)


def test_speech_that_lasted_is_meant_though_its_timer_is_late() -> None:
    call = Call(PROFILE)
    call.ask()
    call.reply()
    call.start_speaking()
    call.at += 700 * MS
    call.tell(SpeechStopped(call.at, samples(call.at), WINDOWS))
    assert call.all(ClearPlayout)


def test_speech_that_began_before_a_message_was_typed_joins_it() -> None:
    call = Call(PROFILE)
    call.speak()
    call.wait(S)
    call.tell(InputCleared(call.at, samples(call.at)))
    call.start_speaking()
    call.state = replace(call.state, turn=Turn(9, call.at, call.at, 0, typed=True))
    call.wait(200 * MS)
    assert call.state.turn
    assert (call.state.turn.turn_id, call.state.turn.kind) == (9, "open")


def test_speech_that_began_before_the_reply_was_heard_is_speech_over_it() -> None:
    call = Call(PROFILE)
    call.ask()
    call.write("I am well. And you?")
    call.sound_all()
    call.start_speaking()
    call.play(100 * MS)
    call.play(200 * MS)
    assert call.state.overlap


def test_speech_before_a_protected_reply_is_heard_waits_for_its_end() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, protected=("turn",))))
    asked = call.ask()
    call.speak()
    call.understand("And one more thing.")
    call.wait(S)
    assert not call.all(CancelResponse)
    assert len(call.all(CommitUser)) == 1
    call.tell(ResponseTextFinished(call.at, asked.response_id))
    assert call.last(CommitUser).text == "And one more thing."


def test_a_microphone_that_stops_before_speech_is_speech_ends_that_too() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, thinking_ns=3 * S)))
    call.ask()
    call.tell(SoundHeard(call.at, samples(call.at)))
    call.start_speaking()
    call.wait(2 * S)
    assert call.state.voice.kind is UserVoice.QUIET
    assert not call.all(CancelResponse)


def test_a_line_that_is_ahead_of_what_was_enqueued_has_played_no_more_than_that() -> None:
    call = Call(PROFILE)
    call.ask()
    call.write("One is here. And two", finished=False)
    call.sound_all(S)
    call.play(2 * S)
    call.tell(PlayoutProgressed(call.at, call.state.playout.line + 4_800))
    assert call.state.playout.played == call.state.playout.pushed


def test_a_late_partial_transcript_of_a_committed_turn_is_not_kept() -> None:
    call = Call(PROFILE)
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me"))
    call.stop_speaking()
    call.wait(6 * S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me about"))
    assert call.state.late_text == ""


def test_late_words_may_be_left_out_by_the_profile() -> None:
    ignoring = replace(PROFILE.endpointing, late_transcript="ignore")
    call = Call(replace(PROFILE, endpointing=ignoring))
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me"))
    call.stop_speaking()
    call.wait(6 * S)
    call.tell(TranscriptFinished(call.at, 1, 1, "Tell me about it"))
    assert call.state.late_text == ""


def test_a_tool_that_hangs_in_the_background_is_given_up_too() -> None:
    call = Call(PROFILE)
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.tell(CancelRequested(call.at))
    call.wait(31 * S)
    assert call.all(RecordToolResult) == [RecordToolResult(asked.response_id, "call_1", "failed")]


def test_a_tool_still_at_work_when_the_speculation_comes_true_is_told_then() -> None:
    call = Call(PROFILE)
    call.speak()
    call.understand("What time is it?")
    call.tell(ToolRequested(call.at, 1, "call_1", "clock"))
    call.wait(S)
    assert call.last(ToolStarted).call_id == "call_1"
    assert not call.all(RecordToolResult)
