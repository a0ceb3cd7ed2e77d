"""One call, as a pure state machine: ``step(state, event) -> (state, actions)``.

What lives here: which event means something in which phase of a call, and which region decides about it. What never lives
here: clocks, tasks, sockets, sound, chance. Time rides on the events; waiting is an ``ArmTimer`` out and a ``TimerFired``
in. Every event is allowed in every state: what does not fit is ignored and counted.

How a step works: the region of the event changes its part of the state; then the regions are asked, until nothing changes,
whether something that waited can go on now (`_SETTLING`); at last what callers see is compared and told.
"""

from typing import assert_never

from msgspec.structs import replace

from cozy_domain.voice import interruption, lifetime, playout, response, speculation, tool_calls, turns
from cozy_domain.voice.events import (
    Action,
    CancelRequested,
    CloseRequested,
    DrainRequested,
    DtmfPressed,
    EndOfTurnPredicted,
    Event,
    InputCleared,
    InputCommitted,
    LoadReported,
    MediaConnected,
    MediaLost,
    MediaResumed,
    OverlapClassified,
    PersonaSwitched,
    PlayoutCleared,
    PlayoutFinished,
    PlayoutProgressed,
    PlayoutStarted,
    ResponseFailed,
    ResponseRequested,
    ResponseTextAdded,
    ResponseTextFinished,
    SessionUpdated,
    SoundHeard,
    SpeechStarted,
    SpeechStopped,
    SpeechSynthesized,
    SynthesisFailed,
    SynthesisFinished,
    TextTyped,
    Timer,
    TimerFired,
    ToolCompleted,
    ToolFailed,
    ToolProgressed,
    ToolRequested,
    TranscriptFailed,
    TranscriptFinished,
    TranscriptUpdated,
    TruncationRequested,
)
from cozy_domain.voice.heard import heard_text as _heard_text
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import DEFAULT, VoiceProfile
from cozy_domain.voice.public import (
    AgentState,
    AgentStateChanged,
    DtmfReceived,
    PersonaChanged,
    TurnCleared,
    UserState,
    UserStateChanged,
)
from cozy_domain.voice.state import (
    OpenToolCall,
    Phase,
    Playing,
    Responding,
    Response,
    Segment,
    Stretch,
    Turning,
    UserVoice,
    VoiceSession,
    is_audible,
    responding,
)

_FLOWING = frozenset({Phase.ACTIVE, Phase.DRAINING})
_LIVE = _FLOWING | {Phase.SUSPENDED}
_OPEN = _LIVE | {Phase.CONNECTING}
_ENDING = _LIVE | {Phase.CLOSING}

WELCOME: dict[type, frozenset[Phase]] = {
    MediaConnected: frozenset({Phase.CONNECTING}),
    MediaLost: _FLOWING,
    MediaResumed: frozenset({Phase.SUSPENDED}),
    SoundHeard: _FLOWING,
    SpeechStarted: _FLOWING,
    SpeechStopped: _FLOWING,
    TranscriptUpdated: _ENDING,
    TranscriptFinished: _ENDING,
    TranscriptFailed: _ENDING,
    EndOfTurnPredicted: _LIVE,
    OverlapClassified: _FLOWING,
    ResponseTextAdded: _LIVE,
    ResponseTextFinished: _LIVE,
    ResponseFailed: _LIVE,
    ToolRequested: _LIVE,
    ToolProgressed: _LIVE,
    ToolCompleted: _LIVE,
    ToolFailed: _LIVE,
    SpeechSynthesized: _LIVE,
    SynthesisFinished: _LIVE,
    SynthesisFailed: _LIVE,
    PlayoutStarted: _ENDING,
    PlayoutProgressed: _ENDING,
    PlayoutFinished: _ENDING,
    PlayoutCleared: _ENDING,
    TextTyped: _LIVE,
    InputCommitted: _FLOWING,
    InputCleared: _FLOWING,
    ResponseRequested: frozenset({Phase.ACTIVE}),
    CancelRequested: _LIVE,
    TruncationRequested: _LIVE,
    SessionUpdated: _OPEN,
    DtmfPressed: _FLOWING,
    TimerFired: _OPEN | {Phase.CLOSING},
    LoadReported: _OPEN,
    DrainRequested: _OPEN,
    CloseRequested: _OPEN,
    PersonaSwitched: _OPEN,
}
"""The phases of a call in which an event means something; in others it is ignored."""

