"""The states of each region of a call, and how it goes from one to the other: what the session's rules come to.

It decides nothing: the rules do. It is what they are held against: a test walks through calls at random and fails at a
transition that does not stand here, and the page of the states is drawn from it.
"""

from collections.abc import Mapping

import msgspec

from cozy_domain.voice.state import Overlapping, Phase, Playing, Responding, Turning, UserVoice


class Move(msgspec.Struct, frozen=True):
    """From one state to another, and what brings it about."""

    old: str
    new: str
    by: str


class Region(msgspec.Struct, frozen=True):
    """``kinds`` in the order of a usual call; the first is where it begins."""

    title: str
    kinds: tuple[str, ...]
    moves: tuple[Move, ...]


def _moves(*rows: tuple[str, str, str]) -> tuple[Move, ...]:
    return tuple(Move(*row) for row in rows)


REGIONS: Mapping[str, Region] = {
    "session": Region(
        "The call",
        tuple(Phase),
        _moves(
            (Phase.CONNECTING, Phase.ACTIVE, "media.connected"),
            (Phase.CONNECTING, Phase.CLOSED, "connect timer, close"),
            (Phase.ACTIVE, Phase.SUSPENDED, "media.lost"),
            (Phase.SUSPENDED, Phase.ACTIVE, "media.resumed"),
            (Phase.SUSPENDED, Phase.CLOSED, "reconnect timer, close, drain"),
            (Phase.SUSPENDED, Phase.CLOSING, "the same, while some of a reply is queued or a turn is open"),
            (Phase.ACTIVE, Phase.DRAINING, "drain, time limit, silence"),
            (Phase.ACTIVE, Phase.CLOSING, "close, while some of a reply is queued or a turn is open"),
            (Phase.ACTIVE, Phase.CLOSED, "close"),
            (
                Phase.DRAINING,
                Phase.CLOSING,
                "close, drain timer, media.lost, while some of a reply is queued or a turn is open",
            ),
            (Phase.DRAINING, Phase.CLOSED, "all is said; close, drain timer, media.lost"),
            (Phase.CLOSING, Phase.CLOSED, "playout.cleared, clear timer; stt.final, transcript timer"),
        ),
    ),
    "voice": Region(
        "The user's voice",
        tuple(UserVoice),
        _moves(
            (UserVoice.QUIET, UserVoice.STARTING, "vad.speech_started in silence"),
            (UserVoice.QUIET, UserVoice.SPEAKING, "vad.speech_started over a reply or in an open turn"),
            (UserVoice.STARTING, UserVoice.SPEAKING, "speech_start timer"),
            (UserVoice.STARTING, UserVoice.QUIET, "vad.speech_stopped, media.lost, close"),
            (UserVoice.SPEAKING, UserVoice.STOPPING, "vad.speech_stopped"),
            (
                UserVoice.SPEAKING,
                UserVoice.QUIET,
                "the turn is ended by others; no sound from the microphone; media.lost",
            ),
            (
                UserVoice.STOPPING,
                UserVoice.QUIET,
                "speech_stop timer; the turn is committed or ended by others",
            ),
            (UserVoice.STOPPING, UserVoice.SPEAKING, "vad.speech_started"),
            (
                UserVoice.STOPPING,
                UserVoice.STARTING,
                "vad.speech_started, when what was said before is dealt with",
            ),
        ),
    ),
    "turn": Region(
        "The user's turn",
        tuple(Turning),
        _moves(
            (Turning.NONE, Turning.OPEN, "speech in silence; an interruption"),
            (
                Turning.NONE,
                Turning.ENDPOINTING,
                "an interruption that has gone quiet already; a reply over which was spoken ends",
            ),
            (Turning.NONE, Turning.AWAITING, "client.text, client.commit"),
            (
                Turning.OPEN,
                Turning.ENDPOINTING,
                "vad.speech_stopped, no sound from the microphone, media.lost",
            ),
            (Turning.OPEN, Turning.AWAITING, "client.commit, client.text, too long"),
            (Turning.OPEN, Turning.NONE, "committed at once; client.clear, close"),
            (Turning.ENDPOINTING, Turning.OPEN, "vad.speech_started: the next stretch"),
            (Turning.ENDPOINTING, Turning.AWAITING, "endpoint timer, client.commit, client.text"),
            (
                Turning.ENDPOINTING,
                Turning.NONE,
                "committed or discarded, all being understood; client.clear, close",
            ),
            (Turning.AWAITING, Turning.OPEN, "vad.speech_started: the next stretch"),
            (Turning.AWAITING, Turning.ENDPOINTING, "stt.partial, stt.final: other words than were judged"),
            (Turning.AWAITING, Turning.NONE, "committed, or discarded because nothing was understood"),
        ),
    ),
    "response": Region(
        "The reply",
        tuple(Responding),
        _moves(
            (Responding.NONE, Responding.SPECULATING, "a provisional end of the turn"),
            (Responding.NONE, Responding.GENERATING, "a turn is committed; a phrase; a late result"),
            (Responding.SPECULATING, Responding.NONE, "dropped: other words, more speech, a failure"),
            (Responding.SPECULATING, Responding.GENERATING, "confirmed by the commit"),
            (Responding.SPECULATING, Responding.TOOL_WAIT, "confirmed, while a tool is at work"),
            (Responding.SPECULATING, Responding.SPEAKING, "confirmed, with sound made ahead"),
            (Responding.GENERATING, Responding.TOOL_WAIT, "tool.requested"),
            (Responding.GENERATING, Responding.SPEAKING, "tts.audio"),
            (Responding.GENERATING, Responding.NONE, "nothing to say, a failure, cancelled before any sound"),
            (Responding.TOOL_WAIT, Responding.GENERATING, "the tool's result; it goes to the background"),
            (Responding.TOOL_WAIT, Responding.SPEAKING, "tts.audio"),
            (Responding.TOOL_WAIT, Responding.NONE, "a failure, cancelled"),
            (Responding.SPEAKING, Responding.NONE, "all is played; cancelled with nothing queued"),
            (Responding.SPEAKING, Responding.CANCELLING, "cancelled: what is queued is cleared"),
            (Responding.SPEAKING, Responding.GENERATING, "media.resumed on another line: to be said again"),
            (Responding.SPEAKING, Responding.TOOL_WAIT, "the same, while a tool is at work"),
            (
                Responding.SPEAKING,
                Responding.SPECULATING,
                "all is played, and what was said over it has gone quiet",
            ),
            (Responding.CANCELLING, Responding.NONE, "playout.cleared, clear timer"),
            (Responding.CANCELLING, Responding.GENERATING, "the same, with a turn to be answered"),
        ),
    ),
    "playout": Region(
        "Playing",
        tuple(Playing),
        _moves(
            (Playing.IDLE, Playing.BUFFERING, "tts.audio"),
            (Playing.BUFFERING, Playing.PLAYING, "playout.progress"),
            (Playing.BUFFERING, Playing.IDLE, "the reply ends"),
            (Playing.BUFFERING, Playing.CLEARING, "cancelled"),
            (Playing.BUFFERING, Playing.PAUSED, "the user speaks over it"),
            (Playing.PLAYING, Playing.BUFFERING, "nothing left for now; media.lost"),
            (Playing.PLAYING, Playing.PAUSED, "the user speaks over it"),
            (Playing.PLAYING, Playing.CLEARING, "cancelled"),
            (Playing.PLAYING, Playing.IDLE, "all is played"),
            (Playing.PAUSED, Playing.PLAYING, "no interruption"),
            (Playing.PAUSED, Playing.BUFFERING, "no interruption, nothing left for now; media.lost"),
            (Playing.PAUSED, Playing.CLEARING, "an interruption; cancelled"),
            (Playing.PAUSED, Playing.IDLE, "all was played"),
            (Playing.CLEARING, Playing.IDLE, "playout.cleared, clear timer"),
        ),
    ),
    "overlap": Region(
        "The user's voice over the agent's",
        tuple(Overlapping),
        _moves(
            (Overlapping.NONE, Overlapping.CANDIDATE, "speech over a reply: it pauses"),
            (
                Overlapping.NONE,
                Overlapping.NOTED,
                "speech over a protected reply, or one that has only begun",
            ),
            (Overlapping.NOTED, Overlapping.CANDIDATE, "the guarded time is over, and the user still speaks"),
            (Overlapping.NOTED, Overlapping.NONE, "the reply is over: a turn; or nothing was meant"),
            (Overlapping.CANDIDATE, Overlapping.NONE, "an interruption: a turn; or none: the reply goes on"),
            (Overlapping.CANDIDATE, Overlapping.NOTED, "no interruption, though the user still makes sounds"),
        ),
    ),
}
