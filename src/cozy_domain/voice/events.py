"""What happened, and what to do: the vocabulary between the voice session, which decides, and its driver, which acts.

What lives here: every event that goes into ``session.step`` and every action that comes out, as values. What callers are
told is in `cozy_domain.voice.public`. What never lives here: sound. Only counts of samples pass, so that a log of a
session is small, and replays.

Times are integer nanoseconds of one monotonic clock, and every event has one (``at``). Positions of what is heard count
samples at ``HEARING_RATE`` since the call began; of what is spoken, samples at ``SPEAKING_RATE``.

Identifiers are made by the session, count from 1 and are never used twice. ``turn_id`` is one turn of the user; ``rev``
counts the stretches of speech in it, each heard by a recognition of its own. ``response_id`` is one reply, ``segment_id``
one piece of it that is synthesized at once. ``epoch`` is the number of an order (a timer, a clearing): what answers an
older one changes nothing. ``call_id`` is the model's own name of a tool call.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from cozy_domain.speech.ports import Mark
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.public import LatencyStage, PublicEvent

Cause = Literal["turn", "client", "tool_result", "greeting", "idle", "retry", "goodbye"]
"""Why something is said. The first three are written by the model; the others are phrases of the profile."""
WRITTEN: frozenset[Cause] = frozenset(("turn", "client", "tool_result"))
"""By the model."""

CancelReason = Literal["turn_detected", "client_cancelled", "superseded", "failed", "closed"]
"""``turn_detected``: the user speaks; ``superseded``: the text it answers changed, or typed text came."""

OverlapVerdict = Literal["interruption", "backchannel", "noise"]

CloseReason = str
"""Lower snake case. The session's own: ``hangup``, ``idle``, ``time_limit``, ``drained``, ``connect_timeout``,
``media_lost``."""


class Timer(StrEnum):
    """What a timer is for. At most one of each kind and key is armed; keys are 0 where there is only one."""

    CONNECT = "connect"
    RECONNECT = "reconnect"
    SESSION_LIMIT = "session_limit"
    DRAIN = "drain"
    IDLE = "idle"
    AUDIO_IDLE = "audio_idle"
    SPEECH_START = "speech_start"
    SPEECH_STOP = "speech_stop"
    ENDPOINT = "endpoint"
    TURN_HARD = "turn_hard"
    TURN_LONGEST = "turn_longest"
    TRANSCRIPT = "transcript"
    LATE = "late_transcript"
    OVERLAP_GUARD = "overlap_guard"
    OVERLAP_CONFIRM = "overlap_confirm"
    OVERLAP_FALSE = "overlap_false"
    RESPONSE = "response"
    SYNTHESIS = "synthesis"
    PLAYOUT = "playout"
    CLEAR = "clear"
    FILLER = "filler"
    TOOL = "tool"
    """Its key is the ordinal of the call."""


# What happened.


class MediaConnected(msgspec.Struct, frozen=True, tag="media.connected"):
    """Sound can flow."""

    at: int


class MediaLost(msgspec.Struct, frozen=True, tag="media.lost"):
    """No sound flows for now. A line that is gone for good is told like this too while the caller may come back on another
    one; else it is ``CloseRequested``. For ``silent_ns`` before, nothing had come from the caller, who may have heard
    nothing either."""

    at: int
    silent_ns: int = 0


class MediaResumed(msgspec.Struct, frozen=True, tag="media.resumed"):
    """``kept``: what was queued for playing waits there still. False on a new line; what was not heard is then said again.
    Counts of samples go on over all lines of a call."""

    at: int
    kept: bool = True


class SoundHeard(msgspec.Struct, frozen=True, tag="media.heard"):
    """The microphone still sends; ``sample`` is the next one. Told at least every 300 ms while somebody speaks, else not
    needed: when it stays away for ``audio_idle_ns``, the speech is taken as over. A driver that never tells it goes
    without."""

    at: int
    sample: int


class SpeechStarted(msgspec.Struct, frozen=True, tag="vad.speech_started"):
    """Three windows in a row are speech, or two and half of the third (`cozy_domain.speech.onset`). ``sample`` is where to
    listen from, a little before it was loud; ``onset`` when the loud windows began."""

    at: int
    sample: int
    onset: int


class SpeechStopped(msgspec.Struct, frozen=True, tag="vad.speech_stopped"):
    """Quiet for ``silence_ns``, a provisional end (`Endpointing.provisional_ns`): the session waits by itself to be sure.
    ``sample`` is where the last sound ended; ``probability`` of speech in the last window."""

    at: int
    sample: int
    silence_ns: int
    probability: float = 0.0


class TranscriptUpdated(msgspec.Struct, frozen=True, tag="stt.partial"):
    """All that is understood so far of this stretch; it may still change."""

    at: int
    turn_id: int
    rev: int
    text: str


class TranscriptFinished(msgspec.Struct, frozen=True, tag="stt.final"):
    """What was said in this stretch; empty when nothing was understood."""

    at: int
    turn_id: int
    rev: int
    text: str


class TranscriptFailed(msgspec.Struct, frozen=True, tag="stt.failed"):
    """Nothing more will come of this stretch."""

    at: int
    turn_id: int
    rev: int
    code: str


class EndOfTurnPredicted(msgspec.Struct, frozen=True, tag="eot.predicted"):
    """Probabilities 0..1: that the user has finished, and that it was only a sign of listening ("mhm")."""

    at: int
    turn_id: int
    rev: int
    probability: float
    backchannel: float = 0.0


class OverlapClassified(msgspec.Struct, frozen=True, tag="overlap.classified"):
    """Answers ``ClassifyOverlap``. It takes a driver that can judge the sound of an overlap; `cozy_domain.voice.driver` goes
    by the words."""

    at: int
    turn_id: int
    verdict: OverlapVerdict


class ResponseTextAdded(msgspec.Struct, frozen=True, tag="response.text_delta"):
    at: int
    response_id: int
    text: str


class ResponseTextFinished(msgspec.Struct, frozen=True, tag="response.text_done"):
    """The model has written all. Without any text before, the reply is empty."""

    at: int
    response_id: int


class ResponseFailed(msgspec.Struct, frozen=True, tag="response.failed"):
    """``code`` is that of the `CozyError`. A speculative one that fails is only dropped."""

    at: int
    response_id: int
    code: str


class ToolRequested(msgspec.Struct, frozen=True, tag="tool.requested"):
    """The model calls a tool. ``cancel_on_barge_in``: it is stopped when the user interrupts, instead of going on in the
    background."""

    at: int
    response_id: int
    call_id: str
    name: str
    cancel_on_barge_in: bool = False


class ToolProgressed(msgspec.Struct, frozen=True, tag="tool.progress"):
    """It is still at work; its deadline begins anew. For drivers whose tools tell how far they are; the chat pipeline, which
    runs those of `cozy_domain.voice.driver`, tells nothing before a result."""

    at: int
    call_id: str


class ToolCompleted(msgspec.Struct, frozen=True, tag="tool.completed"):
    """The driver keeps the result."""

    at: int
    call_id: str


class ToolFailed(msgspec.Struct, frozen=True, tag="tool.failed"):
    at: int
    call_id: str
    code: str


class SpeechSynthesized(msgspec.Struct, frozen=True, tag="tts.audio"):
    """``samples`` more of a segment. ``marks`` are the characters of ``SynthesizeSegment.text`` that begin in them, their
    samples counted from the segment's beginning."""

    at: int
    response_id: int
    segment_id: int
    samples: int
    marks: tuple[Mark, ...] = ()


