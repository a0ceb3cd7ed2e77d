"""The situations in which voice agents break, one after the other: T1 to T18 of the design."""

import pytest
from msgspec.structs import replace

from cozy_domain.voice.events import (
    CancelRequested,
    CancelResponse,
    CancelSegment,
    CancelTool,
    ClearPlayout,
    CloseRequested,
    CloseSession,
    CommitAssistant,
    CommitUser,
    ConfirmResponse,
    CorrectUser,
    EndOfTurnPredicted,
    EnqueuePlayout,
    FinalizeTranscription,
    MediaLost,
    MediaResumed,
    OpenTranscription,
    PausePlayout,
    RecordToolResult,
    ResponseFailed,
    ResponseTextFinished,
    ResumePlayout,
    SoundHeard,
    SpeechSynthesized,
    StartResponse,
    SynthesisFinished,
    SynthesizeSegment,
    TextTyped,
    ToolCompleted,
    ToolRequested,
    TranscriptFailed,
    TranscriptFinished,
    TranscriptUpdated,
    TruncateAssistant,
    TruncationRequested,
)
from cozy_domain.voice.policy import DEFAULT, MS, Phrases, S
from cozy_domain.voice.public import (
    FalseInterruption,
    InputSpeechStarted,
    InputTranscriptionFailed,
    ResponseDone,
    SessionClosed,
    SpeechUnavailable,
    TurnCommitted,
    TurnDiscarded,
)
from cozy_domain.voice.session import agent_state
from cozy_domain.voice.state import UNANSWERED, Phase
from tests.fixtures.voice import Call, samples24

QUIET_START = replace(DEFAULT, interruption=replace(DEFAULT.interruption, call_guard_ns=0))
"""Without the guarded first seconds of a call, which most tests are not about."""


@pytest.fixture
def call() -> Call:
    return Call(QUIET_START)


def test_t1_speech_while_the_agent_thinks_opens_a_turn_and_cancels_the_reply(call: Call) -> None:
    asked = call.ask()
    call.start_speaking()
    call.wait(200 * MS)
    assert call.last(CancelResponse) == CancelResponse(asked.response_id, "turn_detected")
    assert call.last(InputSpeechStarted).turn_id == asked.turn_id + 1
    assert not call.all(CommitAssistant)


def test_t2_a_complete_sentence_that_is_understood_already_is_committed_at_once(call: Call) -> None:
    call.speak()
    ended = call.at - 96 * MS
    call.wait(304 * MS)
    call.understand("How are you?")
    assert not call.all(CommitUser)
    call.tell(EndOfTurnPredicted(call.at, 1, 1, 0.9))
    assert call.last(CommitUser).text == "How are you?"
    assert call.at - ended == 400 * MS


def test_t2_without_any_wait_the_turn_is_committed_at_the_shortest_delay(call: Call) -> None:
    call.speak()
    ended = call.at - 96 * MS
    call.understand("How are you?")
    call.tell(EndOfTurnPredicted(call.at, 1, 1, 0.9))
    call.wait(S)
    committed = next(at for at, actions in call.steps if any(isinstance(it, CommitUser) for it in actions))
    assert committed.at - ended == DEFAULT.endpointing.complete_ns


def test_t3_without_a_transcript_it_is_asked_for_once_more_and_then_the_turn_is_discarded(call: Call) -> None:
    call.speak()
    call.wait(10 * S)
    assert len(call.all(FinalizeTranscription)) == 2
    assert call.last(TurnDiscarded).reason == "no_transcript"
    assert not call.all(CommitUser)
    assert agent_state(call.state) == "listening"


def test_t3_what_was_understood_so_far_is_taken_when_the_final_transcript_never_comes(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "How are"))
    call.stop_speaking()
    call.wait(6 * S)
    assert call.last(CommitUser).text == "How are"


