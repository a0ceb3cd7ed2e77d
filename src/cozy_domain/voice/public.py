"""What the caller's program is told of a voice session, as values; each surface writes them in its own client's words.

Tags are the names of OpenAI Realtime (GA, developers.openai.com/api/reference/resources/realtime, 2026-07) where it has
one for the same thing, and ours otherwise. Positions are samples since the call began (heard: ``HEARING_RATE``, spoken:
``SPEAKING_RATE``), durations nanoseconds.
"""

from typing import Literal

import msgspec

AgentState = Literal["initializing", "idle", "listening", "thinking", "speaking"]
"""``idle``: nobody can be heard (suspended or closing), or the user is away."""
UserState = Literal["speaking", "listening", "away"]
ResponseStatus = Literal["completed", "cancelled", "incomplete", "failed"]


class AgentStateChanged(msgspec.Struct, frozen=True, tag="agent.state_changed"):
    old: AgentState
    new: AgentState


class UserStateChanged(msgspec.Struct, frozen=True, tag="user.state_changed"):
    old: UserState
    new: UserState


class InputSpeechStarted(msgspec.Struct, frozen=True, tag="input_audio_buffer.speech_started"):
    """A stretch of speech that belongs to a turn; the turn's first has ``rev`` 1."""

    turn_id: int
    rev: int
    sample: int


class InputSpeechStopped(msgspec.Struct, frozen=True, tag="input_audio_buffer.speech_stopped"):
    turn_id: int
    rev: int
    sample: int


class TurnCommitted(msgspec.Struct, frozen=True, tag="input_audio_buffer.committed"):
    """The user's turn is over."""

    turn_id: int
    text: str
    typed: bool = False


class TurnCleared(msgspec.Struct, frozen=True, tag="input_audio_buffer.cleared"):
    turn_id: int


class InputTranscriptGrown(
    msgspec.Struct, frozen=True, tag="conversation.item.input_audio_transcription.delta"
):
    """``text`` is all that is understood so far of the turn; unlike OpenAI's deltas it may still change."""

    turn_id: int
    text: str


class InputTranscribed(
    msgspec.Struct, frozen=True, tag="conversation.item.input_audio_transcription.completed"
):
    turn_id: int
    text: str


class InputTranscriptionFailed(
    msgspec.Struct, frozen=True, tag="conversation.item.input_audio_transcription.failed"
):
    """Something was said, and no recogniser could tell what; the turn is discarded for it. ``code`` is an error's, or
    ``transcript_timeout``."""

    turn_id: int
    code: str


class TurnDiscarded(msgspec.Struct, frozen=True, tag="user.turn_discarded"):
    """The turn is over, and nothing was understood of it (or it is not wanted)."""

    turn_id: int
    reason: str


class TurnExceeded(msgspec.Struct, frozen=True, tag="user.turn_exceeded"):
    """The user spoke for so long that the turn is taken as it is."""

    turn_id: int
    ns: int


class FalseInterruption(msgspec.Struct, frozen=True, tag="agent.false_interruption"):
    """What seemed to interrupt the agent did not mean to; it goes on speaking, ``ns`` later."""

    response_id: int
    ns: int


class ResponseCreated(msgspec.Struct, frozen=True, tag="response.created"):
    """Never for a speculation before it has come true. ``turn_id`` is 0 where it answers no turn."""

    response_id: int
    turn_id: int
    cause: str


class ResponseTextGrown(msgspec.Struct, frozen=True, tag="response.output_audio_transcript.delta"):
    """More of what the reply says, as it is written; what of it was heard is in ``ResponseDone``."""

    response_id: int
    text: str


class ResponseTextDone(msgspec.Struct, frozen=True, tag="response.output_audio_transcript.done"):
    response_id: int
    text: str


class ResponseDone(msgspec.Struct, frozen=True, tag="response.done"):
    """The end of a reply, once for each. ``reason`` is empty when it is complete; ``text`` is what was heard."""

    response_id: int
    turn_id: int
    status: ResponseStatus
    reason: str
    text: str


class SpeechUnavailable(msgspec.Struct, frozen=True, tag="response.text_only"):
    """The reply could be written but not spoken: show it."""

    response_id: int
    text: str


class OutputStarted(msgspec.Struct, frozen=True, tag="output_audio_buffer.started"):
    """The first sound of the reply has left."""

    response_id: int


class OutputStopped(msgspec.Struct, frozen=True, tag="output_audio_buffer.stopped"):
    """The last one has."""

    response_id: int


class OutputCleared(msgspec.Struct, frozen=True, tag="output_audio_buffer.cleared"):
    """The rest will not sound. ``samples`` of the reply were played."""

    response_id: int
    samples: int


class ToolStarted(msgspec.Struct, frozen=True, tag="tool.started"):
    response_id: int
    call_id: str
    name: str


class ToolEnded(msgspec.Struct, frozen=True, tag="tool.ended"):
    response_id: int
    call_id: str
    outcome: Literal["ok", "failed", "cancelled"]


class HistoryTruncated(msgspec.Struct, frozen=True, tag="conversation.item.truncated"):
    response_id: int
    samples: int
    text: str


class LatencyStage(msgspec.Struct, frozen=True):
    """A part of the time between the user's last sound and the first of the reply."""

    name: Literal["endpointing", "model", "synthesis", "playout"]
    ns: int


class TurnLatency(msgspec.Struct, frozen=True, tag="turn.latency"):
    """From the user's last sound to the first of the reply. The stages add up to the total; all but the first, endpointing,
    are the engine's."""

    turn_id: int
    response_id: int
    total_ns: int
    stages: tuple[LatencyStage, ...]


class IdlePrompted(msgspec.Struct, frozen=True, tag="input_audio_buffer.timeout_triggered"):
    """Nobody has said anything for so long that the agent asks; ``count`` from 1."""

    count: int


class SessionActive(msgspec.Struct, frozen=True, tag="session.active"):
    """Sound flows. ``resumed``: again."""

    resumed: bool


class SessionSuspended(msgspec.Struct, frozen=True, tag="session.suspended"):
    """The line is lost; the session waits for ``ns``."""

    ns: int


class SessionDraining(msgspec.Struct, frozen=True, tag="session.draining"):
    """The call is about to end; ``ns`` at most."""

    reason: str
    ns: int


class SessionClosed(msgspec.Struct, frozen=True, tag="session.closed"):
    """The last event."""

    reason: str


class PersonaChanged(msgspec.Struct, frozen=True, tag="session.persona_changed"):
    """Where the driver tells ``PersonaSwitched``."""

    persona: str


class DtmfReceived(msgspec.Struct, frozen=True, tag="input_audio_buffer.dtmf_event_received"):
    digit: str


PublicEvent = (
    AgentStateChanged
    | UserStateChanged
    | InputSpeechStarted
    | InputSpeechStopped
    | TurnCommitted
    | TurnCleared
    | InputTranscriptGrown
    | InputTranscribed
    | InputTranscriptionFailed
    | TurnDiscarded
    | TurnExceeded
    | FalseInterruption
    | ResponseCreated
    | ResponseTextGrown
    | ResponseTextDone
    | ResponseDone
    | SpeechUnavailable
    | OutputStarted
    | OutputStopped
    | OutputCleared
    | ToolStarted
    | ToolEnded
    | HistoryTruncated
    | TurnLatency
    | IdlePrompted
    | SessionActive
    | SessionSuspended
    | SessionDraining
    | SessionClosed
    | PersonaChanged
    | DtmfReceived
)
