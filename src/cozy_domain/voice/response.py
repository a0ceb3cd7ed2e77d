"""The region of the reply: from asking the model to what was heard of it (pure).

One reply at a time. Its text is cut into segments as it comes, the segments are made into sound ``segments_at_once`` ahead,
and enqueued in order. It ends once: complete, cancelled, incomplete or failed.
"""

import re

from msgspec.structs import replace

from cozy_domain.speech.ports import Mark
from cozy_domain.speech.segments import Piece, cut, pieces
from cozy_domain.text import CJK
from cozy_domain.voice import playout, tool_calls
from cozy_domain.voice.events import (
    CancelReason,
    CancelResponse,
    CancelSegment,
    Cause,
    CommitAssistant,
    ConfirmResponse,
    EndResponse,
    StartResponse,
    SynthesizeSegment,
    Timer,
    TruncateAssistant,
)
from cozy_domain.voice.heard import heard_text, is_whole
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import SpeakingPolicy
from cozy_domain.voice.public import (
    HistoryTruncated,
    OutputCleared,
    OutputStopped,
    ResponseCreated,
    ResponseDone,
    ResponseStatus,
    ResponseTextDone,
    ResponseTextGrown,
    SpeechUnavailable,
)
from cozy_domain.voice.state import Ending, Playing, Response, Said, Segment, Turn

SEGMENTS = 512
"""Segments of one reply; what comes after joins the last."""

