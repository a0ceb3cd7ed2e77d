"""What a call does by its profile: phrases, silence, limits, deadlines, speculation, typing, commands."""

import pytest
from msgspec.structs import replace

from cozy_domain.speech.ports import Mark
from cozy_domain.voice.events import (
    CancelRequested,
    CancelResponse,
    CancelSegment,
    ClearPlayout,
    CloseRequested,
    CloseSession,
    CloseTranscription,
    CommitAssistant,
    CommitUser,
    ConfirmResponse,
    DrainRequested,
    DtmfPressed,
    EndOfTurnPredicted,
    EndResponse,
    EnqueuePlayout,
    FadePlayout,
    FinalizeTranscription,
    InputCleared,
    InputCommitted,
    LoadReported,
    MediaLost,
    OpenTranscription,
    OverlapClassified,
    PausePlayout,
    PersonaSwitched,
    PlayoutProgressed,
    PredictEndOfTurn,
    RecordLatency,
    RecordToolResult,
    ResponseFailed,
    ResponseRequested,
    ResponseTextAdded,
    ResponseTextFinished,
    ResumePlayout,
    SpeechStarted,
    SpeechStopped,
    SpeechSynthesized,
    StartResponse,
    SynthesisFailed,
    SynthesisFinished,
    SynthesizeSegment,
    TextTyped,
    Timer,
    ToolCompleted,
    ToolFailed,
    ToolProgressed,
    ToolRequested,
    TranscriptFailed,
    TranscriptFinished,
    TranscriptUpdated,
)
from cozy_domain.voice.policy import DEFAULT, MS, Phrases, S, VoiceProfile
from cozy_domain.voice.public import (
    IdlePrompted,
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscriptionFailed,
    ResponseCreated,
    ResponseDone,
    SpeechUnavailable,
    ToolEnded,
    ToolStarted,
    TurnDiscarded,
    TurnExceeded,
)
from cozy_domain.voice.response import words
from cozy_domain.voice.session import agent_state, heard_text, user_state
from cozy_domain.voice.state import Phase, joined
from cozy_domain.voice.tool_calls import LATE_CALLS
from cozy_domain.voice.turns import paused_after
from tests.fixtures.voice import WINDOWS, Call, samples

PROFILE = replace(DEFAULT, interruption=replace(DEFAULT.interruption, call_guard_ns=0))
TALKING = replace(
    PROFILE,
    phrases=Phrases(
        greeting="Hello.",
        fillers=("One moment.",),
        idle=("Are you there?",),
        goodbye="Goodbye.",
        time_limit="Time.",
    ),
)


@pytest.fixture
def call() -> Call:
    return Call(PROFILE)


def spoken(call: Call) -> list[str]:
    return [it.text for it in call.all(SynthesizeSegment)]


def say_all(call: Call) -> None:
    """What is being said is made into sound and played to its end."""
    call.sound_all(300 * MS)
    call.play(2 * S)


def with_speaking(**changes: int) -> VoiceProfile:
    return replace(PROFILE, speaking=replace(PROFILE.speaking, **changes))


# The call itself.


def test_a_line_that_never_connects_ends_the_call() -> None:
    call = Call(PROFILE, connected=False)
    assert agent_state(call.state) == "initializing"
    call.wait(30 * S)
    assert call.last(CloseSession).reason == "connect_timeout"


def test_a_greeting_is_said_first_and_its_heard_text_is_committed() -> None:
    call = Call(TALKING)
    assert spoken(call) == ["Hello."]
    say_all(call)
    assert call.last(CommitAssistant).text == "Hello."
    assert call.last(CommitAssistant).cause == "greeting"
    assert not call.all(StartResponse)


def test_in_the_first_seconds_of_a_call_a_reply_is_not_paused_at_once() -> None:
    call = Call(replace(TALKING, interruption=DEFAULT.interruption))
    call.sound_all(5 * S)
    call.play(500 * MS)
    call.start_speaking()
    assert not call.all(PausePlayout)
    call.play(3 * S)
    assert call.all(PausePlayout)


def test_who_stops_within_the_guarded_time_has_said_nothing_if_nothing_was_understood() -> None:
    call = Call(replace(TALKING, interruption=DEFAULT.interruption))
    call.sound_all(5 * S)
    call.play(500 * MS)
    call.speak(200 * MS)
    call.understand("")
    call.play(3 * S)
    assert call.state.overlap is None
    assert not call.all(PausePlayout)
    assert not call.all(CancelResponse)


def test_words_that_were_said_within_the_guarded_time_interrupt_when_it_is_over() -> None:
    call = Call(replace(TALKING, interruption=DEFAULT.interruption))
    call.sound_all(5 * S)
    call.play(500 * MS)
    call.speak(400 * MS)
    call.play(2_500 * MS)
    assert not call.all(ClearPlayout)
    call.understand("no not now")
    assert call.all(ClearPlayout)


def test_silence_is_asked_about_twice_and_then_the_call_ends_with_a_goodbye() -> None:
    call = Call(replace(TALKING, phrases=replace(TALKING.phrases, greeting="")))
    call.wait(15 * S)
    assert call.last(IdlePrompted).count == 1
    assert user_state(call.state) == "away"
    say_all(call)
    call.wait(15 * S)
    assert call.last(IdlePrompted).count == 2
    say_all(call)
    call.wait(15 * S)
    assert len(call.all(IdlePrompted)) == 2
    call.wait(80 * S)
    assert spoken(call)[-1] == "Goodbye."
    say_all(call)
    assert call.last(CloseSession).reason == "idle"


def test_a_sign_of_life_begins_the_silence_anew() -> None:
    call = Call(PROFILE)
    call.wait(14 * S)
    call.tell(DtmfPressed(call.at, "1"))
    call.wait(14 * S)
    assert not call.all(IdlePrompted)
    call.wait(S)
    assert call.all(IdlePrompted)
    call.tell(DtmfPressed(call.at, "1"))
    assert user_state(call.state) == "listening"