_SETTLING = (
    response.finish_if_over,
    interruption.promote_if_free,
    turns.answer_owed,
    turns.commit_if_due,
    lifetime.reply_late,
    lifetime.leave_if_done,
)
"""What may go on when something else is over, in the order in which it is asked."""

_ROUNDS = 16
"""More than regions can wait for each other one after the other; a bound, so that a step always ends."""


def begin(at: int, profile: VoiceProfile = DEFAULT) -> tuple[VoiceSession, tuple[Action, ...]]:
    """A call that waits for its line, and what to do first. ``at`` in nanoseconds."""
    m = Moment(at, VoiceSession(profile, began=at))
    m.arm(Timer.CONNECT, at + profile.watchdogs.connect_ns)
    return m.state, tuple(m.actions)


def step(state: VoiceSession, event: Event) -> tuple[VoiceSession, tuple[Action, ...]]:
    """The state after ``event``, and what to do, in order. Raises nothing."""
    m = Moment(event.at, state)
    if state.phase not in WELCOME[type(event)]:
        m.ignore("closed" if state.phase is Phase.CLOSED else "unexpected")
        return m.state, ()
    _dispatch(m, event)
    _settle(m)
    lifetime.watch_silence(m)
    _tell_states(m, state)
    lifetime.close_if_done(m)
    return m.state, tuple(m.actions)


def heard_text(state: VoiceSession) -> str:
    """What of the reply being said was heard so far; what to keep if the process dies now."""
    return _heard_text(state.response, state.playout.played) if state.response else ""


def agent_state(state: VoiceSession) -> AgentState:
    """What the agent seems to do; derived, never stored."""
    if state.phase is Phase.CONNECTING:
        return "initializing"
    if state.phase not in _FLOWING:
        return "idle"
    if state.playout.kind is Playing.PLAYING:
        return "speaking"
    if state.playout.kind is Playing.BUFFERING or responding(state) in _THINKING:
        return "thinking"
    return "idle" if state.away else "listening"


_THINKING = frozenset({Responding.GENERATING, Responding.TOOL_WAIT})


def user_state(state: VoiceSession) -> UserState:
    """What the user seems to do; derived, never stored."""
    if state.voice.kind in {UserVoice.SPEAKING, UserVoice.STOPPING}:
        return "speaking"
    return "away" if state.away else "listening"


def _settle(m: Moment) -> None:
    for _ in range(_ROUNDS):
        before = m.state
        for go_on in _SETTLING:
            go_on(m)
        if m.state is before:
            return


def _tell_states(m: Moment, before: VoiceSession) -> None:
    old, new = user_state(before), user_state(m.state)
    if old != new:
        m.tell(UserStateChanged(old, new))
    was, now = agent_state(before), agent_state(m.state)
    if was != now:
        m.tell(AgentStateChanged(was, now))