class SynthesisFinished(msgspec.Struct, frozen=True, tag="tts.done"):
    """The segment has all its sound, which may be none."""

    at: int
    response_id: int
    segment_id: int


class SynthesisFailed(msgspec.Struct, frozen=True, tag="tts.failed"):
    at: int
    response_id: int
    segment_id: int
    code: str


class PlayoutStarted(msgspec.Struct, frozen=True, tag="playout.started"):
    """As ``PlayoutProgressed``; a driver whose line does not tell of the start leaves it out, as `cozy_domain.voice.driver`
    does."""

    at: int
    played: int


class PlayoutProgressed(msgspec.Struct, frozen=True, tag="playout.progress"):
    """``played`` samples have left since the call began, ``sent`` were handed to the line (0: not known). Told at least
    every 500 ms while something plays, and once when all is out; more often makes nothing better."""

    at: int
    played: int
    sent: int = 0


class PlayoutFinished(msgspec.Struct, frozen=True, tag="playout.finished"):
    """As ``PlayoutProgressed``; a driver whose line does not tell of the end leaves it out, as `cozy_domain.voice.driver`
    does."""

    at: int
    played: int


class PlayoutCleared(msgspec.Struct, frozen=True, tag="playout.cleared"):
    """Answers ``ClearPlayout`` of that ``epoch``: ``played`` is final, what was queued behind it never sounds."""

    at: int
    played: int
    epoch: int


