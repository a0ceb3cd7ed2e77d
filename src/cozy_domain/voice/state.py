"""What a voice session remembers, region by region. Nothing is decided here."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

import msgspec

from cozy_domain.speech.ports import Mark
from cozy_domain.text import CJK
from cozy_domain.voice.events import WRITTEN, Cause, Timer
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.public import ResponseStatus

UNANSWERED = "transcript_timeout"
"""The failure of a recogniser that says nothing in time."""


class Phase(StrEnum):
    CONNECTING = "connecting"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """The line is lost, and may come back."""
    DRAINING = "draining"
    """The call is about to end: nothing new is begun but the goodbye."""
    CLOSING = "closing"
    """It ends now; only how much was heard, or what was said last, is not known yet."""
    CLOSED = "closed"


class UserVoice(StrEnum):
    """The user's voice."""

    QUIET = "quiet"
    STARTING = "starting"
    SPEAKING = "speaking"
    STOPPING = "stopping"


class Turning(StrEnum):
    """The user's turn."""

    NONE = "none"
    OPEN = "open"
    ENDPOINTING = "endpointing"
    AWAITING = "awaiting_transcript"


class Responding(StrEnum):
    NONE = "none"
    SPECULATING = "speculating"
    GENERATING = "generating"
    TOOL_WAIT = "tool_wait"
    SPEAKING = "speaking"
    CANCELLING = "cancelling"


class Playing(StrEnum):
    IDLE = "idle"
    BUFFERING = "buffering"
    PLAYING = "playing"
    PAUSED = "paused"
    CLEARING = "clearing"


class Overlapping(StrEnum):
    """The user's voice over the agent's."""

    NONE = "none"
    NOTED = "noted"
    """Nothing is done about it: the reply is protected, or has only begun."""
    CANDIDATE = "candidate"


class Voice(msgspec.Struct, frozen=True):
    """``onset`` and ``ended``: when the last speech began and ended. ``sample`` is where it is listened to from.
    ``heard_at`` and ``heard_sample``: the last sign of the microphone, -1 before the first."""

    kind: UserVoice = UserVoice.QUIET
    onset: int = 0
    sample: int = 0
    ended: int = 0
    heard_at: int = -1
    heard_sample: int = 0


class Stretch(msgspec.Struct, frozen=True):
    """One ``rev`` of a turn: ``final`` when its text will not change any more, ``asked`` when that was asked for, up to the
    sample ``until``. ``heard``: it was spoken, and has a transcription; ``failed``: the code of why it has none."""

    rev: int
    text: str = ""
    final: bool = False
    asked: bool = False
    until: int = 0
    heard: bool = True
    failed: str = ""


class Turn(msgspec.Struct, frozen=True):
    """``began`` is its first sound and ``ended`` its last one so far (nanoseconds); ``sample`` where the last stretch began.
    ``decided``: nothing but transcripts is waited for (typed, committed by the caller's program, too long). ``again``: the
    final transcript was asked for a second time; ``enough``: it is not waited for any more. ``tries`` counts speculations;
    ``cut`` tells that the turn interrupted a reply."""

    turn_id: int
    began: int
    ended: int
    sample: int
    kind: Turning = Turning.OPEN
    stretches: tuple[Stretch, ...] = ()
    verdict: float | None = None
    decided: bool = False
    typed: bool = False
    again: bool = False
    enough: bool = False
    tries: int = 0
    cut: bool = False

    @property
    def rev(self) -> int:
        return self.stretches[-1].rev if self.stretches else 0

    @property
    def understood(self) -> bool:
        """No transcript is waited for."""
        return self.enough or all(it.final for it in self.stretches)

    @property
    def text(self) -> str:
        return joined(it.text for it in self.stretches)

    @property
    def failure(self) -> str:
        """Why some of what was spoken could not be understood; empty when all was."""
        codes = (it.failed if it.final else UNANSWERED for it in self.stretches)
        return next(filter(None, codes), "")


class Segment(msgspec.Struct, frozen=True):
    """``start`` and ``end`` are characters of the reply. ``asked``: synthesis was ordered; ``done``: it has all its sound,
    ``samples``, of which ``pushed`` were enqueued."""

    segment_id: int
    text: str
    start: int
    end: int
    asked: bool = False
    done: bool = False
    samples: int = 0
    pushed: int = 0
    marks: tuple[Mark, ...] = ()


class Ending(msgspec.Struct, frozen=True):
    """How a reply ends before its time. ``cut``: at once; else what is made of it is still played."""

    status: ResponseStatus
    reason: str
    cut: bool


