"""The region of the user's voice over the agent's: pause at once, decide later (pure).

What is said over a reply is listened to as a turn that is not open yet. It becomes one when it lasts, holds words, or a
classifier says so; else the reply goes on where it was paused, and nothing has happened. Over a protected reply, and while
echo cancellers settle, it is only noted, and decided about afterwards.
"""

from msgspec.structs import replace

from cozy_domain.voice import playout, response, turns
from cozy_domain.voice.events import (
    ClassifyOverlap,
    CloseTranscription,
    OverlapVerdict,
    PredictEndOfTurn,
    Timer,
)
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import Interruption
from cozy_domain.voice.public import FalseInterruption, InputTranscriptGrown
from cozy_domain.voice.response import words
from cozy_domain.voice.speculation import normalised
from cozy_domain.voice.state import (
    Overlap,
    Overlapping,
    Stretch,
    Turn,
    Turning,
    UserVoice,
    VoiceSession,
    is_audible,
)

_TIMERS = (Timer.OVERLAP_GUARD, Timer.OVERLAP_CONFIRM, Timer.OVERLAP_FALSE)


def guarded_until(state: VoiceSession) -> int:
    """Until when a reply is not paused."""
    policy = state.profile.interruption
    started = state.response.started if state.response else None
    return max((started or 0) + policy.reply_guard_ns, state.connected + policy.call_guard_ns)


def means_it(text: str, policy: Interruption) -> bool:
    """Whether the words alone are an interruption."""
    return words(text) >= max(policy.confirm_words, 1) or normalised(text) in {
        normalised(it) for it in policy.words
    }


def begin(m: Moment) -> None:
    """Somebody speaks over the reply."""
    m.put_voice(kind=UserVoice.SPEAKING)
    turn = turns.begun(m, m.state.voice.sample, m.state.voice.onset)
    m.put(overlap=Overlap(Overlapping.NOTED, turn))
    if _is_protected(m):
        return
    guard = guarded_until(m.state)
    if guard > m.at:
        m.arm(Timer.OVERLAP_GUARD, guard)
    else:
        _challenge(m)


def again(m: Moment, overlap: Overlap, sample: int) -> None:
    """And once more, before it was decided."""
    if len(overlap.turn.stretches) >= turns.STRETCHES:
        return
    m.put_voice(kind=UserVoice.SPEAKING)
    turn = replace(turns.further(m, overlap.turn, sample), kind=Turning.OPEN)
    m.put(overlap=replace(overlap, turn=turn))
    if overlap.kind is Overlapping.CANDIDATE:
        _await_confirmation(m)
    elif _may_decide(m):
        _challenge(m)


def fell_silent(m: Moment, overlap: Overlap, sample: int) -> None:
    """The user stopped before it was decided."""
    voice = m.state.voice
    m.cancel(Timer.OVERLAP_CONFIRM)
    if overlap.dismissed:
        drop(m)
        return
    turn = turns.finalized(m, overlap.turn, sample)
    turn = replace(turn, kind=Turning.ENDPOINTING, ended=voice.ended)
    m.put(overlap=replace(overlap, turn=turn))
    m.do(PredictEndOfTurn(turn.turn_id, turn.rev, turn.text))
    if overlap.kind is not Overlapping.CANDIDATE:
        return
    m.do(ClassifyOverlap(turn.turn_id, turn.rev, turn.text))
    if voice.ended - voice.onset >= m.state.profile.interruption.confirm_ns:
        confirm(m)
    else:
        _decide_by_words(m)


def transcribed(m: Moment, overlap: Overlap, stretch: Stretch) -> None:
    m.put(overlap=replace(overlap, turn=turns.with_stretch(overlap.turn, stretch)))
    _decide_by_words(m)


def predicted(m: Moment, overlap: Overlap, probability: float, backchannel: float) -> None:
    m.put(overlap=replace(overlap, turn=replace(overlap.turn, verdict=probability)))
    if overlap.kind is Overlapping.CANDIDATE and backchannel >= m.state.profile.interruption.backchannel_from:
        dismiss(m)


def classified(m: Moment, overlap: Overlap, verdict: OverlapVerdict) -> None:
    if overlap.kind is not Overlapping.CANDIDATE:
        m.ignore("unexpected")
    elif verdict == "interruption":
        confirm(m)
    else:
        dismiss(m)


def guard_over(m: Moment) -> None:
    overlap = m.state.overlap
    if overlap is None:
        return
    if m.state.voice.kind is UserVoice.SPEAKING:
        _challenge(m)
        return
    m.arm(Timer.OVERLAP_FALSE, m.at + m.state.profile.interruption.false_ns)
    _decide_by_words(m)