def _dispatch(m: Moment, event: Event) -> None:  # one row for each event
    match event:
        case MediaConnected():
            lifetime.connect(m)
        case MediaLost(silent_ns=silent):
            lifetime.suspend(m, silent)
        case MediaResumed(kept=kept):
            lifetime.resume(m, kept=kept)
        case SoundHeard() | SpeechStarted() | SpeechStopped():
            _voice(m, event)
        case TranscriptUpdated() | TranscriptFinished() | TranscriptFailed():
            _transcript(m, event)
        case EndOfTurnPredicted() | OverlapClassified():
            _verdict(m, event)
        case ResponseTextAdded() | ResponseTextFinished() | ResponseFailed():
            _text(m, event)
        case ToolRequested() | ToolProgressed() | ToolCompleted() | ToolFailed():
            _tool(m, event)
        case SpeechSynthesized() | SynthesisFinished() | SynthesisFailed():
            _sound(m, event)
        case PlayoutStarted(played=played) | PlayoutFinished(played=played):
            playout.progress(m, played)
        case PlayoutProgressed(played=played, sent=sent):
            playout.progress(m, played, sent)
        case PlayoutCleared(played=played, epoch=epoch):
            _cleared(m, played, epoch)
        case TextTyped() | InputCommitted() | InputCleared() | DtmfPressed():
            _client_input(m, event)
        case ResponseRequested() | CancelRequested() | TruncationRequested():
            _client_output(m, event)
        case TimerFired():
            _timer(m, event)
        case LoadReported(percent=percent):
            m.put(load=min(max(percent, 0), 100))
        case SessionUpdated(profile=profile):
            m.put(profile=profile)
        case PersonaSwitched(persona=persona, profile=profile):
            m.put(profile=profile)
            m.tell(PersonaChanged(persona))
        case DrainRequested(within_ns=within):
            if m.state.phase is Phase.DRAINING:
                m.ignore("unexpected")
            else:
                lifetime.drain(m, "drained", within)
        case CloseRequested(reason=reason):
            lifetime.close(m, reason)
        case _:
            assert_never(event)


def _voice(m: Moment, event: SoundHeard | SpeechStarted | SpeechStopped) -> None:
    kind = m.state.voice.kind
    if isinstance(event, SoundHeard):
        m.put_voice(heard_at=event.at, heard_sample=event.sample)
        if kind is UserVoice.SPEAKING:
            m.watch(Timer.AUDIO_IDLE, event.at + m.state.profile.endpointing.audio_idle_ns)
    elif not m.state.profile.endpointing.automatic:
        m.ignore("unexpected")
    elif isinstance(event, SpeechStarted) and kind in {UserVoice.QUIET, UserVoice.STOPPING}:
        _speech_started(m, event)
    elif isinstance(event, SpeechStopped) and kind in {UserVoice.STARTING, UserVoice.SPEAKING}:
        _speech_stopped(m, event)
    else:
        m.ignore("unexpected")


def _speech_started(m: Moment, event: SpeechStarted) -> None:
    state = m.state
    if state.voice.kind is UserVoice.STOPPING:
        turns.fall_quiet(m)
    m.put_voice(onset=min(event.onset, event.at), sample=event.sample)
    if state.overlap:
        interruption.again(m, state.overlap, event.sample)
    elif state.turn:
        m.put_voice(kind=UserVoice.SPEAKING)
        turns.reopen(m, state.turn, event.sample)
    elif is_audible(state):
        interruption.begin(m)
    else:
        m.put_voice(kind=UserVoice.STARTING)
        m.arm(Timer.SPEECH_START, _lasts_from(m.state))
    if state.voice.heard_at >= 0:
        m.put_voice(heard_at=event.at)
        m.watch(Timer.AUDIO_IDLE, event.at + state.profile.endpointing.audio_idle_ns)


def _lasts_from(state: VoiceSession) -> int:
    """When what begins in silence has lasted long enough."""
    thinking = state.response is not None and not _is_over(state.response)
    wait = state.profile.interruption.thinking_ns if thinking else state.profile.endpointing.start_ns
    return state.voice.onset + wait


def _speech_lasts(m: Moment) -> None:
    """What began in silence is speech."""
    state = m.state
    m.cancel(Timer.SPEECH_START)
    m.put_voice(kind=UserVoice.SPEAKING)
    if state.turn:
        turns.reopen(m, state.turn, state.voice.sample)
    elif is_audible(state):
        interruption.begin(m)
    else:
        _take_floor(m)


def _take_floor(m: Moment) -> None:
    cut = m.state.response is not None
    if not (m.state.response and m.state.response.protected):
        response.cancel(m, "turn_detected")
    turns.open_turn(m, turns.begun(m, m.state.voice.sample, m.state.voice.onset), cut=cut)