def test_a_call_has_an_end_and_says_so() -> None:
    call = Call(replace(TALKING, limits=replace(PROFILE.limits, longest_ns=10 * S)))
    say_all(call)
    call.wait(8 * S)
    assert call.state.phase is Phase.DRAINING
    assert spoken(call)[-1] == "Time."
    say_all(call)
    assert call.last(CloseSession).reason == "time_limit"


def test_a_call_without_limit_lasts() -> None:
    call = Call(replace(PROFILE, limits=replace(PROFILE.limits, longest_ns=None)))
    assert not call.armed(Timer.SESSION_LIMIT)


def test_draining_lets_the_reply_finish_and_begins_nothing_but_the_goodbye() -> None:
    call = Call(replace(TALKING, phrases=replace(TALKING.phrases, greeting="")))
    call.ask()
    call.reply()
    call.tell(DrainRequested(call.at, 20 * S))
    asked = len(call.all(StartResponse))
    call.play(3 * S)
    assert call.last(ResponseDone).status == "completed"
    assert spoken(call)[-1] == "Goodbye."
    call.tell(ResponseRequested(call.at))
    assert len(call.all(StartResponse)) == asked
    call.tell(DrainRequested(call.at, 20 * S))
    say_all(call)
    assert call.last(CloseSession).reason == "drained"


def test_the_deadline_of_a_drain_ends_the_call_in_the_middle() -> None:
    call = Call(PROFILE)
    call.ask()
    call.reply()
    call.tell(DrainRequested(call.at, S))
    call.wait(2 * S)
    assert call.last(CloseSession).reason == "drained"
    assert call.last(CommitAssistant).interrupted


def test_what_the_user_still_says_while_draining_is_kept_but_not_answered() -> None:
    call = Call(PROFILE)
    call.start_speaking()
    call.wait(S)
    call.tell(DrainRequested(call.at, 20 * S))
    call.stop_speaking()
    call.understand("One more thing.")
    call.wait(S)
    assert call.last(CommitUser).text == "One more thing."
    assert not call.all(StartResponse)


def test_a_speculation_under_way_is_dropped_by_the_drain() -> None:
    call = Call(PROFILE)
    call.speak()
    call.understand("One more thing.")
    guess = call.last(StartResponse)
    call.tell(DrainRequested(call.at, 20 * S))
    call.wait(S)
    assert call.last(CancelResponse) == CancelResponse(guess.response_id, "closed")


@pytest.mark.parametrize("lost", [True, False])
def test_a_call_without_a_line_is_drained_at_once(lost: bool) -> None:
    call = Call(PROFILE, connected=lost)
    if lost:
        call.tell(MediaLost(call.at))
    call.tell(DrainRequested(call.at, 20 * S))
    assert call.last(CloseSession).reason == "drained"


def test_a_line_lost_while_draining_ends_the_call() -> None:
    call = Call(PROFILE)
    call.ask()
    call.tell(DrainRequested(call.at, 20 * S))
    call.tell(MediaLost(call.at))
    assert call.last(CloseSession).reason == "drained"


def test_a_line_lost_in_mid_speech_ends_the_stretch_there(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(MediaLost(call.at))
    assert call.all(FinalizeTranscription)
    call.understand("I was saying")
    call.wait(S)
    assert call.last(CommitUser).text == "I was saying"


def test_another_persona_answers_by_its_own_profile(call: Call) -> None:
    call.tell(PersonaSwitched(call.at, "rosalind", TALKING))
    call.wait(15 * S)
    assert spoken(call) == ["Are you there?"]


# When the user has finished.


@pytest.mark.parametrize(
    ("probability", "delay"), [(0.9, 200), (0.5, 200), (0.49, 800), (0.15, 800), (0.1, 2_000), (None, 800)]
)
def test_the_prediction_says_how_long_to_wait(call: Call, probability: float | None, delay: int) -> None:
    call.speak()
    ended = call.at - 96 * MS
    call.understand("And then")
    if probability is not None:
        call.tell(EndOfTurnPredicted(call.at, 1, 1, probability))
    call.wait(3 * S)
    at = next(event.at for event, actions in call.steps if any(isinstance(it, CommitUser) for it in actions))
    assert at - ended == delay * MS


def test_words_that_come_in_the_silence_are_judged_too(call: Call) -> None:
    call.speak()
    ended = call.at - 96 * MS
    asked = len(call.all(PredictEndOfTurn))
    call.tell(TranscriptUpdated(call.at, 1, 1, "Turn it"))
    call.understand("Turn it on.")
    assert [it.text for it in call.all(PredictEndOfTurn)[asked:]] == ["Turn it", "Turn it on."]
    call.tell(EndOfTurnPredicted(call.at, 1, 1, 0.9))
    call.wait(S)
    at = next(event.at for event, actions in call.steps if any(isinstance(it, CommitUser) for it in actions))
    assert at - ended == 200 * MS


def test_who_goes_on_in_a_turn_had_paused_after_the_words_before(call: Call) -> None:
    call.speak()
    assert paused_after(call.state, 1) == ""
    call.understand("I would like")
    call.wait(300 * MS)
    call.start_speaking()
    assert paused_after(call.state, 1) == "I would like"
    call.stop_speaking()
    call.understand("tea.")
    call.start_speaking()
    assert paused_after(call.state, 1) == "I would like tea."


def test_words_that_are_not_final_tell_nothing_of_a_pause(call: Call) -> None:
    call.speak()
    call.wait(300 * MS)
    call.start_speaking()
    assert call.state.turn
    assert call.state.turn.rev == 2
    assert paused_after(call.state, 1) == ""


@pytest.mark.parametrize(
    ("after", "words"), [(250 * MS, "Turn it on."), (950 * MS, "Turn it on."), (1_050 * MS, "")]
)
def test_who_speaks_again_soon_after_his_turn_had_not_finished(call: Call, after: int, words: str) -> None:
    call.speak()
    ended = call.at - 96 * MS
    call.understand("Turn it on.")
    call.tell(EndOfTurnPredicted(call.at, 1, 1, 0.9))
    call.wait(ended + after - call.at)
    assert call.all(CommitUser)
    call.speak(300 * MS)
    assert call.state.turn
    assert paused_after(call.state, 2) == words


def answered(call: Call, played: int) -> None:
    """A turn that ends 200 ms after its last sound, and as much of its reply."""
    call.wait(3 * S)
    call.speak()
    call.understand("Turn it on.")
    call.tell(EndOfTurnPredicted(call.at, 1, 1, 0.9))
    call.wait(150 * MS)
    call.reply("One two three four five six seven eight.", played=played)


@pytest.mark.parametrize("played", [20 * MS, 300 * MS])
def test_an_interruption_of_an_audible_reply_is_no_sign_of_an_early_end(call: Call, played: int) -> None:
    answered(call, played)
    call.start_speaking()
    assert call.state.overlap
    assert paused_after(call.state, 2) == ""
    assert paused_after(call.state, 3) == ""


def test_an_interruption_that_has_silenced_the_reply_is_none_either(call: Call) -> None:
    answered(call, 400 * MS)
    call.tell(CancelRequested(call.at))
    call.clear()
    call.speak(300 * MS)
    assert call.state.response is None
    assert paused_after(call.state, 2) == ""


def test_who_speaks_again_before_the_reply_can_be_heard_had_not_finished(call: Call) -> None:
    answered(call, 0)
    onset = call.at
    call.play(80 * MS)
    call.tell(SpeechStarted(call.at, samples(onset), onset))
    assert call.state.response
    assert call.state.response.started is not None
    assert paused_after(call.state, 2) == "Turn it on."


def test_nobody_paused_before_what_he_wrote(call: Call) -> None:
    call.tell(TextTyped(call.at, "Turn it on."))
    call.wait(100 * MS)
    call.speak(300 * MS)
    assert call.state.turn
    assert paused_after(call.state, 2) == ""


def test_a_click_is_no_speech(call: Call) -> None:
    call.start_speaking()
    call.stop_speaking()
    call.wait(S)
    assert not call.all(OpenTranscription)


def test_while_the_agent_thinks_speech_has_its_own_threshold() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, thinking_ns=400 * MS)))
    call.ask()
    call.start_speaking()
    call.wait(250 * MS)
    assert not call.all(CancelResponse)
    call.wait(100 * MS)
    assert call.last(CancelResponse).reason == "turn_detected"


