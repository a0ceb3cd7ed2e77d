"""The region of the call itself: its line, its silence, its end (pure).

A call connects, may lose its line and get it back, and ends: at once, or after what is being said and a goodbye. While
nobody says anything the agent asks whether anybody is there.
"""

from cozy_domain.voice import interruption, playout, response, tool_calls, turns
from cozy_domain.voice.events import CloseReason, CloseSession, Timer
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.public import (
    IdlePrompted,
    SessionActive,
    SessionClosed,
    SessionDraining,
    SessionSuspended,
)
from cozy_domain.voice.state import Phase, Playing, Turning, UserVoice, VoiceSession

_LAST = frozenset({Timer.CLEAR, Timer.TRANSCRIPT})
"""What the end of a call may wait for."""


def connect(m: Moment) -> None:
    m.cancel(Timer.CONNECT)
    m.put(phase=Phase.ACTIVE, connected=m.at)
    m.tell(SessionActive(resumed=False))
    longest = m.state.profile.limits.longest_ns
    if longest is not None:
        m.arm(Timer.SESSION_LIMIT, m.at + longest)
    if m.state.profile.phrases.greeting:
        response.say(m, "greeting", m.state.profile.phrases.greeting)


def suspend(m: Moment, silent_ns: int) -> None:
    """The line is lost. What is queued stands still; what the user was saying ends here."""
    playout.doubt(m, silent_ns)
    if m.state.phase is Phase.DRAINING:
        close(m, m.state.end_reason)
        return
    interruption.drop(m)
    stop_listening(m)
    m.cancel(Timer.PLAYOUT)
    m.put(phase=Phase.SUSPENDED)
    if m.state.playout.kind is Playing.PLAYING:
        m.put_playout(kind=Playing.BUFFERING)
    wait = m.state.profile.limits.reconnect_ns
    m.tell(SessionSuspended(wait))
    m.arm(Timer.RECONNECT, m.at + wait)


def resume(m: Moment, *, kept: bool) -> None:
    m.cancel(Timer.RECONNECT)
    m.put(phase=Phase.ACTIVE)
    m.tell(SessionActive(resumed=True))
    if not kept:
        response.say_again(m)
    playout.trust(m)
    m.put_playout(moved=m.at)
    if not playout.is_empty(m) and m.state.playout.kind is Playing.BUFFERING:
        m.watch(Timer.PLAYOUT, m.at + m.state.profile.watchdogs.playout_ns)
    playout.pump(m)


def stop_listening(m: Moment) -> None:
    """As if the user had stopped speaking now."""
    turn = m.state.turn
    if m.state.voice.kind is UserVoice.SPEAKING and turn and turn.kind is Turning.OPEN:
        m.put_voice(kind=UserVoice.STOPPING, ended=m.at)
        turns.pause(m, turn, turns.heard_until(m))
    turns.fall_quiet(m)


def drain(m: Moment, reason: CloseReason, within_ns: int) -> None:
    """Ends the call once what is being said is over, at the latest ``within_ns`` from now."""
    if m.state.phase is not Phase.ACTIVE:
        close(m, reason)
        return
    m.put(phase=Phase.DRAINING, end_reason=reason, late_calls=())
    m.cancel(Timer.SESSION_LIMIT)
    m.tell(SessionDraining(reason, within_ns))
    m.arm(Timer.DRAIN, m.at + within_ns)


def leave_if_done(m: Moment) -> None:
    state = m.state
    if state.phase is not Phase.DRAINING or not _nobody_speaks(state):
        return
    phrases = state.profile.phrases
    phrase = (phrases.time_limit if state.end_reason == "time_limit" else "") or phrases.goodbye
    if phrase and not state.goodbye_said:
        m.put(goodbye_said=True)
        response.say(m, "goodbye", phrase)
    else:
        close(m, state.end_reason)


def close(m: Moment, reason: CloseReason) -> None:
    """Ends everything now; only how much was heard, and the user's last words, may still be waited for."""
    m.put(phase=Phase.CLOSING, end_reason=reason)
    response.cancel(m, "closed")
    interruption.close(m)
    turns.close(m)
    turns.fall_quiet(m)
    turns.forget_late(m)
    tool_calls.stop_all(m)
    for armed in m.state.timers:
        if armed.timer not in _LAST:
            m.cancel(armed.timer, armed.key)


def close_if_done(m: Moment) -> None:
    if m.state.phase is not Phase.CLOSING or m.state.response or m.state.turn:
        return
    m.put(phase=Phase.CLOSED)
    m.tell(SessionClosed(m.state.end_reason))
    m.do(CloseSession(m.state.end_reason))


def reply_late(m: Moment) -> None:
    """Results that came too late for their reply get one of their own, when nobody speaks."""
    if m.state.late_calls and m.state.phase is Phase.ACTIVE and _nobody_speaks(m.state):
        response.start(m, "tool_result", None)


def watch_silence(m: Moment) -> None:
    """Arms what comes when nobody says anything, and disarms it when somebody does."""
    state = m.state
    if state.phase is Phase.ACTIVE and _nobody_speaks(state) and not state.calls:
        if state.calm_since is None:
            silent = m.at if state.silent_since is None else state.silent_since
            m.put(calm_since=m.at, silent_since=silent)
            m.arm(Timer.IDLE, _idle_due(m.state, m.at, silent))
        return
    if state.calm_since is not None:
        m.put(calm_since=None)
    m.cancel(Timer.IDLE)
    asking = state.response is not None and state.response.cause == "idle"
    if state.silent_since is not None and not asking:
        m.put(silent_since=None)


def idle(m: Moment) -> None:
    """Nobody has said anything for a while."""
    limits, phrases = m.state.profile.limits, m.state.profile.phrases
    silent = m.at if m.state.silent_since is None else m.state.silent_since
    if m.at >= silent + limits.idle_close_ns:
        drain(m, "idle", limits.goodbye_ns)
        return
    count = m.state.prompts + 1
    m.put(prompts=count, away=True, calm_since=None)
    m.tell(IdlePrompted(count))
    if phrases.idle:
        response.say(m, "idle", phrases.idle[(count - 1) % len(phrases.idle)])


def live(m: Moment) -> None:
    """The user has given a sign of life."""
    m.put(prompts=0, away=False, calm_since=None, silent_since=None)


def quiet_microphone(m: Moment) -> None:
    """The microphone may have stopped sending in the middle of speech."""
    voice = m.state.voice
    due = voice.heard_at + m.state.profile.endpointing.audio_idle_ns
    if m.at < due:
        m.arm(Timer.AUDIO_IDLE, due)
        return
    overlap = m.state.overlap
    m.put_voice(kind=UserVoice.STOPPING, ended=max(voice.heard_at, voice.onset))
    if overlap:
        interruption.fell_silent(m, overlap, voice.heard_sample)
    elif m.state.turn:
        turns.pause(m, m.state.turn, voice.heard_sample)
    turns.fall_quiet(m)


def _idle_due(state: VoiceSession, calm: int, silent: int) -> int:
    limits = state.profile.limits
    close_at = silent + limits.idle_close_ns
    return min(calm + limits.idle_ns, close_at) if state.prompts < limits.idle_prompts else close_at


def _nobody_speaks(state: VoiceSession) -> bool:
    return (
        state.voice.kind is UserVoice.QUIET
        and state.turn is None
        and state.overlap is None
        and state.response is None
    )