def _speech_stopped(m: Moment, event: SpeechStopped) -> None:
    state = m.state
    ended = max(event.at - event.silence_ns, state.voice.onset)
    if state.voice.kind is UserVoice.STARTING:
        if ended + state.profile.endpointing.provisional_ns < _lasts_from(state):
            turns.fall_quiet(m)
            return
        _speech_lasts(m)  # a detector that was late told both at once
        state = m.state
    m.cancel(Timer.AUDIO_IDLE)
    m.put_voice(kind=UserVoice.STOPPING, ended=ended)
    m.arm(Timer.SPEECH_STOP, ended + state.profile.endpointing.stop_ns)
    if state.overlap:
        interruption.fell_silent(m, state.overlap, event.sample)
    elif state.turn:
        turns.pause(m, state.turn, event.sample)


def _transcript(m: Moment, event: TranscriptUpdated | TranscriptFinished | TranscriptFailed) -> None:
    state = m.state
    for turn in (state.turn, state.overlap.turn if state.overlap else None, state.late_turn):
        if turn and turn.turn_id == event.turn_id and turns.awaits(turn, event.rev):
            break
    else:
        m.ignore("stale")
        return
    stretch = _heard(next(it for it in turn.stretches if it.rev == event.rev), event)
    if turn is state.turn:
        turns.transcribed(m, turn, stretch)
    elif state.overlap and turn is state.overlap.turn:
        interruption.transcribed(m, state.overlap, stretch)
    elif stretch.final:
        turns.late(m, turn, stretch)


def _heard(stretch: Stretch, event: TranscriptUpdated | TranscriptFinished | TranscriptFailed) -> Stretch:
    """A recogniser that fails leaves what was understood before."""
    if isinstance(event, TranscriptFailed):
        return replace(stretch, final=True, failed=event.code)
    return replace(stretch, text=event.text, final=isinstance(event, TranscriptFinished))


def _verdict(m: Moment, event: EndOfTurnPredicted | OverlapClassified) -> None:
    overlap, turn = m.state.overlap, m.state.turn
    if overlap and event.turn_id == overlap.turn.turn_id:
        if isinstance(event, OverlapClassified):
            interruption.classified(m, overlap, event.verdict)
        elif event.rev == overlap.turn.rev:
            interruption.predicted(m, overlap, event.probability, event.backchannel)
        else:
            m.ignore("stale")
    elif (
        turn
        and isinstance(event, EndOfTurnPredicted)
        and (turn.turn_id, turn.rev) == (event.turn_id, event.rev)
    ):
        turns.predicted(m, turn, event.probability)
    else:
        m.ignore("stale")


def _text(m: Moment, event: ResponseTextAdded | ResponseTextFinished | ResponseFailed) -> None:
    current = m.state.response
    if current is None or current.response_id != event.response_id or _is_over(current) or current.written:
        m.ignore("stale")
        return
    match event:
        case ResponseTextAdded(text=text):
            response.text_added(m, current, text)
        case ResponseTextFinished():
            response.text_finished(m, current)
        case ResponseFailed(code=code):
            response.fail(m, "failed", code, by_itself=True)
        case _:
            assert_never(event)


def _sound(m: Moment, event: SpeechSynthesized | SynthesisFinished | SynthesisFailed) -> None:
    current, segment = m.state.response, _segment(m.state, event.segment_id)
    if current is None or segment is None or current.response_id != event.response_id:
        m.ignore("stale")
        return
    match event:
        case SpeechSynthesized(samples=samples, marks=marks):
            response.sound_added(m, current, segment, max(samples, 0), marks)
        case SynthesisFinished():
            response.sound_finished(m, current, segment)
        case SynthesisFailed(code=code):
            response.sound_failed(m, code)
        case _:
            assert_never(event)