def test_a_turn_that_lasts_too_long_is_taken_as_it_is(call: Call) -> None:
    call.start_speaking()
    call.wait(30 * S)
    call.wait(31 * S)
    assert call.last(TurnExceeded).ns == 60 * S
    call.understand("all of it")
    assert call.last(CommitUser).text == "all of it"


def test_who_goes_on_after_a_turn_was_too_long_has_a_deadline_again(call: Call) -> None:
    call.start_speaking()
    call.wait(60 * S)
    assert call.all(TurnExceeded)
    call.start_speaking()
    assert call.state.turn
    assert call.state.turn.rev == 2
    assert call.armed(Timer.TURN_LONGEST)


def test_a_turn_without_new_words_ends_though_the_detector_hears_somebody(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "turn on the light"))
    call.wait(8 * S)
    call.understand("turn on the light")
    assert call.last(CommitUser).text == "turn on the light"
    assert not call.all(TurnExceeded)


def test_too_many_stretches_are_too_long_as_well(call: Call) -> None:
    for _ in range(70):
        call.speak(200 * MS)
        call.wait(100 * MS)
    assert call.all(TurnExceeded)


def test_a_recogniser_that_fails_leaves_what_was_understood_before(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "good morning"))
    call.stop_speaking()
    call.tell(TranscriptFailed(call.at, 1, 1, "broken"))
    call.wait(S)
    assert call.last(CommitUser).text == "good morning"
    assert InputTranscriptionFailed not in map(type, call.told)


def test_a_failure_is_told_though_a_later_stretch_held_no_words(call: Call) -> None:
    call.speak()
    call.tell(TranscriptFailed(call.at, 1, 1, "broken"))
    call.speak()
    call.tell(TranscriptFinished(call.at, 1, 2, ""))
    call.wait(S)
    assert call.last(InputTranscriptionFailed) == InputTranscriptionFailed(1, "broken")


def test_a_turn_that_the_program_clears_has_not_failed(call: Call) -> None:
    call.speak()
    call.tell(TranscriptFailed(call.at, 1, 1, "broken"))
    call.tell(InputCleared(call.at, 0))
    assert call.last(TurnDiscarded).reason == "cleared"
    assert InputTranscriptionFailed not in map(type, call.told)


def test_stretches_are_joined_with_a_space_but_for_chinese() -> None:
    assert joined(("I would", " like tea ", "")) == "I would like tea"
    assert joined(("我想要", "一杯茶。", "好吗")) == "我想要一杯茶。好吗"
    assert joined(("我用", "Python")) == "我用 Python"


def test_a_turn_reopened_while_its_transcript_is_waited_for_is_one_turn(call: Call) -> None:
    call.speak()
    call.wait(S)
    call.start_speaking()
    call.wait(500 * MS)
    call.stop_speaking()
    call.understand("and sugar")
    call.tell(TranscriptFailed(call.at, 1, 1, "lost"))
    call.wait(S)
    assert call.last(CommitUser) == CommitUser(1, 2, "and sugar")


# Speculation.


def test_a_speculation_is_told_only_when_it_has_come_true(call: Call) -> None:
    call.speak()
    call.understand("How are you?")
    guess = call.last(StartResponse)
    call.write("I am well. And you?")
    assert guess.speculative
    assert not call.all(ResponseCreated)
    call.wait(S)
    assert call.last(ConfirmResponse).response_id == guess.response_id
    assert call.last(ResponseCreated).response_id == guess.response_id


def test_the_first_segment_is_made_ahead_but_never_played_before_the_commit(call: Call) -> None:
    call.speak()
    call.understand("How are you?")
    call.write("I am well. And you?")
    call.sound()
    assert len(call.all(SynthesizeSegment)) == 1
    assert not call.all(EnqueuePlayout)
    call.wait(S)
    assert call.all(EnqueuePlayout)
    assert len(call.all(SynthesizeSegment)) == 2
    assert call.state.response
    assert call.state.response.speculated