_CLAUSE = re.compile(r"[,;:](?=\s)\s+|[，；：、]|\s[-–—]+\s")
_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+(?:['’][^\W_{CJK}]+)*")
_IDEOGRAPH = re.compile(rf"[{CJK}]")


def words(text: str) -> int:
    """Words of a text; two Chinese characters count as one (their usual length)."""
    found = _WORD.findall(text)
    narrow = sum(1 for it in found if _IDEOGRAPH.match(it))
    return len(found) - narrow + (narrow + 1) // 2


def start(
    m: Moment, cause: Cause, turn: Turn | None, *, speculative: bool = False, corrected: bool = False
) -> None:
    """Asks the model. ``turn`` is None where no turn is answered; ``corrected``: it was committed before."""
    response = _new(m, cause, turn, turn.text if turn else "")
    response = m.put_response(response, speculative=speculative)
    called = m.state.late_calls if cause == "tool_result" else ()
    if called:
        m.put(late_calls=())
    turn_id, rev = (turn.turn_id, turn.rev) if turn else (0, 0)
    m.do(
        StartResponse(
            response.response_id, turn_id, rev, response.basis, cause, speculative, called, corrected
        )
    )
    m.arm(Timer.RESPONSE, m.at + m.state.profile.watchdogs.response_ns)
    if not speculative:
        m.tell(ResponseCreated(response.response_id, turn_id, cause))


def say(m: Moment, cause: Cause, phrase: str) -> None:
    """A phrase of the profile as a reply of its own."""
    response = _new(m, cause, None, "")
    response = m.put_response(response, text=phrase, written=True, first_text=m.at)
    m.tell(ResponseCreated(response.response_id, 0, cause))
    m.tell(ResponseTextGrown(response.response_id, phrase))
    m.tell(ResponseTextDone(response.response_id, phrase))
    _segment(m)


def confirm(m: Moment, turn: Turn) -> None:
    """The speculation is what was said."""
    response = m.state.response
    if response is None:
        return
    response = m.put_response(
        response, speculative=False, speculated=True, committed=m.at, speech_ended=turn.ended
    )
    m.do(ConfirmResponse(response.response_id, turn.turn_id))
    m.tell(ResponseCreated(response.response_id, turn.turn_id, response.cause))
    if response.text:
        m.tell(ResponseTextGrown(response.response_id, response.text))
    if response.written:
        m.tell(ResponseTextDone(response.response_id, response.text))
    tool_calls.release(m)
    if response.written:
        tool_calls.leave_behind(m)
    _segment(m)
    playout.pump(m)


def text_added(m: Moment, response: Response, text: str) -> None:
    room = m.state.profile.speaking.longest_reply - len(response.text)
    kept = text[: max(room, 0)]
    first = m.at if response.first_text is None and text else response.first_text
    response = m.put_response(response, text=response.text + kept, first_text=first, news=m.at)
    if kept and not response.speculative:
        m.tell(ResponseTextGrown(response.response_id, kept))
    _segment(m)
    if len(kept) < len(text):
        fail(m, "incomplete", "reply_too_long")


def text_finished(m: Moment, response: Response) -> None:
    m.cancel(Timer.RESPONSE)
    response = m.put_response(response, written=True)
    if not response.speculative:
        m.tell(ResponseTextDone(response.response_id, response.text))
        tool_calls.leave_behind(m)
    _segment(m)


def sound_added(
    m: Moment, response: Response, segment: Segment, samples: int, marks: tuple[Mark, ...]
) -> None:
    room = max(len(segment.text) - len(segment.marks), 0)  # a mark for each character
    grown = replace(segment, samples=segment.samples + samples, marks=segment.marks + marks[:room])
    first = m.at if response.first_sound is None and samples else response.first_sound
    m.put_response(response, segments=_swapped(response, grown), first_sound=first)
    m.arm(Timer.SYNTHESIS, m.at + m.state.profile.watchdogs.synthesis_ns)
    playout.pump(m)


def sound_finished(m: Moment, response: Response, segment: Segment) -> None:
    m.put_response(response, segments=_swapped(response, replace(segment, done=True)))
    m.cancel(Timer.SYNTHESIS)
    synthesize(m)
    playout.pump(m)


def sound_failed(m: Moment, code: str) -> None:
    """What follows would not be understood without it: the reply ends with what is made already."""
    fail(m, "incomplete", code)


def fail(m: Moment, status: ResponseStatus, reason: str, *, by_itself: bool = False) -> None:
    """Ends it before its time; what is enqueued is still played. ``by_itself``: the model is not at work any more."""
    response = m.state.response
    if response is None or response.ending:
        return
    if response.speculative:
        drop(m, "failed")
        return
    if response.by_model and not response.written and not by_itself:
        m.do(CancelResponse(response.response_id, "failed", tool_calls.background(m)))
    tool_calls.abandon(m)
    m.put_response(response, ending=Ending(status, reason, cut=False), segments=_given_up(m, response))
    _hush(m)


def cancel(m: Moment, reason: CancelReason) -> None:
    """Ends it now. What was played stays heard."""
    response = m.state.response
    if response is None or (response.ending and response.ending.cut):
        return
    if response.speculative:
        drop(m, reason)
        return
    if response.by_model and response.ending is None:
        m.do(CancelResponse(response.response_id, reason, tool_calls.background(m)))
    tool_calls.abandon(m)
    segments = _given_up(m, response)
    m.put_response(response, ending=Ending("cancelled", reason, cut=True), segments=segments)
    _hush(m)
    playout.clear(m)


def stall(m: Moment) -> None:
    """The line does not play what it was given."""
    response = m.state.response
    if response is None:
        return
    fail(m, "failed", "playout_stalled")
    m.put_response(m.state.response or response, ending=Ending("failed", "playout_stalled", cut=True))
    playout.clear(m)


def truncate(m: Moment, said: Said, samples: int) -> None:
    """The caller's program knows better how much was heard of a reply that is over; more than all is all."""
    played = max(samples - said.response.said_samples, 0)
    text = heard_text(said.response, min(played, said.played))
    if played >= said.played or len(text) >= len(said.text):
        return
    kept = min(played, said.played)
    total = kept + said.response.said_samples
    m.do(TruncateAssistant(said.response.response_id, text, total))
    m.put(said=Said(said.response, kept, text))
    m.tell(HistoryTruncated(said.response.response_id, total, text))


def drop(m: Moment, reason: CancelReason) -> None:
    """Ends a speculation as if it had never been."""
    response = m.state.response
    if response is None:
        return
    m.do(CancelResponse(response.response_id, reason))
    _given_up(m, response)
    tool_calls.forget(m)
    _hush(m)
    m.do(EndResponse(response.response_id))
    m.put(response=None)


def finish_if_over(m: Moment) -> None:
    response = m.state.response
    if response is None or response.speculative or m.state.playout.kind is Playing.CLEARING:
        return
    ending = response.ending
    complete = ending or (response.written and not playout.missing(response))
    if (ending and ending.cut) or (complete and playout.is_empty(m)):
        _finish(m, response)


def synthesize(m: Moment) -> None:
    """Orders the sound of the next segments."""
    response = m.state.response
    if response is None or response.ending:
        return
    at_once = m.state.profile.speaking.segments_at_once
    if response.speculative:
        busy = m.state.load >= m.state.profile.speculation.voice_below
        at_once = 0 if busy or any(it.done for it in response.segments) else 1
    at_work = sum(it.asked and not it.done for it in response.segments)
    ordered = []
    for segment in response.segments:
        if not segment.asked and at_work < at_once:
            at_work += 1
            segment = replace(segment, asked=True)
            m.do(
                SynthesizeSegment(
                    response.response_id, segment.segment_id, segment.text, segment.start, segment.end
                )
            )
        ordered.append(segment)
    m.put_response(response, segments=tuple(ordered))
    if at_work:
        m.watch(Timer.SYNTHESIS, m.at + m.state.profile.watchdogs.synthesis_ns)


def fill(m: Moment, response: Response, phrase: str) -> None:
    """Says something while a tool is at work; it is no part of the text."""
    place = response.segmented
    segment = Segment(_next_segment(m), phrase, place, place)
    m.put_response(response, segments=(*response.segments, segment), filled=True)
    synthesize(m)


def say_again(m: Moment) -> None:
    """On a line that has nothing of what was enqueued: what was not heard becomes sound once more."""
    response = m.state.response
    if response is None or m.state.playout.kind in {Playing.IDLE, Playing.CLEARING}:
        return
    played = playout.heard_samples(m)
    text = heard_text(response, played)
    _given_up(m, response)
    heard = len(text) if not is_whole(response, played) else len(response.text)
    response = m.put_response(
        response,
        said=heard,
        said_samples=response.said_samples + played,
        segments=(),
        segmented=heard,
    )
    playout.reset(m)
    m.cancel(Timer.SYNTHESIS)
    _segment(m)


def _new(m: Moment, cause: Cause, turn: Turn | None, basis: str) -> Response:
    number = m.state.responses + 1
    m.put(responses=number)
    protected = cause in m.state.profile.interruption.protected or not m.state.profile.interruption.allowed
    return Response(
        number,
        turn.turn_id if turn else 0,
        cause,
        basis,
        asked=m.at,
        news=m.at,
        protected=protected,
        committed=m.at,
        speech_ended=turn.ended if turn else m.at,
    )


def flush(m: Moment) -> None:
    """Nothing follows for a while: what is written is said."""
    _segment(m, flushed=True)


def _segment(m: Moment, *, flushed: bool = False) -> None:
    """Cuts what is written into segments, and orders their sound."""
    response = m.state.response
    if response is None or response.ending:
        return
    rest = response.text[response.segmented :]
    found, remainder = cut(rest, response.segmented)
    if (response.written or flushed) and remainder.text.strip():
        found, remainder = (*found, *_rest(remainder)), Piece("", len(response.text))
    elif not found and not response.segments:
        found, remainder = _first_clause(remainder, m.state.profile.speaking)
    for piece in found:
        _add(m, piece)
    if found and m.state.response:
        m.put_response(m.state.response, segmented=remainder.start)
    synthesize(m)


def _rest(remainder: Piece) -> tuple[Piece, ...]:
    return tuple(Piece(it.text, it.start + remainder.start) for it in pieces(remainder.text))


def _first_clause(rest: Piece, policy: SpeakingPolicy) -> tuple[tuple[Piece, ...], Piece]:
    for pause in _CLAUSE.finditer(rest.text):
        clause = rest.text[: pause.end()]
        if len(clause.strip()) >= policy.first_chars or words(clause) >= policy.first_words:
            return (Piece(clause, rest.start),), Piece(rest.text[pause.end() :], rest.start + pause.end())
    return (), rest


def _add(m: Moment, piece: Piece) -> None:
    response = m.state.response
    if response is None:
        return
    last = response.segments[-1] if response.segments else None
    end = piece.start + len(piece.text)
    if last and len(response.segments) >= SEGMENTS and not last.asked:
        joined = replace(last, text=last.text + piece.text, end=end)
        m.put_response(response, segments=(*response.segments[:-1], joined))
        return
    segment = Segment(_next_segment(m), piece.text, piece.start, end)
    m.put_response(response, segments=(*response.segments, segment))


def _next_segment(m: Moment) -> int:
    m.put(segments=m.state.segments + 1)
    return m.state.segments


def _swapped(response: Response, segment: Segment) -> tuple[Segment, ...]:
    return tuple(segment if it.segment_id == segment.segment_id else it for it in response.segments)


def _given_up(m: Moment, response: Response) -> tuple[Segment, ...]:
    """What remains when nothing more is made: the sound that was enqueued."""
    for segment in response.segments:
        if segment.asked and (not segment.done or segment.pushed < segment.samples):
            m.do(CancelSegment(response.response_id, segment.segment_id))
    return tuple(
        replace(it, done=it.done and it.pushed == it.samples, samples=it.pushed)
        for it in response.segments
        if it.pushed
    )


def _hush(m: Moment) -> None:
    for timer in (Timer.RESPONSE, Timer.SYNTHESIS, Timer.FILLER):
        m.cancel(timer)


def _finish(m: Moment, response: Response) -> None:
    played = playout.heard_samples(m)
    ending = response.ending
    whole = is_whole(response, played)
    text = response.text if whole else heard_text(response, played)
    samples = played + response.said_samples
    status, reason = (ending.status, ending.reason) if ending else ("completed", "")
    if not ending and response.text.strip() and not samples:
        status, reason = "incomplete", "no_audio"
    if status in {"incomplete", "failed"} and len(text) < len(response.text):
        m.tell(SpeechUnavailable(response.response_id, response.text[len(text) :]))
    _tell_silence(m, response, samples)
    if text:
        m.do(
            CommitAssistant(
                response.response_id, response.turn_id, response.cause, text, samples, interrupted=not whole
            )
        )
        m.put(said=Said(response, played, text))
    if response.by_model:
        m.do(EndResponse(response.response_id))
    _hush(m)
    if m.state.playout.kind is Playing.PAUSED:
        playout.resume(m)
    playout.reset(m)
    m.put(response=None)
    m.tell(ResponseDone(response.response_id, response.turn_id, status, reason, text))


def _tell_silence(m: Moment, response: Response, samples: int) -> None:
    if response.started is None:
        return
    if response.ending and response.ending.cut:
        m.tell(OutputCleared(response.response_id, samples))
    else:
        m.tell(OutputStopped(response.response_id))
