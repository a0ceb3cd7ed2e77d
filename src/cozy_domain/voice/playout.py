"""The region of playing: what is enqueued, how far it got, pausing, clearing (pure).

Positions of one reply: synthesized >= pushed (enqueued) >= sent (handed to the line) >= played. The line counts over the
whole call; a reply's own counts begin where the line stood when its first sound was enqueued.
"""

from msgspec.structs import replace

from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.voice.events import (
    ClearPlayout,
    EnqueuePlayout,
    FadePlayout,
    PausePlayout,
    RecordLatency,
    ResumePlayout,
    Timer,
)
from cozy_domain.voice.latency import stages, total
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import S
from cozy_domain.voice.public import OutputStarted, TurnLatency
from cozy_domain.voice.state import Phase, Playing, Response, Segment

FLOWING = (Phase.ACTIVE, Phase.DRAINING)
"""Phases in which sound can be played."""


def pump(m: Moment) -> None:
    """Enqueues what there is, in the order of the text; a segment waits until the one before it has all its sound."""
    response = m.state.response
    if response is None or response.speculative or _is_cut(response) or m.state.phase not in FLOWING:
        return
    pushed, segments = 0, []
    flowing = True
    for segment in response.segments:
        more = segment.samples - segment.pushed if flowing else 0
        if more:
            _begin(m)
            m.do(EnqueuePlayout(response.response_id, segment.segment_id, more))
        segments.append(replace(segment, pushed=segment.samples) if more else segment)
        pushed += more
        flowing = flowing and segment.done
    if pushed:
        m.put_response(response, segments=tuple(segments))
        moved = m.at if is_empty(m) else m.state.playout.moved
        m.put_playout(pushed=m.state.playout.pushed + pushed, moved=moved)
        if m.state.playout.kind is not Playing.PAUSED:
            m.watch(Timer.PLAYOUT, m.at + m.state.profile.watchdogs.playout_ns)


def progress(m: Moment, line: int, sent: int = 0) -> None:
    """``line`` samples have left since the call began."""
    playout = m.state.playout
    if line <= playout.line:
        if sent:
            m.put_playout(sent=max(playout.sent, min(sent - playout.base, playout.pushed)))
        return
    played = max(playout.played, min(line - playout.base, playout.pushed))
    if playout.kind is Playing.IDLE:
        m.put_playout(line=line)
        return
    reached = min(max(sent - playout.base, played, playout.sent), playout.pushed)
    m.put_playout(line=line, played=played, sent=reached, moved=m.at)
    if played > playout.played:
        _moved(m, played)


def clear(m: Moment) -> None:
    """Forgets what is queued, if anything is."""
    playout = m.state.playout
    m.cancel(Timer.PLAYOUT)
    if playout.pushed > playout.played:
        epoch = m.next_epoch()
        m.put_playout(kind=Playing.CLEARING, epoch=epoch)
        m.do(ClearPlayout(epoch))
        m.arm(Timer.CLEAR, m.at + m.state.profile.watchdogs.clear_ns)
    elif playout.kind is Playing.PAUSED:
        m.put_playout(kind=Playing.BUFFERING)
        m.do(ResumePlayout())


def cleared(m: Moment, line: int) -> None:
    m.cancel(Timer.CLEAR)
    playout = m.state.playout
    played = max(playout.played, min(line - playout.base, playout.pushed))
    line = max(line, playout.line)
    m.put_playout(kind=Playing.BUFFERING, line=line, played=played, sent=max(playout.sent, played))


def reset(m: Moment) -> None:
    """The next sound belongs to another reply."""
    m.cancel(Timer.PLAYOUT)
    m.cancel(Timer.CLEAR)
    playout = m.state.playout
    m.put(playout=replace(playout, kind=Playing.IDLE, base=playout.line, pushed=0, sent=0, played=0))


def pause(m: Moment) -> None:
    policy = m.state.profile.interruption
    m.cancel(Timer.PLAYOUT)
    m.put_playout(kind=Playing.PAUSED)
    m.do(PausePlayout() if policy.style == "pause" else FadePlayout(policy.duck_percent))


def resume(m: Moment) -> None:
    playout = m.state.playout
    if playout.kind is not Playing.PAUSED:
        return
    waiting = playout.pushed > playout.played
    m.put_playout(kind=Playing.PLAYING if waiting else Playing.BUFFERING, moved=m.at)
    m.do(ResumePlayout())
    if waiting:
        m.watch(Timer.PLAYOUT, m.at + m.state.profile.watchdogs.playout_ns)


def heard_samples(m: Moment) -> int:
    """Of the reply being said, as far as is known; less what may still lie at the far end when it was cut short."""
    playout, response = m.state.playout, m.state.response
    behind = m.state.profile.speaking.client_buffer
    known = max(playout.played - behind, 0) if response and _is_cut(response) else playout.played
    return known if response is None or response.at_most is None else min(known, response.at_most)


def doubt(m: Moment, silent_ns: int) -> None:
    """What was played in that time may not have arrived: it counts only when the same line goes on."""
    response = m.state.response
    if response:
        certain = max(m.state.playout.played - silent_ns * SPEAKING_RATE // S, 0)
        at_most = certain if response.at_most is None else min(certain, response.at_most)
        m.put_response(response, at_most=at_most)


def trust(m: Moment) -> None:
    """The line goes on, or what was in doubt is said again on another one."""
    response = m.state.response
    if response and not _is_cut(response):
        m.put_response(response, at_most=None)


def is_empty(m: Moment) -> bool:
    return m.state.playout.pushed == m.state.playout.played


def missing(response: Response) -> tuple[Segment, ...]:
    """Segments that have not all been enqueued."""
    return tuple(it for it in response.segments if not it.done or it.pushed < it.samples)


def _is_cut(response: Response) -> bool:
    return response.ending is not None and response.ending.cut


def _begin(m: Moment) -> None:
    if m.state.playout.kind is Playing.IDLE:
        line = m.state.playout.line
        m.put_playout(kind=Playing.BUFFERING, base=line, pushed=0, sent=0, played=0, moved=m.at)
        m.cancel(Timer.FILLER)


def _moved(m: Moment, played: int) -> None:
    kind = m.state.playout.kind
    if kind is Playing.BUFFERING and m.state.phase in FLOWING:
        m.put_playout(kind=Playing.PLAYING)
    _note_start(m, played)
    if is_empty(m):
        m.cancel(Timer.PLAYOUT)
        if m.state.playout.kind is Playing.PLAYING:
            m.put_playout(kind=Playing.BUFFERING)


def _note_start(m: Moment, played: int) -> None:
    response = m.state.response
    if response is None or response.started is not None:
        return
    started = max(
        m.at - played * S // SPEAKING_RATE, response.first_sound or response.asked, response.committed
    )
    m.put_response(response, started=started)
    m.tell(OutputStarted(response.response_id))
    if response.cause == "turn":
        parts = stages(response, started)
        m.do(RecordLatency(response.turn_id, response.response_id, total(parts), parts, response.speculated))
        m.tell(TurnLatency(response.turn_id, response.response_id, total(parts), parts))