def test_a_busy_machine_makes_no_sound_ahead_and_a_busier_one_speculates_no_more(call: Call) -> None:
    call.tell(LoadReported(call.at, 60))
    call.speak()
    call.understand("How are you?")
    call.write("I am well.")
    assert not call.all(SynthesizeSegment)
    call.wait(S)
    call.sound_all()
    call.play(2 * S)
    call.tell(LoadReported(call.at, 90))
    call.speak()
    asked = len(call.all(StartResponse))
    call.understand("And you?")
    assert len(call.all(StartResponse)) == asked


def test_one_turn_is_guessed_at_three_times_at_most(call: Call) -> None:
    for text in ("a b", "c d", "e f", "g h", "i j"):
        call.speak(300 * MS)
        call.understand(text)
    assert sum(it.speculative for it in call.all(StartResponse)) == 3


def test_long_turns_and_unfinished_sentences_are_not_guessed_at(call: Call) -> None:
    call.speak(11 * S)
    call.understand("a long story")
    assert not call.all(StartResponse)
    other = Call(PROFILE)
    other.speak()
    other.tell(EndOfTurnPredicted(other.at, 1, 1, 0.05))
    other.understand("because of")
    assert not other.all(StartResponse)


def test_other_case_and_punctuation_are_the_same_words(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "how are you"))
    call.stop_speaking()
    guess = call.last(StartResponse)
    call.understand("How are you?")
    call.wait(S)
    assert call.last(ConfirmResponse).response_id == guess.response_id


def test_other_words_drop_it_and_begin_another(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TranscriptUpdated(call.at, 1, 1, "how are"))
    call.stop_speaking()
    guess = call.last(StartResponse)
    call.understand("How are you?")
    assert CancelResponse(guess.response_id, "superseded") in call.all(CancelResponse)
    assert EndResponse(guess.response_id) in call.all(EndResponse)
    call.wait(S)
    assert call.last(ConfirmResponse).response_id == guess.response_id + 1


def test_a_speculation_that_fails_is_dropped_and_the_turn_asked_about_again(call: Call) -> None:
    call.speak()
    call.understand("How are you?")
    call.tell(ResponseFailed(call.at, 1, "provider_down"))
    assert not call.all(ResponseDone)
    call.wait(S)
    assert call.last(StartResponse) == StartResponse(2, 1, 1, "How are you?", "turn")


def test_calls_of_a_speculation_are_told_and_recorded_when_it_has_come_true(call: Call) -> None:
    call.speak()
    call.understand("What time is it?")
    call.tell(ToolRequested(call.at, 1, "call_1", "clock"))
    call.tell(ToolCompleted(call.at, "call_1"))
    assert not call.all(ToolStarted)
    assert not call.all(RecordToolResult)
    call.wait(S)
    assert call.all(RecordToolResult) == [RecordToolResult(1, "call_1", "ok")]
    assert call.last(ToolEnded).outcome == "ok"


def test_calls_of_a_speculation_that_came_to_nothing_were_never_made(call: Call) -> None:
    call.speak()
    call.understand("What time")
    call.tell(ToolRequested(call.at, 1, "call_1", "clock"))
    call.tell(ToolRequested(call.at, 1, "call_2", "clock"))
    call.tell(ToolCompleted(call.at, "call_1"))
    call.start_speaking()
    assert call.state.calls == ()
    assert not call.all(RecordToolResult)


# Interruption.


def test_a_reply_may_be_turned_down_instead_of_paused() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, style="duck")))
    call.ask()
    call.reply()
    call.start_speaking()
    assert call.last(FadePlayout).percent == 20
    assert not call.all(PausePlayout)