class TextTyped(msgspec.Struct, frozen=True, tag="client.text"):
    """A message in writing. It interrupts what is being said; in an open turn of speech it joins that."""

    at: int
    text: str


class InputCommitted(msgspec.Struct, frozen=True, tag="client.commit"):
    """The user's turn ends here, whatever the detector says. ``sample`` is the next one heard; without turn detection the
    turn is all since the last commit."""

    at: int
    sample: int


class InputCleared(msgspec.Struct, frozen=True, tag="client.clear"):
    """What was said since the last commit is to be forgotten. ``sample`` is the next one heard."""

    at: int
    sample: int


class ResponseRequested(msgspec.Struct, frozen=True, tag="client.respond"):
    """The caller's program wants a reply now."""

    at: int


class CancelRequested(msgspec.Struct, frozen=True, tag="client.cancel"):
    """Ends a reply; None: whichever is under way. Nothing to cancel is no error."""

    at: int
    response_id: int | None = None


class TruncationRequested(msgspec.Struct, frozen=True, tag="client.truncate"):
    """The user heard only the first ``samples`` of a reply; more than there are counts as all."""

    at: int
    response_id: int
    samples: int


class SessionUpdated(msgspec.Struct, frozen=True, tag="client.update"):
    """Another profile from now on; timers that run keep their times."""

    at: int
    profile: VoiceProfile


class DtmfPressed(msgspec.Struct, frozen=True, tag="client.dtmf"):
    """A key of the telephone; it counts as a sign of life."""

    at: int
    digit: str


class TimerFired(msgspec.Struct, frozen=True, tag="timer.fired"):
    at: int
    timer: Timer
    key: int
    epoch: int


class LoadReported(msgspec.Struct, frozen=True, tag="machine.load"):
    """How busy the machine is, 0..100; speculation depends on it. Told when it changes by much."""

    at: int
    percent: int


class DrainRequested(msgspec.Struct, frozen=True, tag="admin.drain"):
    """The call is to end soon: what is being said may finish, then the goodbye, at most ``within_ns`` from now."""

    at: int
    within_ns: int


class CloseRequested(msgspec.Struct, frozen=True, tag="admin.close"):
    """The call ends now: the user has hung up, or somebody in charge."""

    at: int
    reason: CloseReason


class PersonaSwitched(msgspec.Struct, frozen=True, tag="admin.persona_switched"):
    """Another persona answers from the next reply on. For drivers whose callers may change it in mid-call; with
    `cozy_domain.voice.driver` it is another call."""

    at: int
    persona: str
    profile: VoiceProfile


Event = (
    MediaConnected
    | MediaLost
    | MediaResumed
    | SoundHeard
    | SpeechStarted
    | SpeechStopped
    | TranscriptUpdated
    | TranscriptFinished
    | TranscriptFailed
    | EndOfTurnPredicted
    | OverlapClassified
    | ResponseTextAdded
    | ResponseTextFinished
    | ResponseFailed
    | ToolRequested
    | ToolProgressed
    | ToolCompleted
    | ToolFailed
    | SpeechSynthesized
    | SynthesisFinished
    | SynthesisFailed
    | PlayoutStarted
    | PlayoutProgressed
    | PlayoutFinished
    | PlayoutCleared
    | TextTyped
    | InputCommitted
    | InputCleared
    | ResponseRequested
    | CancelRequested
    | TruncationRequested
    | SessionUpdated
    | DtmfPressed
    | TimerFired
    | LoadReported
    | DrainRequested
    | CloseRequested
    | PersonaSwitched
)


