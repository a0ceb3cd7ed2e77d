"""The region of the user's turn: when it opens, when the user has finished, and what was said (pure).

A turn is made of stretches of speech (``rev``), each with a transcription of its own. Quiet ends it provisionally; it is
committed when the quiet has lasted as long as the prediction asks for and every stretch is understood. Speech before that
opens the next stretch of the same turn.
"""

from msgspec.structs import replace

from cozy_domain.audio import HEARING_RATE
from cozy_domain.voice import response, speculation
from cozy_domain.voice.events import (
    CloseTranscription,
    CommitUser,
    CorrectUser,
    FinalizeTranscription,
    OpenTranscription,
    PredictEndOfTurn,
    Timer,
)
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import Endpointing, S
from cozy_domain.voice.public import (
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscribed,
    InputTranscriptGrown,
    InputTranscriptionFailed,
    TurnCommitted,
    TurnDiscarded,
    TurnExceeded,
)
from cozy_domain.voice.state import Phase, Stretch, Turn, Turning, UserVoice, VoiceSession, joined

LATE = 2_000
"""Characters of what is understood late that are kept for the next turn."""
_ANSWERED = frozenset({Phase.ACTIVE, Phase.SUSPENDED})
SOON_NS = 1 * S
"""Who speaks again so soon after the end of a turn had not finished, unless it is the reply that he talks over."""
STRETCHES = 64
"""Stretches of one turn; what is said then is taken as it is. A minute of speech has fewer."""


def begun(m: Moment, sample: int, onset: int) -> Turn:
    """A turn that listens from ``sample`` on, under the next number; it is not open yet."""
    number = m.state.turns + 1
    m.put(turns=number)
    m.do(OpenTranscription(number, 1, sample))
    return Turn(number, onset, onset, sample, stretches=(Stretch(1),))


def open_turn(m: Moment, turn: Turn, *, cut: bool) -> Turn:
    """The user has the floor. ``cut``: a reply was interrupted for it."""
    turn = m.put_turn(turn, kind=Turning.OPEN, cut=cut)
    _note_life(m)
    m.tell(InputSpeechStarted(turn.turn_id, turn.rev, turn.sample))
    m.arm(Timer.TURN_LONGEST, turn.began + m.state.profile.endpointing.longest_ns)
    return turn


def reopen(m: Moment, turn: Turn, sample: int) -> None:
    """The user goes on before the turn was committed: whatever was begun on it is dropped."""
    if len(turn.stretches) >= STRETCHES:
        force(m, turn, "stretches")
        return
    if m.state.response and m.state.response.speculative:
        response.drop(m, "turn_detected")
    turn = further(m, turn, sample)
    m.put(turn=replace(turn, kind=Turning.OPEN))
    m.cancel(Timer.ENDPOINT)
    m.cancel(Timer.TRANSCRIPT)
    m.watch(Timer.TURN_LONGEST, m.at + m.state.profile.endpointing.longest_ns)
    m.tell(InputSpeechStarted(turn.turn_id, turn.rev, sample))


def further(m: Moment, turn: Turn, sample: int) -> Turn:
    """The same turn with another stretch."""
    rev = turn.rev + 1
    m.do(OpenTranscription(turn.turn_id, rev, sample))
    return replace(
        turn,
        sample=sample,
        stretches=(*turn.stretches, Stretch(rev)),
        verdict=None,
        decided=False,
        again=False,
        enough=False,
    )


def finalized(m: Moment, turn: Turn, sample: int, *, again: bool = False) -> Turn:
    """The same turn, with the final text of every stretch asked for."""
    stretches = []
    for it in turn.stretches:
        if not it.final and (again or not it.asked):
            until = it.until if it.asked else sample
            m.do(FinalizeTranscription(turn.turn_id, it.rev, until))
            it = replace(it, asked=True, until=until)
        stretches.append(it)
    return replace(turn, stretches=tuple(stretches))


def pause(m: Moment, turn: Turn, sample: int) -> None:
    """The user has gone quiet, perhaps for good."""
    turn = finalized(m, turn, sample)
    m.put(turn=replace(turn, kind=Turning.ENDPOINTING, ended=m.state.voice.ended))
    m.do(PredictEndOfTurn(turn.turn_id, turn.rev, turn.text))
    m.cancel(Timer.TURN_HARD)
    _await_transcripts(m)
    _await_endpoint(m)
    speculation.review(m)