def test_a_word_that_means_it_interrupts_alone(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(300 * MS)
    call.understand("Stop!")
    assert call.last(CancelResponse).reason == "turn_detected"
    call.clear()
    call.wait(S)
    assert call.last(CommitUser).text == "Stop!"


@pytest.mark.parametrize(
    ("verdict", "ends"), [("interruption", True), ("backchannel", False), ("noise", False)]
)
def test_a_classifier_decides_before_the_time_is_up(call: Call, verdict: str, ends: bool) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(OverlapClassified(call.at, 2, verdict))  # type: ignore[arg-type]
    assert bool(call.all(ClearPlayout)) == ends
    assert bool(call.all(ResumePlayout)) != ends
    if not ends:
        call.stop_speaking()
        assert call.last(CloseTranscription).turn_id == 2
        assert call.state.overlap is None


def test_a_classifier_is_believed_at_once(call: Call) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(OverlapClassified(call.at, 2, "interruption"))
    assert call.last(CancelResponse).reason == "turn_detected"


def test_a_prediction_of_a_sign_of_listening_lets_the_agent_go_on(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(200 * MS)
    call.tell(EndOfTurnPredicted(call.at, 2, 1, 0.9, backchannel=0.8))
    assert call.all(ResumePlayout)


def test_a_second_noise_before_the_decision_does_not_lose_the_first(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(200 * MS)
    call.speak(200 * MS)
    call.understand("wait")
    assert call.last(CancelResponse).reason == "turn_detected"
    assert call.state.turn
    assert call.state.turn.rev == 2


def test_a_second_noise_has_its_own_time_when_that_of_the_first_is_up(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(200 * MS)
    call.wait(1_150 * MS)
    call.start_speaking()
    call.wait(100 * MS)
    assert not call.all(ClearPlayout)
    call.stop_speaking()
    assert not call.all(ClearPlayout)
    call.wait(2 * S)
    assert not call.all(ClearPlayout)
    assert call.all(ResumePlayout)


def test_speech_of_half_a_second_is_an_interruption_without_a_word(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(450 * MS)
    assert not call.all(ClearPlayout)
    other = Call(PROFILE)
    other.ask()
    other.reply()
    other.speak(510 * MS)
    assert other.all(ClearPlayout)


# Speaking.


def test_the_first_clause_is_spoken_before_its_sentence_is_written(call: Call) -> None:
    call.ask()
    call.write("Well then, my friend,", finished=False)
    assert spoken(call) == []
    call.write(" let us see what there is", finished=False)
    assert spoken(call) == ["Well then, my friend, "]
    call.write(" to eat. And")
    assert "".join(spoken(call)) + "And" == "Well then, my friend, let us see what there is to eat. And"


def test_segments_are_made_two_at_a_time_and_played_in_their_order(call: Call) -> None:
    asked = call.ask()
    call.write("One is here. Two is here. Three is here.")
    assert len(spoken(call)) == 2
    call.tell(SpeechSynthesized(call.at, asked.response_id, 2, 2_400))
    assert not call.all(EnqueuePlayout)
    call.tell(SpeechSynthesized(call.at, asked.response_id, 1, 4_800))
    call.tell(SynthesisFinished(call.at, asked.response_id, 1))
    assert [it.segment_id for it in call.all(EnqueuePlayout)] == [1, 2]
    assert len(spoken(call)) == 3


def test_a_reply_without_end_is_cut_off() -> None:
    call = Call(with_speaking(longest_reply=30))
    call.ask()
    call.write("A sentence that goes on. And on. ", finished=False)
    assert call.last(CancelResponse).reason == "failed"
    call.sound_all()
    assert call.last(ResponseDone).reason == "reply_too_long"


def test_a_great_many_sentences_join_the_last_segment(call: Call) -> None:
    call.ask()
    call.write("Go. " * 1_500)
    assert call.state.response
    assert len(call.state.response.segments) == 512
    assert call.state.response.segments[-1].end == len(call.state.response.text)


def test_a_voice_that_fails_in_the_middle_leaves_what_is_made_and_shows_the_rest(call: Call) -> None:
    asked = call.ask()
    call.write("One is here. Two is here.")
    call.sound()
    call.tell(SynthesisFailed(call.at, asked.response_id, 2, "voice_down"))
    call.play(2 * S)
    done = call.last(ResponseDone)
    assert (done.status, done.reason, done.text) == ("incomplete", "voice_down", "One is here.")
    assert call.last(SpeechUnavailable).text.strip() == "Two is here."


def test_a_model_that_fails_in_the_middle_lets_what_is_made_be_heard(call: Call) -> None:
    asked = call.ask()
    call.write("One is here. Two", finished=False)
    call.sound()
    call.tell(ResponseFailed(call.at, asked.response_id, "provider_down"))
    call.play(2 * S)
    assert call.last(ResponseDone).status == "failed"
    assert call.last(CommitAssistant).text == "One is here."
    assert not call.all(CancelResponse)


def test_a_model_that_says_nothing_is_given_up_after_ten_seconds(call: Call) -> None:
    call.ask()
    call.wait(10 * S)
    assert call.last(ResponseDone).reason == "response_timeout"
    assert call.last(CancelResponse).reason == "failed"


def test_a_model_that_goes_on_writing_is_not(call: Call) -> None:
    call.ask()
    for _ in range(4):
        call.wait(6 * S)
        call.write("and ", finished=False)
    assert not call.all(ResponseDone)


def test_a_voice_that_makes_nothing_is_given_up_after_five_seconds(call: Call) -> None:
    call.ask()
    call.write("I am well.")
    call.wait(5 * S)
    assert call.last(ResponseDone).reason == "synthesis_timeout"
    assert call.all(CancelSegment)


def test_a_line_that_does_not_play_is_given_up_after_two_seconds(call: Call) -> None:
    call.ask()
    call.reply()
    call.wait(3 * S)
    assert len(call.all(ClearPlayout)) == 1
    assert call.last(ResponseDone).reason == "playout_stalled"


def test_a_pause_in_the_sound_is_no_stall(call: Call) -> None:
    asked = call.ask()
    call.write("One is here. Two is here.")
    call.sound()
    call.play(2 * S)
    call.wait(2 * S)
    call.tell(SpeechSynthesized(call.at, asked.response_id, 2, 24_000))
    call.wait(S)
    assert not call.all(ClearPlayout)


def test_latency_is_told_once_for_each_reply_and_its_stages_add_up(call: Call) -> None:
    call.ask()
    call.wait(100 * MS)
    call.write("I am well.")
    call.wait(50 * MS)
    call.sound_all()
    call.play(2 * S)
    (latency,) = call.all(RecordLatency)
    stages = {it.name: it.ns // MS for it in latency.stages}
    assert stages == {"endpointing": 800, "model": 296, "synthesis": 50, "playout": 0}
    assert latency.total_ns == 1_146 * MS


def test_what_lies_at_the_far_end_does_not_count_as_heard() -> None:
    call = Call(PROFILE, exact=False)
    call.ask()
    call.reply()
    call.tell(CancelRequested(call.at))
    call.clear()
    assert call.last(CommitAssistant).samples == 12_000 - 1_440


def test_what_was_heard_so_far_can_be_asked_for_at_any_time(call: Call) -> None:
    assert heard_text(call.state) == ""
    call.ask()
    call.reply("One two three four.", played=700 * MS)
    assert "One two three four.".startswith(heard_text(call.state))
    assert heard_text(call.state)


# Tools.


def test_a_slow_tool_is_bridged_once_and_the_filler_is_no_part_of_the_history() -> None:
    call = Call(replace(TALKING, phrases=replace(TALKING.phrases, greeting="")))
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    assert agent_state(call.state) == "thinking"
    call.wait(2 * S)
    assert spoken(call) == ["One moment."]
    call.sound_all()
    call.play(2 * S)
    call.tell(ToolRequested(call.at, asked.response_id, "call_2", "search"))
    call.wait(3 * S)
    assert spoken(call) == ["One moment."]
    call.tell(ToolCompleted(call.at, "call_1"))
    call.tell(ToolCompleted(call.at, "call_2"))
    call.write("The ferry leaves at noon.")
    call.sound_all()
    call.play(3 * S)
    assert call.last(CommitAssistant).text == "The ferry leaves at noon."


def test_a_tool_that_hangs_is_given_up_and_progress_gives_it_more_time(call: Call) -> None:
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.wait(29 * S)
    call.tell(ToolProgressed(call.at, "call_1"))
    call.wait(29 * S)
    assert not call.all(RecordToolResult)
    call.wait(S)
    assert call.all(RecordToolResult) == [RecordToolResult(asked.response_id, "call_1", "failed")]
    call.write("I could not find it.")
    assert spoken(call) == ["I could not find it."]


def test_a_tool_that_fails_has_its_result_too(call: Call) -> None:
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.tell(ToolFailed(call.at, "call_1", "broken"))
    assert call.last(ToolEnded).outcome == "failed"


def test_more_tools_than_may_run_at_once_are_refused(call: Call) -> None:
    asked = call.ask()
    for number in range(20):
        call.tell(ToolRequested(call.at, asked.response_id, f"call_{number}", "search"))
    assert len(call.state.calls) == 16
    assert [it.outcome for it in call.all(RecordToolResult)] == ["failed"] * 4


def test_of_results_that_nobody_has_time_for_only_the_latest_are_told_of(call: Call) -> None:
    for number in range(LATE_CALLS + 6):
        call.tell(TextTyped(call.at, "And another one"))
        asked = call.last(StartResponse)
        call.tell(ToolRequested(call.at, asked.response_id, f"call_{number}", "search"))
        call.tell(TextTyped(call.at, "Never mind"))
        call.tell(ToolCompleted(call.at, f"call_{number}"))
    assert len(call.all(RecordToolResult)) == LATE_CALLS + 6
    call.write("All right.")
    call.sound_all()
    call.play(2 * S)
    told = call.last(StartResponse)
    assert (told.cause, told.calls) == (
        "tool_result",
        tuple(f"call_{it}" for it in range(6, LATE_CALLS + 6)),
    )


def test_a_voice_marks_each_character_once(call: Call) -> None:
    call.ask()
    call.write("Good.")
    (segment,) = call.all(SynthesizeSegment)
    for _ in range(3):
        marks = tuple(Mark(at, at * 100) for at in range(len("Good.")))
        call.tell(SpeechSynthesized(call.at, segment.response_id, segment.segment_id, 480, marks))
    assert call.state.response
    assert len(call.state.response.segments[0].marks) == len("Good.")


def test_tools_that_still_run_when_all_is_written_go_on_in_the_background(call: Call) -> None:
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.reply("I am looking it up.", played=2 * S)
    assert call.last(ResponseDone).status == "completed"
    call.tell(ToolCompleted(call.at, "call_1"))
    assert call.last(StartResponse).calls == ("call_1",)


# The caller's program.


def test_typed_text_interrupts_and_is_a_turn_of_its_own(call: Call) -> None:
    call.ask()
    call.reply()
    call.tell(TextTyped(call.at, "And in writing?"))
    assert call.last(CancelResponse).reason == "superseded"
    call.clear()
    assert call.last(CommitUser) == CommitUser(2, 1, "And in writing?", typed=True)
    assert call.last(StartResponse).text == "And in writing?"


def test_typed_text_joins_what_is_being_said(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(TextTyped(call.at, "Torshavn."))
    call.tell(TranscriptFinished(call.at, 1, 1, "Take me to"))
    assert call.last(CommitUser).text == "Take me to Torshavn."


def test_an_empty_message_is_none(call: Call) -> None:
    call.tell(TextTyped(call.at, " \n"))
    assert not call.all(CommitUser)


def test_typing_over_speech_that_is_not_decided_about_makes_it_part_of_the_turn(call: Call) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(TextTyped(call.at, "Stop."))
    call.clear()
    call.wait(6 * S)
    assert call.last(CommitUser).text == "Stop."


def test_the_end_of_a_sound_that_was_dismissed_is_no_end_of_speech_in_what_is_typed_next(call: Call) -> None:
    call.ask()
    call.reply()
    told = len(call.all(InputSpeechStopped))
    call.speak(100 * MS)
    call.tell(OverlapClassified(call.at, 2, "noise"))
    call.tell(TextTyped(call.at, "And in writing?"))
    call.wait(S)
    assert call.last(CommitUser).text == "And in writing?"
    assert len(call.all(InputSpeechStopped)) == told == len(call.all(InputSpeechStarted))


def test_nor_in_a_turn_that_a_program_ends_which_listens_by_itself_from_now_on(call: Call) -> None:
    call.ask()
    call.reply()
    call.speak(100 * MS)
    call.tell(OverlapClassified(call.at, 2, "noise"))
    manual = replace(PROFILE, endpointing=replace(PROFILE.endpointing, automatic=False))
    call.tell(PersonaSwitched(call.at, "rosalind", manual))
    call.tell(InputCommitted(call.at, samples(call.at)))
    assert call.last(OpenTranscription).turn_id == 3
    assert len(call.all(InputSpeechStopped)) == len(call.all(InputSpeechStarted)) == 2


def test_what_is_said_beside_a_protected_reply_stands_behind_it_also_when_the_call_ends() -> None:
    greeting = replace(TALKING.phrases, greeting="Hello. What can I do for you?")
    protecting = replace(PROFILE.interruption, protected=("greeting",))
    call = Call(replace(PROFILE, phrases=greeting, interruption=protecting))
    call.start_speaking()
    call.wait(300 * MS)
    call.sound_all(2 * S)
    call.play(2_500 * MS)
    call.tell(CloseRequested(call.at, "hangup"))
    call.clear()
    call.tell(TranscriptFinished(call.at, 1, 1, "thanks and good"))
    kept = [type(it) for it in call.done if isinstance(it, CommitUser | CommitAssistant)]
    assert kept == [CommitAssistant, CommitUser]
    assert call.last(CommitUser).text == "thanks and good"
    assert call.state.phase is Phase.CLOSED


def test_who_pushes_to_talk_says_when_a_turn_ends() -> None:
    call = Call(replace(PROFILE, endpointing=replace(PROFILE.endpointing, automatic=False)))
    call.start_speaking()
    call.stop_speaking()
    assert not call.all(OpenTranscription)
    call.tell(InputCommitted(call.at, 16_000))
    assert call.last(OpenTranscription).sample == 0
    assert call.last(FinalizeTranscription).sample == 16_000
    call.understand("Hello.")
    assert call.last(CommitUser).text == "Hello."
    call.tell(InputCleared(call.at, 20_000))
    call.tell(InputCommitted(call.at, 32_000))
    assert call.last(OpenTranscription).sample == 20_000


def test_a_commit_ends_a_turn_before_its_time(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(InputCommitted(call.at, 20_000))
    call.understand("Now.")
    assert call.last(CommitUser).text == "Now."


def test_a_commit_of_nothing_is_ignored(call: Call) -> None:
    call.tell(InputCommitted(call.at, 20_000))
    assert not call.all(OpenTranscription)
    assert call.state.ignored.unexpected == 1


def test_a_commit_makes_a_turn_of_speech_that_has_only_begun(call: Call) -> None:
    call.start_speaking()
    call.tell(InputCommitted(call.at, 3_000))
    call.understand("No.")
    assert call.last(CommitUser).text == "No."
    call.wait(S)
    assert len(call.all(OpenTranscription)) == 1


def test_what_was_said_can_be_forgotten(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(InputCleared(call.at, 20_000))
    assert call.last(TurnDiscarded).reason == "cleared"
    assert user_state(call.state) == "listening"


def test_a_reply_can_be_asked_for_and_cancelled(call: Call) -> None:
    call.tell(ResponseRequested(call.at))
    assert call.last(StartResponse).cause == "client"
    call.tell(ResponseRequested(call.at))
    assert len(call.all(StartResponse)) == 1
    call.tell(CancelRequested(call.at))
    assert call.last(ResponseDone).status == "cancelled"
    assert call.state.response is None


def test_cancelling_a_paused_reply_gives_the_user_the_floor(call: Call) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(CancelRequested(call.at))
    call.clear()
    assert call.state.turn
    assert call.state.turn.turn_id == 2


def test_a_close_in_the_middle_of_a_tool_records_its_end(call: Call) -> None:
    asked = call.ask()
    call.tell(ToolRequested(call.at, asked.response_id, "call_1", "search"))
    call.tell(CloseRequested(call.at, "hangup"))
    assert call.all(RecordToolResult) == [RecordToolResult(asked.response_id, "call_1", "cancelled")]
    assert call.all(CancelResponse) == [CancelResponse(asked.response_id, "closed", ("call_1",))]


def test_a_late_position_of_the_line_tells_what_was_sent(call: Call) -> None:
    call.ask()
    call.reply()
    call.tell(PlayoutProgressed(call.at, call.state.playout.line, call.state.playout.line + 4_800))
    assert call.state.playout.sent == call.state.playout.played + 4_800


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("mhm", 1), ("don't stop", 2), ("你好", 1), ("你好吗", 2), ("等等 wait", 2)]
)
def test_two_chinese_characters_count_as_a_word(text: str, count: int) -> None:
    assert words(text) == count


def test_text_after_the_end_of_a_reply_is_ignored(call: Call) -> None:
    asked = call.ask()
    call.tell(ResponseTextFinished(call.at, asked.response_id))
    stale = call.state.ignored.stale
    call.tell(ResponseTextAdded(call.at, asked.response_id, "late"))
    assert call.state.ignored.stale == stale + 1


@pytest.mark.parametrize(
    ("verdict", "after"), [(0.9, 1_500), (0.3, 1_500), (0.05, 2_000), (None, 1_700)], ids=str
)
def test_words_that_are_understood_when_it_has_been_quiet_for_long_are_judged_before_they_are_answered(
    call: Call, verdict: float | None, after: int
) -> None:
    call.speak()
    ended = call.at - WINDOWS
    call.wait(ended + 1_500 * MS - call.at)
    call.understand("I would like to")
    assert call.last(PredictEndOfTurn) == PredictEndOfTurn(1, 1, "I would like to")
    assert not call.all(CommitUser)
    if verdict is not None:
        call.tell(EndOfTurnPredicted(call.at, 1, 1, verdict))
    call.wait(ended + after * MS - call.at - (after > 1_500))
    assert bool(call.all(CommitUser)) == (after == 1_500)
    call.wait(1)
    assert call.last(CommitUser).text == "I would like to"


def test_who_goes_on_after_words_that_were_understood_late_goes_on_with_the_same_turn(call: Call) -> None:
    call.speak()
    call.wait(1_500 * MS)
    call.understand("I would like to")
    call.tell(EndOfTurnPredicted(call.at, 1, 1, 0.05))
    call.speak()
    call.understand("order a pizza.")
    call.wait(S)
    assert [it.text for it in call.all(CommitUser)] == ["I would like to order a pizza."]


def test_words_of_a_turn_that_the_program_ended_are_not_judged(call: Call) -> None:
    call.start_speaking()
    call.wait(S)
    call.tell(InputCommitted(call.at, samples(call.at)))
    call.understand("I would like to")
    assert call.last(CommitUser).text == "I would like to"


def late(call: Call) -> None:
    """A turn of two stretches is committed of which neither was understood to the end."""
    for rev, text in ((1, "Tell me"), (2, "and then")):
        call.start_speaking()
        call.wait(S)
        call.tell(TranscriptUpdated(call.at, 1, rev, text))
        call.stop_speaking()
    call.wait(6 * S)


def closed(call: Call) -> list[tuple[int, int]]:
    return [(it.turn_id, it.rev) for it in call.all(CloseTranscription)]


def test_what_comes_too_late_is_waited_for_only_for_a_while(call: Call) -> None:
    late(call)
    assert call.last(CommitUser).text == "Tell me and then"
    assert closed(call) == []
    call.tell(TranscriptFinished(call.at, 1, 1, "Tell me more"))
    assert closed(call) == [(1, 1)]
    call.wait(3 * S)
    assert closed(call) == [(1, 1), (1, 2)]
    stale = call.state.ignored.stale
    call.tell(TranscriptFinished(call.at, 1, 2, "and then go"))
    assert call.state.ignored.stale == stale + 1
    assert call.state.late_text == "more"


def test_what_comes_too_late_is_not_waited_for_beyond_the_next_turn(call: Call) -> None:
    late(call)
    call.tell(TextTyped(call.at, "Never mind."))
    assert closed(call) == [(1, 1), (1, 2)]
    assert not call.armed(Timer.LATE)


def test_what_comes_too_late_is_not_waited_for_beyond_the_call(call: Call) -> None:
    late(call)
    call.tell(CloseRequested(call.at, "hangup"))
    assert closed(call) == [(1, 1), (1, 2)]


def hung_up_on(call: Call, understood: str = "") -> None:
    """The caller hangs up in the middle of a sentence, of which so much is understood."""
    call.start_speaking()
    call.wait(400 * MS)
    if understood:
        call.tell(TranscriptUpdated(call.at, 1, 1, understood))
    call.tell(CloseRequested(call.at, "hangup"))


def test_the_last_words_of_a_call_are_understood_to_their_end_and_kept_without_an_answer(call: Call) -> None:
    hung_up_on(call, "thanks and good")
    assert call.last(FinalizeTranscription) == FinalizeTranscription(1, 1, samples(call.at))
    assert not call.all(CommitUser)
    call.wait(S)
    call.understand("Thanks and goodbye.")
    assert call.last(CommitUser) == CommitUser(1, 1, "Thanks and goodbye.", typed=False, answered=False)
    assert not call.all(StartResponse)
    assert call.state.phase is Phase.CLOSED


def test_last_words_that_are_not_understood_in_time_are_kept_as_far_as_they_are(call: Call) -> None:
    hung_up_on(call, "thanks and good")
    call.tell(TranscriptUpdated(call.at, 1, 1, "thanks and goodbye"))
    call.wait(DEFAULT.endpointing.transcript_ns - 1)
    assert not call.all(CommitUser)
    call.wait(1)
    assert call.last(CommitUser).text == "thanks and goodbye"
    assert closed(call) == [(1, 1)]
    assert call.state.phase is Phase.CLOSED


def test_a_turn_of_which_nothing_is_understood_when_the_call_ends_is_dropped(call: Call) -> None:
    hung_up_on(call)
    call.wait(DEFAULT.endpointing.transcript_ns)
    assert not call.all(CommitUser)
    assert TurnDiscarded(1, "closed") in call.told
    assert call.state.phase is Phase.CLOSED


def test_a_turn_that_is_understood_when_the_call_ends_keeps_nobody_waiting(call: Call) -> None:
    call.speak()
    call.understand("Thanks and")
    call.tell(CloseRequested(call.at, "hangup"))
    assert call.last(CommitUser).text == "Thanks and"
    assert call.state.phase is Phase.CLOSED


def kept_when_hung_up_on_over_a_reply(call: Call) -> list[str]:
    call.ask()
    call.reply(played=800 * MS)
    call.start_speaking()
    call.tell(CloseRequested(call.at, "hangup"))
    call.clear()
    call.understand("Bye.")
    assert call.state.phase is Phase.CLOSED
    assert not call.last(CommitUser).answered
    return [it.text for it in call.done if isinstance(it, CommitAssistant | CommitUser)]


def test_what_is_said_over_a_reply_when_the_call_ends_is_kept_behind_what_was_heard_of_it(call: Call) -> None:
    assert kept_when_hung_up_on_over_a_reply(call) == ["How are you?", "I am well, thank", "Bye."]


def test_what_is_said_over_a_reply_that_nobody_interrupts_is_kept_when_the_call_ends() -> None:
    call = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, allowed=False)))
    assert kept_when_hung_up_on_over_a_reply(call) == ["How are you?", "I am well, thank", "Bye."]


def test_a_noise_that_was_none_of_an_interruption_is_not_kept_when_the_call_ends(call: Call) -> None:
    call.ask()
    call.reply()
    call.start_speaking()
    call.tell(OverlapClassified(call.at, 2, "noise"))
    call.tell(TranscriptUpdated(call.at, 2, 1, "hm"))
    call.tell(CloseRequested(call.at, "hangup"))
    call.clear()
    assert [it.text for it in call.all(CommitUser)] == ["How are you?"]
    assert call.state.phase is Phase.CLOSED


def test_words_that_came_too_late_for_their_turn_are_kept_when_the_call_ends(call: Call) -> None:
    call.speak()
    call.wait(6 * S)
    call.tell(TranscriptFinished(call.at, 1, 1, "What time is it?"))
    call.tell(CloseRequested(call.at, "hangup"))
    assert call.last(CommitUser) == CommitUser(2, 0, "What time is it?", typed=False, answered=False)
    assert call.state.phase is Phase.CLOSED


def test_words_of_a_turn_of_which_nothing_was_understood_in_time_begin_the_next_one(call: Call) -> None:
    call.speak()
    call.wait(6 * S)
    assert call.last(TurnDiscarded).reason == "no_transcript"
    call.tell(TranscriptFinished(call.at, 1, 1, "What time is it?"))
    assert closed(call) == [(1, 1)]
    call.tell(TextTyped(call.at, "In Rome."))
    assert call.last(CommitUser).text == "What time is it? In Rome."


def test_words_that_were_cleared_are_not_waited_for(call: Call) -> None:
    call.speak()
    call.tell(InputCleared(call.at, samples(call.at)))
    assert closed(call) == [(1, 1)]
    assert not call.armed(Timer.LATE)


@pytest.mark.parametrize(("lasted", "opened"), [(100 * MS, 0), (110 * MS, 1), (500 * MS, 1)])
def test_speech_that_a_late_detector_tells_together_with_its_end_opens_a_turn_as_if_told_in_time(
    lasted: int, opened: int
) -> None:
    call = Call()
    onset = call.at
    call.wait(S)
    call.tell(SpeechStarted(call.at, 0, onset))
    call.tell(SpeechStopped(call.at, samples(onset + lasted), S - lasted))
    call.wait(S)
    assert len(call.all(InputSpeechStarted)) == opened
