"""The rules of a socket that sound comes in over (pure).

What lives here: which message may come when, how many and how large, how much sound in how much time, and how long a socket
may be silent or open at all. What never may: sockets, recognisers, clocks. Each function takes the state and gives the next
one, or raises what is wrong; ``at_ns`` is a steady clock's.

Sound that comes faster than it is spoken is not refused: who sends a file is read from as fast as `Limits.pace` allows.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

from cozy_domain.audio import HEARING_RATE
from cozy_domain.errors import AccessError, CozyError, InputError, MissingError
from cozy_domain.speech.detection import DetectionPolicy
from cozy_server.openai.wire.listening import DetectionIn

_NS = 1_000_000_000
_SAMPLE_NS = _NS // HEARING_RATE
_MS = HEARING_RATE // 1_000
_HYSTERESIS = 0.15
"""By so much less is still speech what has begun as such (Silero's own iterator)."""

NORMAL, POLICY, TOO_BIG, FAULT, RESTART, LATER = 1000, 1008, 1009, 1011, 1012, 1013
"""Close codes (RFC 6455, section 7.4.1, and IANA's list)."""
_CODES = {"message_too_large": TOO_BIG, "server_shutdown": RESTART, "not_configured": FAULT}
"""Of errors whose kind alone would say something else."""


class Limits(msgspec.Struct, frozen=True):
    """Of one socket. Reliability V4 has the idle time; a page that posts each 128 samples of a microphone sends 375 messages
    a second."""

    message_bytes: int = 65_536
    messages_a_second: int = 500
    messages_at_once: int = 1_000
    start_s: int = 10
    idle_s: int = 60
    unread_s: int = 20
    open_s: int = 3_600
    sound_s: int = 7_200
    pace: int = 4
    """Times as fast as it is spoken; as much as `ahead_s` of sound may come at once."""
    ahead_s: int = 30


class Dictation(msgspec.Struct, frozen=True):
    """``samples`` are those heard so far; ``counted_ns`` and ``paced_ns`` are the times at which the allowances for messages
    and for sound are whole again (the generic cell rate algorithm, ITU-T I.371)."""

    opened_ns: int
    spoken_ns: int
    phase: Literal["waiting", "hearing", "finishing"] = "waiting"
    samples: int = 0
    counted_ns: int = 0
    paced_ns: int = 0


def opened(at_ns: int) -> Dictation:
    return Dictation(opened_ns=at_ns, spoken_ns=at_ns)


def came(state: Dictation, size: int, at_ns: int, limits: Limits) -> Dictation:
    """A message of ``size`` bytes.

    Raises:
        InputError: ``message_too_large`` or ``too_many_messages``.
    """
    if size > limits.message_bytes:
        raise InputError(f"A message is larger than {limits.message_bytes} bytes.", code="message_too_large")
    each_ns = _NS // limits.messages_a_second
    counted_ns = max(state.counted_ns, at_ns) + each_ns
    if counted_ns - at_ns > each_ns * limits.messages_at_once:
        raise InputError(
            f"More than {limits.messages_a_second} messages a second came over one socket.",
            code="too_many_messages",
        )
    return replace(state, spoken_ns=at_ns, counted_ns=counted_ns)


def started(state: Dictation) -> Dictation:
    """
    Raises:
        InputError: ``unexpected_message``: it has started before.
    """
    if state.phase != "waiting":
        raise _unexpected("'start' came a second time; open another socket for it")
    return replace(state, phase="hearing")


def stopped(state: Dictation) -> Dictation:
    """Also a second time.

    Raises:
        InputError: ``unexpected_message``: it has not started.
    """
    if state.phase == "waiting":
        raise _unexpected("'stop' came before 'start'")
    return replace(state, phase="finishing")


def is_heard(state: Dictation) -> bool:
    """Whether sound that comes now counts; what comes after ``stop`` does not.

    Raises:
        InputError: ``unexpected_message``: it has not started.
    """
    if state.phase == "waiting":
        raise _unexpected("sound came before 'start'")
    return state.phase == "hearing"


def taken(state: Dictation, at_ns: int) -> Dictation:
    """Sound that had to wait for room is taken: in the meantime its client was not read from, and was not silent."""
    return replace(state, spoken_ns=at_ns)


def heard(state: Dictation, samples: int, at_ns: int, limits: Limits) -> tuple[Dictation, int]:
    """So many more ``samples`` of `HEARING_RATE`; and the nanoseconds to wait before more are taken.

    Raises:
        InputError: ``audio_too_long``.
    """
    total = state.samples + samples
    if total > limits.sound_s * HEARING_RATE:
        raise InputError(
            f"More than {limits.sound_s} s of sound came over one socket.",
            code="audio_too_long",
            hint="Open another socket and go on there.",
        )
    paced_ns = max(state.paced_ns, at_ns) + samples * _SAMPLE_NS // limits.pace
    wait_ns = paced_ns - at_ns - limits.ahead_s * _NS // limits.pace
    return replace(state, samples=total, paced_ns=paced_ns), max(0, wait_ns)


def due_ns(state: Dictation, limits: Limits) -> int:
    """When it is over, if nothing comes before."""
    closing_ns = state.opened_ns + limits.open_s * _NS
    if state.phase == "waiting":
        return state.opened_ns + limits.start_s * _NS
    if state.phase == "hearing":
        return min(state.spoken_ns + limits.idle_s * _NS, closing_ns)
    return closing_ns


def overdue(state: Dictation, at_ns: int, limits: Limits) -> InputError:
    """Why it is over when it was due."""
    if state.phase == "waiting":
        said = f"'start' did not come within {limits.start_s} s."
    elif at_ns - state.opened_ns >= limits.open_s * _NS:
        said = f"A socket may be open for {limits.open_s} s."
    else:
        said = f"Nothing came for {limits.idle_s} s."
    return InputError(said, code="socket_timeout")


def close_code(error: CozyError) -> int:
    """What the socket is closed with after ``error`` was told."""
    if error.code in _CODES:
        return _CODES[error.code]
    if isinstance(error, InputError | AccessError | MissingError):
        return POLICY
    return LATER if error.retryable else FAULT


def policy_of(asked: DetectionIn | None) -> DetectionPolicy:
    """The domain's, where nothing else is asked."""
    usual = DetectionPolicy()
    if asked is None:
        return usual
    threshold = usual.threshold if asked.threshold is None else asked.threshold
    prefix = usual.prefix if asked.prefix_padding_ms is None else asked.prefix_padding_ms * _MS
    silence = usual.silence if asked.silence_duration_ms is None else asked.silence_duration_ms * _MS
    release = max(0.01, threshold - _HYSTERESIS)
    return replace(usual, threshold=threshold, release=release, prefix=prefix, silence=silence)


def _unexpected(what: str) -> InputError:
    return InputError(f"This message may not come now: {what}.", code="unexpected_message")