def _segment(state: VoiceSession, segment_id: int) -> Segment | None:
    """The segment, if its sound is waited for."""
    if state.response is None or _is_over(state.response):
        return None
    for it in state.response.segments:
        if it.segment_id == segment_id and it.asked and not it.done:
            return it
    return None


def _is_over(current: Response) -> bool:
    return current.ending is not None


def _tool(m: Moment, event: ToolRequested | ToolProgressed | ToolCompleted | ToolFailed) -> None:
    state, current = m.state, m.state.response
    call = tool_calls.find(m, event.call_id)
    if isinstance(event, ToolRequested):
        asking = current is not None and current.response_id == event.response_id and not _is_over(current)
        if current is None or not asking or current.written or call:
            m.ignore("stale")
            return
        number = state.tools + 1
        made = OpenToolCall(
            event.call_id, number, current.response_id, event.name, event.cancel_on_barge_in, m.at
        )
        tool_calls.request(m, current, made)
        response.flush(m)
    elif call is None:
        m.ignore("stale")
    elif isinstance(event, ToolProgressed):
        m.arm(Timer.TOOL, m.at + state.profile.watchdogs.tool_ns, call.number)
    else:
        tool_calls.end(m, call, "ok" if isinstance(event, ToolCompleted) else "failed")


def _cleared(m: Moment, played: int, epoch: int) -> None:
    if m.state.playout.kind is Playing.CLEARING and epoch == m.state.playout.epoch:
        playout.cleared(m, played)
    else:
        playout.progress(m, played)
        m.ignore("stale")


def _client_input(m: Moment, event: TextTyped | InputCommitted | InputCleared | DtmfPressed) -> None:
    lifetime.live(m)
    match event:
        case TextTyped(text=text):
            _typed(m, text)
        case InputCommitted(sample=sample):
            _committed(m, sample)
        case InputCleared(sample=sample):
            _forget_input(m, sample)
        case DtmfPressed(digit=digit):
            m.tell(DtmfReceived(digit))
        case _:
            assert_never(event)


def _typed(m: Moment, text: str) -> None:
    if not speculation.normalised(text):
        m.ignore("unexpected")
        return
    if m.state.overlap:
        interruption.confirm(m)
    elif m.state.response and not m.state.response.speculative:
        response.cancel(m, "superseded")
    turns.type_text(m, text)


def _committed(m: Moment, sample: int) -> None:
    begun = m.state.input_from
    m.put(input_from=sample)
    if m.state.voice.kind is UserVoice.STARTING:
        _speech_lasts(m)
    if m.state.overlap:
        interruption.confirm(m)
    elif m.state.turn is None and not m.state.profile.endpointing.automatic and sample > begun:
        response.cancel(m, "superseded")
        turns.forget_voice(m)
        turns.tell_quiet(m, turns.open_turn(m, turns.begun(m, begun, m.at), cut=False))
    if m.state.turn:
        turns.decide(m, m.state.turn, sample)
    else:
        m.ignore("unexpected")


def _forget_input(m: Moment, sample: int) -> None:
    m.put(input_from=sample)
    interruption.drop(m)
    turns.fall_quiet(m)
    if m.state.turn:
        m.tell(TurnCleared(m.state.turn.turn_id))
        turns.discard(m, m.state.turn, "cleared")


def _client_output(m: Moment, event: ResponseRequested | CancelRequested | TruncationRequested) -> None:
    current, said = m.state.response, m.state.said
    match event:
        case ResponseRequested():
            if current or m.state.turn or m.state.overlap:
                m.ignore("unexpected")
            else:
                response.start(m, "client", None)
        case CancelRequested(response_id=wanted):
            if current and not current.speculative and wanted in {None, current.response_id}:
                response.cancel(m, "client_cancelled")
            else:
                m.ignore("stale")
        case TruncationRequested(response_id=wanted, samples=samples):
            if current and current.response_id == wanted and not current.speculative:
                m.put_response(current, at_most=max(samples - current.said_samples, 0))
                response.cancel(m, "client_cancelled")
            elif said and said.response.response_id == wanted:
                response.truncate(m, said, max(samples, 0))
            else:
                m.ignore("stale")
        case _:
            assert_never(event)