def test_t3_an_agent_that_was_cut_short_for_nothing_asks_to_say_it_again() -> None:
    call = Call(replace(QUIET_START, phrases=Phrases(not_understood="Sorry?")))
    call.ask()
    call.reply()
    call.start_speaking()
    call.wait(S)
    call.clear()
    call.stop_speaking()
    call.wait(10 * S)
    assert call.last(TurnDiscarded).reason == "no_transcript"
    assert any(it.text == "Sorry?" for it in call.all(SynthesizeSegment))


def test_t3_when_no_recogniser_could_hear_it_is_told_and_asked_to_be_said_again() -> None:
    call = Call(replace(QUIET_START, phrases=Phrases(not_understood="Sorry?")))
    call.speak()
    call.tell(TranscriptFailed(call.at, 1, 1, "engine_unavailable"))
    call.wait(S)
    ends = [it for it in call.told if isinstance(it, InputTranscriptionFailed | TurnDiscarded)]
    assert ends == [InputTranscriptionFailed(1, "engine_unavailable"), TurnDiscarded(1, "no_transcript")]
    assert any(it.text == "Sorry?" for it in call.all(SynthesizeSegment))


def test_t3_a_recogniser_that_says_nothing_has_failed_as_well() -> None:
    call = Call(replace(QUIET_START, phrases=Phrases(not_understood="Sorry?")))
    call.speak()
    call.wait(10 * S)
    assert call.last(InputTranscriptionFailed) == InputTranscriptionFailed(1, UNANSWERED)
    assert any(it.text == "Sorry?" for it in call.all(SynthesizeSegment))


def test_t3_what_holds_no_words_is_no_failure() -> None:
    call = Call(replace(QUIET_START, phrases=Phrases(not_understood="Sorry?")))
    call.speak()
    call.understand("")
    call.wait(S)
    assert call.last(TurnDiscarded).reason == "no_transcript"
    assert not call.all(SynthesizeSegment)
    assert InputTranscriptionFailed not in map(type, call.told)


def test_t4_a_short_noise_over_the_agent_lets_it_go_on_at_the_paused_sample(call: Call) -> None:
    call.ask()
    call.reply()
    before = (call.state.playout.pushed, len(call.all(CommitUser)))
    call.speak(200 * MS)
    assert call.all(PausePlayout)
    assert not call.all(ResumePlayout)
    call.wait(1_500 * MS)
    assert call.last(FalseInterruption).response_id == call.state.response.response_id  # type: ignore[union-attr]
    assert len(call.all(ResumePlayout)) == 1
    assert not call.all(ClearPlayout)
    assert (call.state.playout.pushed, len(call.all(CommitUser))) == before
    assert not call.all(CommitAssistant)