def transcribed(m: Moment, turn: Turn, stretch: Stretch) -> None:
    """What is understood of one stretch of the open turn."""
    before = turn.text
    turn = with_stretch(turn, stretch)
    m.put(turn=turn)
    if turn.text != before:
        m.tell(InputTranscriptGrown(turn.turn_id, turn.text))
        if not stretch.final and turn.kind is Turning.OPEN:
            m.arm(Timer.TURN_HARD, m.at + m.state.profile.endpointing.hard_ns)
        if turn.kind is Turning.AWAITING and not turn.decided:
            turn = _doubted(m, turn)
        if turn.kind is Turning.ENDPOINTING:
            m.do(PredictEndOfTurn(turn.turn_id, turn.rev, turn.text))
    if turn.understood:
        m.cancel(Timer.TRANSCRIPT)
    if turn.kind is not Turning.OPEN:
        speculation.review(m)


def _doubted(m: Moment, turn: Turn) -> Turn:
    """It has been quiet for long enough for what was understood before; these words may want more."""
    m.arm(Timer.ENDPOINT, m.at + m.state.profile.endpointing.stop_ns)
    return m.put_turn(turn, kind=Turning.ENDPOINTING, verdict=None)


def with_stretch(turn: Turn, stretch: Stretch) -> Turn:
    """In the place of the one of the same ``rev``."""
    return replace(turn, stretches=tuple(stretch if it.rev == stretch.rev else it for it in turn.stretches))


def awaits(turn: Turn, rev: int) -> bool:
    """Whether the text of that stretch may still change."""
    return any(it.rev == rev and not it.final for it in turn.stretches)


def predicted(m: Moment, turn: Turn, probability: float) -> None:
    turn = m.put_turn(turn, verdict=probability)
    if turn.kind is Turning.ENDPOINTING:
        _await_endpoint(m)
        speculation.review(m)


def paused_after(state: VoiceSession, turn_id: int) -> str:
    """The words after which the user of this turn went on, now that its latest stretch begins; empty when it is the first
    of what he says, or it is not known yet what was said before."""
    overlap = state.overlap.turn if state.overlap else None
    turn = next((it for it in (state.turn, overlap) if it and it.turn_id == turn_id), None)
    if turn is None:
        return ""
    before, last = turn.stretches[:-1], state.last_turn
    if before:
        return joined(it.text for it in before) if all(it.final for it in before) else ""
    if last is None or last.typed or turn.began - last.ended >= SOON_NS or _was_heard(state, turn.began):
        return ""
    return last.text


def _was_heard(state: VoiceSession, before: int) -> bool:
    """Whether the reply to the last turn had begun to sound."""
    replies = (state.response, state.said.response if state.said else None)
    return any(
        it is not None
        and state.last_turn is not None
        and it.turn_id == state.last_turn.turn_id
        and it.started is not None
        and it.started < before
        for it in replies
    )


def endpoint_passed(m: Moment) -> None:
    """It has been quiet for long enough."""
    if m.state.turn and m.state.turn.kind is Turning.ENDPOINTING:
        m.cancel(Timer.ENDPOINT)
        if m.state.voice.kind is UserVoice.STOPPING:
            fall_quiet(m)
        m.put_turn(m.state.turn, kind=Turning.AWAITING)


def transcript_late(m: Moment, turn: Turn) -> None:
    """The final text is missing: ask once more, then go on without it."""
    if turn.again:
        m.put_turn(turn, enough=True)
        return
    m.put(turn=finalized(m, replace(turn, again=True), heard_until(m), again=True))
    m.arm(Timer.TRANSCRIPT, m.at + m.state.profile.endpointing.transcript_ns)


def force(m: Moment, turn: Turn, reason: str, sample: int | None = None) -> None:
    """The turn ends here though the user may still speak; further speech begins another one."""
    if reason in {"longest", "stretches"}:
        m.tell(TurnExceeded(turn.turn_id, m.at - turn.began))
    decide(m, turn, heard_until(m) if sample is None else sample)


def decide(m: Moment, turn: Turn, sample: int) -> None:
    """Only transcripts are waited for."""
    speaking = m.state.voice.kind in {UserVoice.SPEAKING, UserVoice.STOPPING}
    ended = m.at if m.state.voice.kind is UserVoice.SPEAKING else turn.ended
    turn = finalized(m, turn, sample)
    m.put(turn=replace(turn, kind=Turning.AWAITING, decided=True, ended=max(ended, turn.ended)))
    if speaking:
        fall_quiet(m)
    for timer in (Timer.ENDPOINT, Timer.TURN_HARD):
        m.cancel(timer)
    _await_transcripts(m)