def _timer(m: Moment, event: TimerFired) -> None:
    armed = m.armed(event.timer, event.key)
    if armed is None or armed.epoch != event.epoch:
        m.ignore("stale")
        return
    m.put(timers=tuple(it for it in m.state.timers if it is not armed))
    _fire(m, event.timer, event.key)


def _fire(m: Moment, timer: Timer, key: int) -> None:  # one row for each timer
    turn = m.state.turn
    match timer:
        case Timer.CONNECT:
            lifetime.close(m, "connect_timeout")
        case Timer.RECONNECT:
            lifetime.close(m, "media_lost")
        case Timer.SESSION_LIMIT:
            lifetime.drain(m, "time_limit", m.state.profile.limits.goodbye_ns)
        case Timer.DRAIN:
            lifetime.close(m, m.state.end_reason)
        case Timer.IDLE:
            lifetime.idle(m)
        case Timer.AUDIO_IDLE:
            lifetime.quiet_microphone(m)
        case Timer.SPEECH_START:
            _speech_lasts(m)
        case Timer.SPEECH_STOP:
            turns.fall_quiet(m)
        case Timer.ENDPOINT:
            turns.endpoint_passed(m)
        case Timer.TURN_HARD:
            if turn:
                turns.force(m, turn, "no_words")
        case Timer.TURN_LONGEST:
            _turn_longest(m)
        case Timer.TRANSCRIPT:
            if turn:
                turns.transcript_late(m, turn)
        case Timer.LATE:
            turns.forget_late(m)
        case Timer.OVERLAP_GUARD:
            interruption.guard_over(m)
        case Timer.OVERLAP_CONFIRM | Timer.OVERLAP_FALSE:
            interruption.time_is_up(m)
        case Timer.RESPONSE:
            _response_late(m)
        case Timer.SYNTHESIS:
            response.fail(m, "incomplete", "synthesis_timeout")
        case Timer.PLAYOUT:
            _playout_late(m)
        case Timer.CLEAR:
            playout.cleared(m, m.state.playout.line)
        case Timer.FILLER:
            _fill(m)
        case Timer.TOOL:
            _tool_late(m, key)
        case _:
            assert_never(timer)


def _turn_longest(m: Moment) -> None:
    turn = m.state.turn
    if turn and turn.kind is Turning.AWAITING:
        m.put_turn(turn, enough=True)
    elif turn:
        turns.force(m, turn, "longest")


def _response_late(m: Moment) -> None:
    current = m.state.response
    if current is None:
        return
    patience = m.state.profile.watchdogs.response_ns
    waiting = any(it.response_id == current.response_id and not it.done for it in m.state.calls)
    due = (m.at if waiting else current.news) + patience
    if due > m.at:
        m.arm(Timer.RESPONSE, due)
    else:
        response.fail(m, "failed", "response_timeout")


def _playout_late(m: Moment) -> None:
    due = m.state.playout.moved + m.state.profile.watchdogs.playout_ns
    if due > m.at:
        m.arm(Timer.PLAYOUT, due)
    else:
        response.stall(m)


def _fill(m: Moment) -> None:
    current, phrases = m.state.response, m.state.profile.phrases.fillers
    silent = m.state.playout.kind is Playing.IDLE or playout.is_empty(m)
    if (
        current
        and silent
        and phrases
        and not current.speculative
        and not _is_over(current)
        and not current.filled
    ):
        response.fill(m, current, phrases[m.state.fillers % len(phrases)])
        m.put(fillers=m.state.fillers + 1)


def _tool_late(m: Moment, number: int) -> None:
    call = next((it for it in m.state.calls if it.number == number), None)
    if call:
        tool_calls.stop(m, call, "failed")
        current = m.state.response
        if current:
            m.put_response(current, news=m.at)