def time_is_up(m: Moment) -> None:
    """It lasts: it is meant. Or it does not, and was not. What has only begun again gets its own time."""
    lasting = m.armed(Timer.OVERLAP_CONFIRM)
    if m.state.voice.kind is UserVoice.SPEAKING and lasting:
        m.arm(Timer.OVERLAP_FALSE, lasting.due)
    elif m.state.voice.kind is UserVoice.SPEAKING:
        confirm(m)
    else:
        dismiss(m)


def confirm(m: Moment) -> None:
    """It is an interruption: the reply ends here, and the user has the floor."""
    overlap = m.state.overlap
    if overlap:
        response.cancel(m, "turn_detected")
        _open(m, overlap.turn, cut=True)


def promote_if_free(m: Moment) -> None:
    """What was said over a reply that is over is a turn like any other."""
    overlap = m.state.overlap
    if overlap and not is_audible(m.state):
        _open(m, overlap.turn, cut=False)


def dismiss(m: Moment) -> None:
    """It is none: the reply goes on."""
    overlap = m.state.overlap
    if overlap is None:
        return
    _stop_timers(m)
    if m.state.response and overlap.kind is Overlapping.CANDIDATE:
        m.tell(FalseInterruption(m.state.response.response_id, m.at - overlap.since))
    playout.resume(m)
    if m.state.voice.kind is UserVoice.SPEAKING:
        m.put(overlap=replace(overlap, kind=Overlapping.NOTED, dismissed=True))
    else:
        drop(m)


def close(m: Moment) -> None:
    """The call ends before it is decided: what was said is a turn like any other, unless it was none already."""
    overlap = m.state.overlap
    if overlap is None or overlap.dismissed:
        drop(m)
    else:
        _open(m, overlap.turn, cut=False)


def drop(m: Moment) -> None:
    """Nothing of it is kept."""
    overlap = m.state.overlap
    if overlap is None:
        return
    _stop_timers(m)
    for it in overlap.turn.stretches:
        m.do(CloseTranscription(overlap.turn.turn_id, it.rev))
    m.put(overlap=None)
    if overlap.kind is Overlapping.CANDIDATE:
        playout.resume(m)


def _challenge(m: Moment) -> None:
    """The reply is paused; what comes decides."""
    overlap, policy = m.state.overlap, m.state.profile.interruption
    if overlap is None or means_it(overlap.turn.text, policy):
        confirm(m)
        return
    m.put(overlap=replace(overlap, kind=Overlapping.CANDIDATE, since=m.at))
    playout.pause(m)
    m.arm(Timer.OVERLAP_FALSE, m.at + policy.false_ns)
    _await_confirmation(m)
    m.do(ClassifyOverlap(overlap.turn.turn_id, overlap.turn.rev, overlap.turn.text))


def _await_confirmation(m: Moment) -> None:
    """A stretch that is over is only known ``provisional_ns`` later."""
    profile = m.state.profile
    lasting = profile.interruption.confirm_ns + profile.endpointing.provisional_ns
    m.arm(Timer.OVERLAP_CONFIRM, m.state.voice.onset + lasting)


def _decide_by_words(m: Moment) -> None:
    overlap = m.state.overlap
    if overlap is None or not _may_decide(m):
        return
    if means_it(overlap.turn.text, m.state.profile.interruption):
        confirm(m)
    elif overlap.turn.understood and m.state.voice.kind is not UserVoice.SPEAKING:
        dismiss(m)


def _may_decide(m: Moment) -> bool:
    """Not while it is only noted: over a protected reply, in the guarded time, or after it was dismissed."""
    overlap, response_ = m.state.overlap, m.state.response
    if overlap is None or overlap.dismissed or response_ is None or response_.protected:
        return False
    return m.armed(Timer.OVERLAP_GUARD) is None


def _open(m: Moment, turn: Turn, *, cut: bool) -> None:
    _stop_timers(m)
    m.put(overlap=None)
    turns.open_turn(m, turn, cut=cut)
    if turn.text:
        m.tell(InputTranscriptGrown(turn.turn_id, turn.text))
    if m.state.voice.kind is not UserVoice.SPEAKING and m.state.turn:
        if m.state.voice.kind is UserVoice.QUIET:
            turns.tell_quiet(m, m.state.turn)
        turns.pause(m, m.state.turn, turn.sample)


def _is_protected(m: Moment) -> bool:
    return m.state.response is not None and m.state.response.protected


def _stop_timers(m: Moment) -> None:
    for timer in _TIMERS:
        m.cancel(timer)