def fall_quiet(m: Moment) -> None:
    """The user's voice is over for good, or no longer listened to."""
    turn = m.state.turn
    if turn and m.state.voice.kind in {UserVoice.SPEAKING, UserVoice.STOPPING}:
        tell_quiet(m, turn)
    m.put_voice(kind=UserVoice.QUIET)
    for timer in (Timer.SPEECH_START, Timer.SPEECH_STOP, Timer.AUDIO_IDLE):
        m.cancel(timer)


def forget_voice(m: Moment) -> None:
    """Before a turn that nobody's voice opens: the end of what was dismissed a moment ago is not the end of speech in it."""
    if m.state.voice.kind is UserVoice.STOPPING:
        fall_quiet(m)


def tell_quiet(m: Moment, turn: Turn) -> None:
    m.tell(InputSpeechStopped(turn.turn_id, turn.rev, turn.stretches[-1].until or turn.sample))


def type_text(m: Moment, text: str) -> None:
    """A message in writing: a turn of its own, or the end of the one that is open."""
    turn = m.state.turn
    if turn is None:
        forget_voice(m)
        number = m.state.turns + 1
        m.put(turns=number)
        turn = Turn(number, m.at, m.at, 0, typed=True)
        m.put(turn=turn)
        m.arm(Timer.TURN_LONGEST, m.at + m.state.profile.endpointing.longest_ns)
    written = Stretch(turn.rev + 1, text, final=True, asked=True, heard=False)
    turn = m.put_turn(turn, stretches=(*turn.stretches, written))
    decide(m, turn, heard_until(m))


def commit_if_due(m: Moment) -> None:
    turn = m.state.turn
    if turn is None or turn.kind is not Turning.AWAITING or not turn.understood:
        return
    under_way = m.state.response
    if under_way and not under_way.speculative:
        return
    turn = _with_late_text(m, turn)
    if speculation.normalised(turn.text):
        _commit(m, turn)
    else:
        discard(m, turn, "closed" if m.state.phase is Phase.CLOSING else "no_transcript")


def close(m: Moment) -> None:
    """The call ends: what was said is kept without an answer, once it is understood or too late to be."""
    if m.state.turn is None and m.state.late_text:
        m.put(turns=m.state.turns + 1, turn=Turn(m.state.turns + 1, m.at, m.at, 0))
    if m.state.turn is None:
        return
    decide(m, m.state.turn, heard_until(m))
    turn = m.put_turn(m.state.turn, again=True)
    if not turn.understood:
        m.arm(Timer.TRANSCRIPT, m.at + m.state.profile.endpointing.transcript_ns)


def discard(m: Moment, turn: Turn, reason: str) -> None:
    """Nothing of it is kept, but for words that come too late."""
    unheard = reason == "no_transcript"
    _close(m, turn, late=unheard)
    if m.state.response and m.state.response.speculative:
        response.drop(m, "superseded")
    failure = turn.failure if unheard else ""
    if failure:
        m.tell(InputTranscriptionFailed(turn.turn_id, failure))
    m.tell(TurnDiscarded(turn.turn_id, reason))
    phrase = m.state.profile.phrases.not_understood
    if unheard and (turn.cut or failure) and phrase and m.state.phase is Phase.ACTIVE:
        response.say(m, "retry", phrase)


def late(m: Moment, turn: Turn, stretch: Stretch) -> None:
    """Understood only after the turn was ended without it."""
    known = next(it.text for it in turn.stretches if it.rev == stretch.rev)
    more = stretch.text.removeprefix(known).strip()
    turn = with_stretch(turn, stretch)
    m.do(CloseTranscription(turn.turn_id, stretch.rev))
    m.put(late_turn=turn)
    if more and _may_correct(m, turn):
        m.do(CorrectUser(turn.turn_id, turn.text))
        m.tell(InputTranscribed(turn.turn_id, turn.text))
        response.cancel(m, "superseded")
        m.put(owed=turn)
    else:
        m.put(late_text=f"{m.state.late_text} {more}".strip()[:LATE])
    if all(it.final for it in turn.stretches):
        forget_late(m)