class Response(msgspec.Struct, frozen=True):
    """``basis`` is the text that it answers; ``text`` what is written of it so far, of which ``segmented`` characters are in
    segments. ``said`` characters, ``said_samples`` long, were heard on an earlier line. ``news`` is when the model was last
    heard of. ``asked``, ``first_text``, ``first_sound``, ``started``: when the model was asked, and what came of it first.
    ``committed``: when its turn was. ``filled``: a filler was said; ``called``: a tool was called. ``at_most``: so many
    samples were heard, as the caller's program says, or as is certain of a line that is lost."""

    response_id: int
    turn_id: int
    cause: Cause
    basis: str
    asked: int
    news: int
    speculative: bool = False
    protected: bool = False
    text: str = ""
    written: bool = False
    segmented: int = 0
    segments: tuple[Segment, ...] = ()
    said: int = 0
    said_samples: int = 0
    ending: Ending | None = None
    committed: int = 0
    speech_ended: int = 0
    speculated: bool = False
    first_text: int | None = None
    first_sound: int | None = None
    started: int | None = None
    filled: bool = False
    called: bool = False
    at_most: int | None = None

    @property
    def by_model(self) -> bool:
        return self.cause in WRITTEN


class Playout(msgspec.Struct, frozen=True):
    """``line`` samples have left since the call began; the reply being said began at ``base``. The others count from there.
    ``moved`` is when it last went on; ``epoch`` is that of the clearing waited for."""

    kind: Playing = Playing.IDLE
    line: int = 0
    base: int = 0
    pushed: int = 0
    sent: int = 0
    played: int = 0
    moved: int = 0
    epoch: int = 0


class Overlap(msgspec.Struct, frozen=True):
    """``turn`` is what it becomes if it is an interruption; ``since`` is when the reply was paused. ``dismissed``: it was
    none; it lasts until the user is quiet."""

    kind: Overlapping
    turn: Turn
    since: int = 0
    dismissed: bool = False


class OpenToolCall(msgspec.Struct, frozen=True):
    """A tool call at work; ``done`` only in a speculation, where nothing is recorded before it has come true."""

    call_id: str
    number: int
    response_id: int
    name: str
    stoppable: bool
    news: int
    background: bool = False
    done: Literal["", "ok", "failed"] = ""


class Said(msgspec.Struct, frozen=True):
    """The last reply that was committed, while it may still be truncated."""

    response: Response
    played: int
    text: str


class Armed(msgspec.Struct, frozen=True):
    timer: Timer
    key: int
    epoch: int
    due: int


class Ignored(msgspec.Struct, frozen=True):
    """How many events changed nothing: for something that is no more, in a state in which they mean nothing, after the
    end."""

    stale: int = 0
    unexpected: int = 0
    closed: int = 0


class VoiceSession(msgspec.Struct, frozen=True):
    """The whole of a call."""

    profile: VoiceProfile
    began: int
    phase: Phase = Phase.CONNECTING
    connected: int = 0
    voice: Voice = Voice()
    turn: Turn | None = None
    response: Response | None = None
    playout: Playout = Playout()
    overlap: Overlap | None = None
    calls: tuple[OpenToolCall, ...] = ()
    late_calls: tuple[str, ...] = ()
    """Whose results no reply has dealt with yet."""
    late_text: str = ""
    """Understood after its turn was committed."""
    last_turn: Turn | None = None
    """The one that ended last."""
    owed: Turn | None = None
    """Was corrected, and is to be answered anew."""
    late_turn: Turn | None = None
    """Ended before all of it was understood, while that may still come."""
    said: Said | None = None
    timers: tuple[Armed, ...] = ()
    calm_since: int | None = None
    """Since when nobody says, thinks or does anything."""
    silent_since: int | None = None
    """The same, but for the agent's asking whether anybody is there."""
    prompts: int = 0
    away: bool = False
    end_reason: str = ""
    goodbye_said: bool = False
    input_from: int = 0
    """The first sample no turn has taken, for callers who say themselves when a turn ends."""
    load: int = 0
    epoch: int = 0
    seq: int = 0
    turns: int = 0
    responses: int = 0
    segments: int = 0
    tools: int = 0
    fillers: int = 0
    ignored: Ignored = Ignored()


_NO_SPACE = re.compile(rf"[{CJK}，。！？；：、]")


def joined(texts: Iterable[str]) -> str:
    """Stretches of speech as one text: a space between words, none beside Chinese, Japanese or Korean."""
    whole = ""
    for text in filter(None, (it.strip() for it in texts)):
        close = not whole or (_NO_SPACE.match(whole[-1]) and _NO_SPACE.match(text[0]))
        whole += text if close else f" {text}"
    return whole


def responding(state: VoiceSession) -> Responding:
    """What the response region is in."""
    response = state.response
    if response is None:
        return Responding.NONE
    if response.speculative:
        return Responding.SPECULATING
    if response.ending and response.ending.cut:
        return Responding.CANCELLING
    if state.playout.kind is not Playing.IDLE:
        return Responding.SPEAKING
    if any(not it.background for it in state.calls):
        return Responding.TOOL_WAIT
    return Responding.GENERATING


def turning(state: VoiceSession) -> Turning:
    return state.turn.kind if state.turn else Turning.NONE


def overlapping(state: VoiceSession) -> Overlapping:
    return state.overlap.kind if state.overlap else Overlapping.NONE


def is_audible(state: VoiceSession) -> bool:
    """A reply is being said: some of it has sounded, and more may follow."""
    begun = state.response is not None and state.response.started is not None
    return begun and responding(state) is Responding.SPEAKING