# What to do. In the order given; all of them belong to the time of the event that caused them.


class OpenTranscription(msgspec.Struct, frozen=True, tag="stt.open"):
    """Begin to recognise, and feed what is heard from ``sample`` on, which lies a little in the past."""

    turn_id: int
    rev: int
    sample: int


class FinalizeTranscription(msgspec.Struct, frozen=True, tag="stt.finalize"):
    """Nothing follows in this stretch: tell its final text. What was heard after ``sample`` does not belong to it."""

    turn_id: int
    rev: int
    sample: int


class CloseTranscription(msgspec.Struct, frozen=True, tag="stt.close"):
    """Its text is not wanted any more. Every one opened is closed once, finished or not."""

    turn_id: int
    rev: int


class PredictEndOfTurn(msgspec.Struct, frozen=True, tag="eot.predict"):
    """Has the user finished? ``text`` is what is understood so far. Not answering is allowed, and counts as unsure."""

    turn_id: int
    rev: int
    text: str


class ClassifyOverlap(msgspec.Struct, frozen=True, tag="overlap.classify"):
    """Does the user want the floor? Not answering is allowed."""

    turn_id: int
    rev: int
    text: str


class StartResponse(msgspec.Struct, frozen=True, tag="response.start"):
    """Ask the model. ``text`` is the user's, as in ``CommitUser``; empty for a reply to the results of ``calls``, or when
    the caller's program asked for one. ``speculative``: not yet decided; nothing of it may be stored or sound, and
    ``ConfirmResponse`` or ``CancelResponse`` follows. ``corrected``: the text stands in the history already, by
    ``CorrectUser``."""

    response_id: int
    turn_id: int
    rev: int
    text: str
    cause: Cause
    speculative: bool = False
    calls: tuple[str, ...] = ()
    corrected: bool = False


class ConfirmResponse(msgspec.Struct, frozen=True, tag="response.confirm"):
    """The speculation came true: ``turn_id`` is committed with the very text that it was started with."""

    response_id: int
    turn_id: int


class CancelResponse(msgspec.Struct, frozen=True, tag="response.cancel"):
    """Stop the model; what it writes later is not wanted. Tool calls in ``background`` go on nevertheless.
    ``CommitAssistant`` follows if any of it was heard."""

    response_id: int
    reason: CancelReason
    background: tuple[str, ...] = ()


class EndResponse(msgspec.Struct, frozen=True, tag="response.end"):
    """The last word about a response that was started, cancelled or not: free what it holds. What of it was heard was
    committed before, if anything was."""

    response_id: int


class SynthesizeSegment(msgspec.Struct, frozen=True, tag="tts.synthesize"):
    """Make this into sound. ``text`` is what the model wrote from ``start`` up to ``end`` of the reply, with all its markup;
    marks refer to it as it stands here. A phrase of the profile stands at ``start == end``."""

    response_id: int
    segment_id: int
    text: str
    start: int
    end: int


class CancelSegment(msgspec.Struct, frozen=True, tag="tts.cancel"):
    """Its sound is not wanted any more, made or not."""

    response_id: int
    segment_id: int


class EnqueuePlayout(msgspec.Struct, frozen=True, tag="playout.enqueue"):
    """Play the next ``samples`` of the segment behind what is queued. The driver hands them to the line no further ahead
    than `Speaking.ahead_samples`."""

    response_id: int
    segment_id: int
    samples: int


class PausePlayout(msgspec.Struct, frozen=True, tag="playout.pause"):
    """Silence at once; what is queued is kept."""


class ResumePlayout(msgspec.Struct, frozen=True, tag="playout.resume"):
    """Go on where it paused, at full volume."""