def test_t4_a_sign_of_listening_lets_the_agent_go_on_as_soon_as_it_is_understood(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(200 * MS)
    call.understand("mhm")
    assert call.all(ResumePlayout)
    assert call.state.overlap is None


def test_t5_an_interruption_clears_commits_what_was_heard_and_keeps_the_sound_from_its_beginning(
    call: Call,
) -> None:
    call.ask()
    call.reply("One two three four five six seven eight.", played=500 * MS)
    begun = call.at
    call.start_speaking()
    assert call.last(OpenTranscription).sample == begun * 16_000 // S
    call.wait(600 * MS)
    assert call.last(CancelResponse).reason == "turn_detected"
    call.clear()
    heard = call.last(CommitAssistant)
    assert heard.interrupted
    assert heard.text
    assert "One two three four five six seven eight.".startswith(heard.text)
    assert heard.samples == samples24(500 * MS)
    assert call.last(InputSpeechStarted).sample == begun * 16_000 // S
    assert len(call.all(OpenTranscription)) == 2


def test_t5_two_words_interrupt_before_the_time_is_up(call: Call) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(TranscriptUpdated(call.at, 2, 1, "no wait"))
    assert call.last(CancelResponse).reason == "turn_detected"


def test_t5_the_next_turn_is_committed_after_what_was_heard(call: Call) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.wait(600 * MS)
    call.stop_speaking()
    call.understand("Not now.")
    call.tell(EndOfTurnPredicted(call.at, 2, 1, 0.9))
    call.wait(300 * MS)
    assert len(call.all(CommitUser)) == 1
    call.clear()
    kinds = [type(it) for it in call.done if isinstance(it, CommitUser | CommitAssistant | CancelResponse)]
    assert kinds == [CommitUser, CancelResponse, CommitAssistant, CommitUser]


def test_t6_interrupted_before_the_first_sample_nothing_was_said(call: Call) -> None:
    call.ask()
    call.write("I am well, thank you.")
    call.sound_all()
    assert call.all(EnqueuePlayout)
    call.start_speaking()
    call.wait(200 * MS)
    call.clear()
    assert not call.all(CommitAssistant)
    assert call.last(ResponseDone).status == "cancelled"
    assert call.last(ResponseDone).text == ""


def test_t7_who_goes_on_within_a_speculation_drops_it_silently_and_keeps_the_turn(call: Call) -> None:
    call.speak()
    call.understand("I would like")
    guess = call.last(StartResponse)
    assert guess.speculative
    told = len([it for it in call.told if isinstance(it, ResponseDone)])
    call.wait(100 * MS)
    call.start_speaking()
    assert call.last(CancelResponse).response_id == guess.response_id
    assert len([it for it in call.told if isinstance(it, ResponseDone)]) == told
    turn = call.state.turn
    assert turn
    assert (turn.turn_id, turn.rev) == (guess.turn_id, 2)
    call.stop_speaking()
    call.understand("a cup of tea.")
    call.wait(S)
    assert call.last(CommitUser).text == "I would like a cup of tea."
    assert call.last(ConfirmResponse).response_id == call.last(StartResponse).response_id


def test_the_sound_of_a_dropped_speculation_is_not_kept(call: Call) -> None:
    call.speak()
    call.understand("I would like")
    call.write("A cup of tea it is.")
    made = call.last(SynthesizeSegment)
    call.sound()
    call.start_speaking()
    assert call.last(CancelResponse).response_id == made.response_id
    assert call.last(CancelSegment).segment_id == made.segment_id


def test_t8_a_tool_goes_on_in_the_background_and_its_result_is_told_when_nobody_speaks(call: Call) -> None:
    asked = call.ask()
    call.write("Let me look that up for you. ", finished=False)
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.sound_all()
    call.play(300 * MS)
    call.start_speaking()
    call.wait(600 * MS)
    assert call.last(CancelResponse).background == ("call_1",)
    assert not call.all(CancelTool)
    call.clear()
    call.tell(ToolCompleted(call.at, "call_1"))
    assert call.all(RecordToolResult) == [RecordToolResult(asked.response_id, "call_1", "ok")]
    assert call.last(StartResponse) == asked
    call.stop_speaking()
    call.understand("Thanks, never mind.")
    call.wait(S)
    call.reply("All right.", played=2 * S)
    late = call.last(StartResponse)
    assert (late.cause, late.calls) == ("tool_result", ("call_1",))


def test_t8_a_tool_that_says_so_is_cancelled_with_its_reply(call: Call) -> None:
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "count", cancel_on_barge_in=True))
    call.start_speaking()
    call.wait(600 * MS)
    assert call.all(CancelTool)
    assert call.all(RecordToolResult) == [RecordToolResult(asked.response_id, "call_1", "cancelled")]
    assert call.last(CancelResponse).background == ()


def test_t9_a_result_that_comes_too_late_is_recorded_once_and_told_only_if_the_policy_says_so() -> None:
    call = Call(replace(QUIET_START, tools=replace(DEFAULT.tools, late_reply=False)))
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.speak()
    call.tell(ToolCompleted(call.at, "call_1"))
    call.tell(ToolCompleted(call.at, "call_1"))
    assert len(call.all(RecordToolResult)) == 1
    call.wait(20 * S)
    assert all(it.cause == "turn" for it in call.all(StartResponse))