def answer_owed(m: Moment) -> None:
    """A turn that was corrected is answered anew, when the reply to what was understood before is over."""
    turn = m.state.owed
    if turn is None or m.state.response:
        return
    m.put(owed=None)
    if m.state.phase in _ANSWERED and _is_free(m):
        response.start(m, "turn", turn, corrected=True)


def forget_late(m: Moment) -> None:
    """What is not understood by now of the turn before is not waited for any more."""
    m.cancel(Timer.LATE)
    if m.state.late_turn:
        for it in m.state.late_turn.stretches:
            if not it.final:
                m.do(CloseTranscription(m.state.late_turn.turn_id, it.rev))
        m.put(late_turn=None)


def heard_until(m: Moment) -> int:
    """About the next sample: what was heard last, and as many as fit into the time since."""
    voice = m.state.voice
    at, sample = (
        (voice.heard_at, voice.heard_sample) if voice.heard_at >= voice.onset else (voice.onset, voice.sample)
    )
    return sample + max(m.at - at, 0) * HEARING_RATE // S


def delay(verdict: float | None, policy: Endpointing) -> int:
    """How long the user must have been quiet, in nanoseconds."""
    if verdict is None or policy.incomplete_below <= verdict < policy.complete_from:
        wanted = policy.unsure_ns
    else:
        wanted = policy.complete_ns if verdict >= policy.complete_from else policy.incomplete_ns
    return max(policy.stop_ns, wanted)


def _commit(m: Moment, turn: Turn) -> None:
    _close(m, turn, late=True)
    answered = m.state.phase in _ANSWERED
    m.do(CommitUser(turn.turn_id, turn.rev, turn.text, turn.typed, answered))
    m.tell(TurnCommitted(turn.turn_id, turn.text, turn.typed))
    if not turn.typed:
        m.tell(InputTranscribed(turn.turn_id, turn.text))
    if not answered:
        if m.state.response and m.state.response.speculative:
            response.drop(m, "closed")
        return
    if speculation.holds(m.state, turn):
        response.confirm(m, turn)
        return
    if m.state.response:
        response.drop(m, "superseded")
    response.start(m, "turn", turn)


def _with_late_text(m: Moment, turn: Turn) -> Turn:
    """What was understood late of the turn before comes first."""
    if not m.state.late_text:
        return turn
    late = Stretch(0, m.state.late_text, final=True, heard=False)
    m.put(late_text="")
    return m.put_turn(turn, stretches=(late, *turn.stretches))


def _close(m: Moment, turn: Turn, *, late: bool) -> None:
    """``late``: words that are understood after it are waited for a while, where the profile says so."""
    forget_late(m)
    policy = m.state.profile.endpointing
    late = late and m.state.phase is not Phase.CLOSING and policy.late_transcript != "ignore"
    late = late and not all(it.final for it in turn.stretches)
    for it in turn.stretches:
        if it.heard and (it.final or not late):
            m.do(CloseTranscription(turn.turn_id, it.rev))
    for timer in (Timer.ENDPOINT, Timer.TURN_HARD, Timer.TURN_LONGEST, Timer.TRANSCRIPT):
        m.cancel(timer)
    m.put(turn=None, last_turn=turn)
    if late:
        m.put(late_turn=turn)
        m.arm(Timer.LATE, m.at + policy.transcript_ns)


def _may_correct(m: Moment, turn: Turn) -> bool:
    reply = m.state.response
    return (
        m.state.profile.endpointing.late_transcript == "correct"
        and m.state.phase in _ANSWERED
        and _is_free(m)
        and reply is not None
        and (reply.cause, reply.turn_id) == ("turn", turn.turn_id)
        and reply.started is None
        and reply.ending is None
        and not reply.called
    )


def _is_free(m: Moment) -> bool:
    """The user has said nothing since."""
    return m.state.turn is None and m.state.overlap is None


def _await_endpoint(m: Moment) -> None:
    turn = m.state.turn
    if turn is None:
        return
    due = turn.ended + delay(turn.verdict, m.state.profile.endpointing)
    if due <= m.at:
        endpoint_passed(m)
    else:
        m.arm(Timer.ENDPOINT, due)


def _await_transcripts(m: Moment) -> None:
    turn = m.state.turn
    if turn and not turn.understood:
        m.arm(Timer.TRANSCRIPT, turn.ended + m.state.profile.endpointing.transcript_ns)


def _note_life(m: Moment) -> None:
    m.put(prompts=0, away=False, calm_since=None)