class ClearPlayout(msgspec.Struct, frozen=True, tag="playout.clear"):
    """Silence at once, and forget what is queued; answer with ``PlayoutCleared`` of the same ``epoch``."""

    epoch: int


class FadePlayout(msgspec.Struct, frozen=True, tag="playout.fade"):
    """Go on at ``percent`` of the volume: instead of a pause, where the profile says so."""

    percent: int


class CommitUser(msgspec.Struct, frozen=True, tag="history.commit_user"):
    """The user's turn is over, and this is it. Comes before the response that answers it; a pipeline that stores the turn
    with its answer has nothing to do, unless it is not ``answered``: the call is about to end. ``typed``: it was not
    spoken."""

    turn_id: int
    rev: int
    text: str
    typed: bool = False
    answered: bool = True


class CorrectUser(msgspec.Struct, frozen=True, tag="history.correct_user"):
    """More was said in a committed turn than was understood: ``text`` is all of it. The reply to it is cancelled before any
    of it was heard, and another ``StartResponse``, which is ``corrected``, follows unless the user goes on speaking."""

    turn_id: int
    text: str


class CommitAssistant(msgspec.Struct, frozen=True, tag="history.commit_assistant"):
    """What was heard of a reply, once for each reply of which anything was. ``text`` is the beginning of what was
    written, or a phrase of the profile as far as it was heard; ``samples`` are what was played of it."""

    response_id: int
    turn_id: int
    cause: Cause
    text: str
    samples: int
    interrupted: bool


class TruncateAssistant(msgspec.Struct, frozen=True, tag="history.truncate"):
    """Less was heard of a committed reply than was thought: ``text`` is what remains."""

    response_id: int
    text: str
    samples: int


class RecordToolResult(msgspec.Struct, frozen=True, tag="history.tool_result"):
    """The call's one result, for the history: that of the tool, or that it failed or was cancelled."""

    response_id: int
    call_id: str
    outcome: Literal["ok", "failed", "cancelled"]


class StartTool(msgspec.Struct, frozen=True, tag="tool.start"):
    """It may run. A pipeline that runs its tools by itself, with their results in its turn, has nothing to do: neither here
    nor at ``RecordToolResult``."""

    response_id: int
    call_id: str


class CancelTool(msgspec.Struct, frozen=True, tag="tool.cancel"):
    response_id: int
    call_id: str


class ArmTimer(msgspec.Struct, frozen=True, tag="timer.arm"):
    """Tell ``TimerFired`` with the same ``timer``, ``key`` and ``epoch`` at ``due`` or soon after, once. An earlier one
    of that kind and key was cancelled before."""

    timer: Timer
    key: int
    epoch: int
    due: int


class CancelTimer(msgspec.Struct, frozen=True, tag="timer.cancel"):
    timer: Timer
    key: int
    epoch: int


class Emit(msgspec.Struct, frozen=True, tag="emit"):
    """Tell the caller's program. ``seq`` counts from 1 without gaps."""

    seq: int
    event: PublicEvent


class RecordLatency(msgspec.Struct, frozen=True, tag="metric.span"):
    """``stages`` follow each other and add up to ``total_ns``: user's last sound, turn committed, model's first text, first
    sound made, first sound played."""

    turn_id: int
    response_id: int
    total_ns: int
    stages: tuple[LatencyStage, ...]
    speculated: bool


class CloseSession(msgspec.Struct, frozen=True, tag="session.close"):
    """Close the line; nothing follows."""

    reason: CloseReason


Action = (
    OpenTranscription
    | FinalizeTranscription
    | CloseTranscription
    | PredictEndOfTurn
    | ClassifyOverlap
    | StartResponse
    | ConfirmResponse
    | CancelResponse
    | EndResponse
    | SynthesizeSegment
    | CancelSegment
    | EnqueuePlayout
    | PausePlayout
    | ResumePlayout
    | ClearPlayout
    | FadePlayout
    | CommitUser
    | CorrectUser
    | CommitAssistant
    | TruncateAssistant
    | RecordToolResult
    | StartTool
    | CancelTool
    | ArmTimer
    | CancelTimer
    | Emit
    | RecordLatency
    | CloseSession
)