def test_t10_sound_and_marks_of_a_cancelled_segment_change_nothing(call: Call) -> None:
    asked = call.ask()
    call.write("A sentence to begin with. Another one.")
    call.start_speaking()
    call.wait(200 * MS)
    before = replace(call.state, ignored=type(call.state.ignored)())
    stale = call.state.ignored.stale
    assert call.tell(SpeechSynthesized(call.at, asked.response_id, 1, 4_800)) == ()
    assert call.tell(SynthesisFinished(call.at, asked.response_id, 1)) == ()
    assert replace(call.state, ignored=type(call.state.ignored)()) == before
    assert call.state.ignored.stale == stale + 2


def test_t11_what_is_understood_after_the_commit_begins_the_next_turn(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me"))
    call.stop_speaking()
    call.wait(6 * S)
    assert call.last(CommitUser).text == "Tell me"
    call.tell(TranscriptFinished(call.at, 1, 1, "Tell me about ferries."))
    call.start_speaking()
    call.wait(S)
    call.stop_speaking()
    call.understand("At noon.")
    call.wait(S)
    assert call.last(CommitUser).text == "about ferries. At noon."


def test_t11_what_is_understood_before_the_reply_sounds_corrects_the_turn_if_the_profile_says_so() -> None:
    correcting = replace(DEFAULT.endpointing, late_transcript="correct")
    call = Call(replace(QUIET_START, endpointing=correcting))
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me"))
    call.stop_speaking()
    call.wait(6 * S)
    first = call.last(StartResponse)
    call.write("What shall I")
    call.tell(TranscriptFinished(call.at, 1, 1, "Tell me about ferries."))
    assert call.last(CancelResponse).response_id == first.response_id
    assert call.all(CorrectUser) == [CorrectUser(1, "Tell me about ferries.")]
    second = call.last(StartResponse)
    assert (second.turn_id, second.text, second.corrected) == (1, "Tell me about ferries.", True)
    assert len(call.all(CommitUser)) == 1
    call.reply("At noon.", played=2 * S)
    assert call.last(CommitAssistant).text == "At noon."
    assert call.state.late_text == ""


@pytest.mark.parametrize("hindrance", ["heard", "tool", "speaking", "typed"])
def test_t11_a_reply_that_sounds_or_called_a_tool_is_not_begun_anew(hindrance: str) -> None:
    correcting = replace(DEFAULT.endpointing, late_transcript="correct")
    call = Call(replace(QUIET_START, endpointing=correcting))
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me"))
    call.stop_speaking()
    call.wait(6 * S)
    reply = call.last(StartResponse)
    match hindrance:
        case "heard":
            call.reply("What shall I tell you, my dear?")
        case "tool":
            call.tell(ToolRequested(call.at, reply.response_id, "call_1", "search"))
        case "speaking":
            call.start_speaking()
            call.wait(300 * MS)
        case _:
            call.tell(ResponseFailed(call.at, reply.response_id, "provider_down"))
    call.tell(TranscriptFinished(call.at, 1, 1, "Tell me about ferries."))
    assert not call.all(CorrectUser)
    assert call.state.late_text == "about ferries."


def test_t11_who_speaks_before_the_cancelled_reply_is_silent_is_answered_as_a_whole() -> None:
    correcting = replace(DEFAULT.endpointing, late_transcript="correct")
    call = Call(replace(QUIET_START, endpointing=correcting))
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "Tell me"))
    call.stop_speaking()
    call.wait(6 * S)
    call.write("What shall I tell you?")
    call.sound_all()
    call.tell(TranscriptFinished(call.at, 1, 1, "Tell me about ferries."))
    assert call.all(CorrectUser)
    assert len(call.all(StartResponse)) == 1
    call.tell(TextTyped(call.at, "To Naxos."))
    call.clear()
    assert call.last(CommitUser).text == "To Naxos."
    assert call.last(StartResponse).text == "To Naxos."
    assert len(call.all(StartResponse)) == 2


def test_t12_a_voice_that_makes_no_sound_leaves_the_text_and_the_agent_listens(call: Call) -> None:
    asked = call.ask()
    call.write("I am well.")
    call.tell(SynthesisFinished(call.at, asked.response_id, 1))
    done = call.last(ResponseDone)
    assert (done.status, done.reason) == ("incomplete", "no_audio")
    assert call.last(SpeechUnavailable).text == "I am well."
    assert agent_state(call.state) == "listening"


