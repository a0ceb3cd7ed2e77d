"""How a voice session decides: one profile of numbers and phrases for each call, which a persona may change (pure).

Durations are nanoseconds, sound is samples, texts are characters. The values are those of the field's defaults, chosen
between its extremes; each says where it stands.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cozy_domain.audio import SPEAKING_RATE

MS = 1_000_000
S = 1_000 * MS

Ns = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Percent = Annotated[int, Meta(ge=0, le=100)]


class Endpointing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the user has finished. ``automatic`` False: only ``client.commit`` ends a turn, and the detector is not asked.

    Speech of ``start_ns`` opens a turn while the agent is silent. Quiet of ``provisional_ns`` ends a stretch
    provisionally (what the driver's detector is set to), of ``stop_ns`` for good. Then the turn waits for a total,
    counted from the last sound, of ``complete_ns`` when the prediction says that the sentence is over (probability
    ``complete_from`` or more), ``incomplete_ns`` when it says that it is not (``incomplete_below``), else ``unsure_ns``.
    ``hard_ns`` after the last new word a turn ends even while the detector hears somebody, and one of ``longest_ns`` ends
    as it is. ``audio_idle_ns`` without any sound from the microphone ends the speech.

    Between LiveKit's 0.3/2.5 s and speech-to-speech's 0.8/2.0 s; start and stop 0.2 s as Pipecat and LiveKit.
    """

    automatic: bool = True
    start_ns: Ns = 200 * MS
    provisional_ns: Ns = 96 * MS
    stop_ns: Ns = 200 * MS
    complete_ns: Ns = 200 * MS
    unsure_ns: Ns = 800 * MS
    incomplete_ns: Ns = 2 * S
    complete_from: float = 0.5
    incomplete_below: float = 0.15
    hard_ns: Ns = 8 * S
    longest_ns: Ns = 60 * S
    audio_idle_ns: Ns = 1 * S
    transcript_ns: Ns = 2_500 * MS
    """From the last sound to the final transcript; then it is asked for again and waited for once more as long: together
    the turn's watchdog of 5 s."""
    late_transcript: Literal["append", "correct", "ignore"] = "append"
    """What is understood only after its turn was ended, in another ``transcript_ns`` and before the next one ends: the
    beginning of the next turn, or nothing. ``correct``: while nothing of the reply has sounded and no tool was called for
    it, the turn is corrected and answered anew; later it is the beginning of the next one."""


class Interruption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the user's voice does to a reply. ``allowed`` False: nothing, as with ``protected`` ones; what was said is
    then heard after it.

    Speech over the agent's pauses it at once (``duck``: turns it down to ``duck_percent``). It is an interruption when it
    has lasted ``confirm_ns`` or holds ``confirm_words`` words; when it has gone quiet before that, the agent goes on, at
    the latest ``false_ns`` after the pause. The first ``reply_guard_ns`` of each reply and the first ``call_guard_ns`` of
    the call, when echo cancellers still learn, are not paused. While the agent still thinks, ``thinking_ns`` of speech
    stop it. ``words`` interrupt whatever their length. LiveKit's values, going on slightly faster.
    """

    allowed: bool = True
    style: Literal["pause", "duck"] = "pause"
    duck_percent: Percent = 20
    confirm_ns: Ns = 500 * MS
    confirm_words: Count = 2
    false_ns: Ns = 1_500 * MS
    reply_guard_ns: Ns = 250 * MS
    call_guard_ns: Ns = 3 * S
    thinking_ns: Ns = 200 * MS
    backchannel_from: float = 0.7
    """The probability from which a prediction of a sign of listening lets the agent go on."""
    words: tuple[str, ...] = ("stop", "wait", "停", "等等", "等一下", "别说了")
    protected: tuple[str, ...] = ("goodbye",)
    """Causes of replies that nobody interrupts."""


class SpeculationPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Work ahead of the end of a turn: ``tries`` replies are begun for one turn of at most ``longest_ns``; their first
    segment is made into sound while the machine is busy for less than ``voice_below`` percent, and none is begun from
    ``below`` on. LiveKit's caps."""

    enabled: bool = True
    tries: Count = 3
    longest_ns: Ns = 10 * S
    below: Percent = 90
    voice_below: Percent = 60


class SpeakingPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a reply becomes segments. The first is a clause of at least ``first_chars`` or ``first_words``, so that it
    sounds soon; the others are sentences. ``segments_at_once`` are made ahead. ``ahead_samples`` lie with the line at
    most: what is there must be cleared to fall silent. ``client_buffer`` samples lie at the far end unheard: no line
    tells of each one when it sounds."""

    first_chars: Count = 12
    first_words: Count = 5
    segments_at_once: Annotated[int, Meta(ge=1, le=8)] = 2
    ahead_samples: Count = SPEAKING_RATE // 5
    client_buffer: Count = SPEAKING_RATE * 60 // 1_000
    longest_reply: Count = 20_000
    """Characters of one reply; what comes after is neither spoken nor kept."""


class ToolPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filler is said when a call has lasted ``filler_ns``. ``late_reply``: a result that comes when its turn is over
    starts a reply of its own as soon as nobody speaks. ``at_once`` calls run; more are stopped."""

    filler_ns: Ns = 2 * S
    late_reply: bool = True
    at_once: Count = 16


class Watchdogs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long each answer is waited for: the line, the model's first text and every further one, a tool, a segment's
    first sound and every further one, playing that does not move, a clearing that is not answered."""

    connect_ns: Ns = 30 * S
    response_ns: Ns = 10 * S
    tool_ns: Ns = 30 * S
    synthesis_ns: Ns = 5 * S
    playout_ns: Ns = 2 * S
    clear_ns: Ns = 500 * MS


class CallLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a call may be silent and last. After ``idle_ns`` of silence the agent asks, ``idle_prompts`` times; after
    ``idle_close_ns`` of it the call ends. ``reconnect_ns`` a lost line is waited for. ``longest_ns`` a call lasts (None:
    as long as it likes); the goodbye may take ``goodbye_ns`` more. Vocode, xiaozhi, OpenAI Realtime."""

    idle_ns: Ns = 15 * S
    idle_prompts: Count = 2
    idle_close_ns: Ns = 120 * S
    reconnect_ns: Ns = 20 * S
    longest_ns: Ns | None = 30 * 60 * S
    goodbye_ns: Ns = 10 * S


class Phrases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said without the model, in the persona's language. Empty means: nothing."""

    greeting: str = ""
    fillers: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    not_understood: str = ""
    """Asks to say it again, when the agent was cut short and then nothing was understood."""
    goodbye: str = ""
    time_limit: str = ""
    """Instead of the goodbye, when the call has lasted as long as it may."""


class VoiceProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a session decides by."""

    endpointing: Endpointing = Endpointing()
    interruption: Interruption = Interruption()
    speculation: SpeculationPolicy = SpeculationPolicy()
    speaking: SpeakingPolicy = SpeakingPolicy()
    tools: ToolPolicy = ToolPolicy()
    watchdogs: Watchdogs = Watchdogs()
    limits: CallLimits = CallLimits()
    phrases: Phrases = Phrases()


DEFAULT = VoiceProfile()