def test_t13_a_model_that_says_nothing_has_completed_an_empty_reply(call: Call) -> None:
    asked = call.ask()
    call.tell(ResponseTextFinished(call.at, asked.response_id))
    done = call.last(ResponseDone)
    assert (done.status, done.text) == ("completed", "")
    assert agent_state(call.state) == "listening"
    assert not call.all(CommitAssistant)


def test_t14_what_is_said_over_a_protected_reply_is_decided_about_after_it() -> None:
    protected = replace(QUIET_START.interruption, protected=("turn",))
    call = Call(replace(QUIET_START, interruption=protected))
    call.ask()
    call.reply("I have to tell you this.", played=300 * MS)
    call.start_speaking()
    call.play(200 * MS)
    call.tell(TranscriptUpdated(call.at, 2, 1, "but I do not want to"))
    assert not call.all(PausePlayout)
    assert not call.all(CancelResponse)
    call.stop_speaking()
    call.understand("But I do not want to hear it.")
    call.play(2 * S)
    call.wait(S)
    assert call.last(ResponseDone).status == "completed"
    assert call.last(CommitUser).text == "But I do not want to hear it."


def test_t15_a_lost_line_freezes_the_reply_and_it_goes_on_when_it_is_back(call: Call) -> None:
    call.ask()
    call.reply(played=400 * MS)
    call.tell(MediaLost(call.at))
    frozen = call.state.playout.played
    call.wait(10 * S)
    assert call.state.playout.played == frozen
    assert call.state.phase is Phase.SUSPENDED
    call.tell(MediaResumed(call.at))
    call.play(5 * S)
    assert call.last(ResponseDone).status == "completed"
    assert not call.last(CommitAssistant).interrupted


def test_t15_on_another_line_the_rest_is_said_again_from_where_it_was_heard(call: Call) -> None:
    call.ask()
    call.reply("One two three four. Five six seven eight.", played=1_500 * MS)
    call.tell(MediaLost(call.at))
    ordered = len(call.all(SynthesizeSegment))
    call.tell(MediaResumed(call.at, kept=False))
    again = call.all(SynthesizeSegment)[ordered]
    assert again.text.strip() == "seven eight."
    call.sound_all()
    call.play(2 * S)
    whole = call.last(CommitAssistant)
    assert (whole.text, whole.interrupted) == ("One two three four. Five six seven eight.", False)
    assert len(call.all(CommitAssistant)) == 1


def test_t15_what_was_played_to_a_line_that_was_silent_already_is_said_again_on_another_one(
    call: Call,
) -> None:
    call.ask()
    call.reply("One two three four. Five six seven eight.", played=1_500 * MS)
    call.tell(MediaLost(call.at, silent_ns=S))
    ordered = len(call.all(SynthesizeSegment))
    call.tell(MediaResumed(call.at, kept=False))
    again = call.all(SynthesizeSegment)[ordered]
    assert again.text.strip() == "two three four."
    call.sound_all()
    call.play(4 * S)
    whole = call.last(CommitAssistant)
    assert (whole.text, whole.interrupted) == ("One two three four. Five six seven eight.", False)


def test_t15_what_was_played_to_a_line_that_was_silent_and_stays_lost_was_not_heard(call: Call) -> None:
    call.ask()
    call.reply("One two three four. Five six seven eight.", played=1_500 * MS)
    call.tell(MediaLost(call.at, silent_ns=S))
    call.wait(20 * S)
    call.clear()
    said = call.last(CommitAssistant)
    assert (said.text, said.samples) == ("One", samples24(500 * MS))
    assert said.interrupted


def test_t15_of_a_reply_that_began_when_the_line_was_silent_nothing_was_heard(call: Call) -> None:
    call.ask()
    call.reply(played=600 * MS)
    call.tell(MediaLost(call.at, silent_ns=2 * S))
    call.wait(20 * S)
    call.clear()
    assert not call.all(CommitAssistant)


def test_t15_what_was_played_to_a_silent_line_counts_when_it_goes_on(call: Call) -> None:
    call.ask()
    call.reply(played=800 * MS)
    call.tell(MediaLost(call.at, silent_ns=2 * S))
    call.tell(MediaResumed(call.at))
    call.tell(CloseRequested(call.at, "hangup"))
    call.clear()
    assert call.last(CommitAssistant).samples == samples24(800 * MS)


def test_t15_a_reply_that_is_cut_on_a_silent_line_stays_cut_when_it_goes_on(call: Call) -> None:
    call.ask()
    call.reply(played=800 * MS)
    call.tell(CancelRequested(call.at))
    call.tell(MediaLost(call.at, silent_ns=500 * MS))
    call.tell(MediaResumed(call.at))
    call.clear()
    assert call.last(CommitAssistant).samples == samples24(300 * MS)


def test_t15_a_reply_that_is_cut_is_not_said_again_on_another_line(call: Call) -> None:
    call.ask()
    call.reply(played=800 * MS)
    call.tell(CancelRequested(call.at))
    call.tell(MediaLost(call.at))
    call.tell(MediaResumed(call.at, kept=False))
    assert not call.all(CommitAssistant)
    call.clear()
    assert call.last(CommitAssistant).samples == samples24(800 * MS)


def test_t15_a_line_that_stays_lost_ends_the_call(call: Call) -> None:
    call.tell(MediaLost(call.at))
    call.wait(20 * S)
    assert call.last(CloseSession).reason == "media_lost"


def test_t16_closing_in_the_middle_commits_what_was_heard_and_says_so_once(call: Call) -> None:
    call.ask()
    call.reply(played=800 * MS)
    call.tell(CloseRequested(call.at, "hangup"))
    call.clear()
    assert call.last(CommitAssistant).interrupted
    assert call.told[-1] == SessionClosed("hangup")
    assert isinstance(call.done[-1], CloseSession)
    assert not call.state.timers
    assert call.tell(CloseRequested(call.at, "hangup")) == ()


def test_t16_a_line_that_does_not_answer_does_not_keep_the_call_from_closing(call: Call) -> None:
    call.ask()
    call.reply(played=800 * MS)
    call.tell(CloseRequested(call.at, "hangup"))
    call.wait(S)
    assert call.state.phase is Phase.CLOSED
    assert call.last(CommitAssistant).samples == samples24(800 * MS)


def test_t17_a_microphone_that_stops_in_mid_speech_ends_the_speech(call: Call) -> None:
    call.tell(SoundHeard(call.at, 0))
    call.start_speaking()
    call.wait(400 * MS)
    call.tell(SoundHeard(call.at, 8_000))
    heard = call.at
    call.wait(S)
    assert call.state.turn
    assert call.state.turn.ended == heard
    assert call.last(FinalizeTranscription).sample == 8_000
    call.understand("Hello?")
    call.wait(S)
    assert call.last(TurnCommitted).text == "Hello?"


def test_t18_truncating_behind_the_end_is_no_error(call: Call) -> None:
    asked = call.ask()
    call.reply("I am well.", played=2 * S)
    assert call.last(CommitAssistant).text == "I am well."
    call.tell(TruncationRequested(call.at, asked.response_id, 10**9))
    assert not call.all(TruncateAssistant)


def test_t18_truncating_before_the_end_changes_the_history(call: Call) -> None:
    asked = call.ask()
    call.reply("One two three four.", played=2 * S)
    call.tell(TruncationRequested(call.at, asked.response_id, samples24(500 * MS)))
    cut = call.last(TruncateAssistant)
    assert "One two three four.".startswith(cut.text)
    assert 0 < len(cut.text) < len("One two three four.")
    assert cut.samples == samples24(500 * MS)


def test_t18_truncating_what_is_being_said_ends_it_there(call: Call) -> None:
    asked = call.ask()
    call.reply("One two three four.", played=700 * MS)
    call.tell(TruncationRequested(call.at, asked.response_id, samples24(500 * MS)))
    call.clear()
    assert call.last(CommitAssistant).samples == samples24(500 * MS)
    assert call.last(CommitAssistant).interrupted
