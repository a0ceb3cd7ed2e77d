"""Where somebody speaks: probabilities of speech, window by window, to the edges of utterances (pure).

One window after the other goes through ``step``. Speech counts once it has lasted ``start`` samples, and is over once it
has been quiet for ``silence``; a window in between does not break what is going on (two thresholds, as Silero's own
iterator has them). An utterance begins ``prefix`` before its first loud window, because detectors are late by about as much,
and is cut when it has grown to ``longest``.
"""

import msgspec
from msgspec.structs import replace

from cozy_domain.audio import HEARING_RATE
from cozy_domain.speech.ports import WINDOW


class DetectionPolicy(msgspec.Struct, frozen=True):
    """Samples of `HEARING_RATE` and probabilities. The defaults of OpenAI Realtime's ``server_vad``, threshold 0.5,
    prefix 300 ms, silence 500 ms; speech of 96 ms counts (settled question 25)."""

    threshold: float = 0.5
    release: float = 0.35
    start: int = 3 * WINDOW
    prefix: int = HEARING_RATE * 3 // 10
    silence: int = HEARING_RATE // 2
    longest: int = 30 * HEARING_RATE


class SpeechStarted(msgspec.Struct, frozen=True):
    """``sample`` is where to begin to listen."""

    sample: int


class SpeechEnded(msgspec.Struct, frozen=True):
    """``sample`` is where the last sound ended."""

    sample: int


Edge = SpeechStarted | SpeechEnded


class Detection(msgspec.Struct, frozen=True):
    """``position`` is the next sample to be judged; ``onset`` where the loud windows began, while speech is starting or
    going on; ``quiet`` where the silence in it began; ``free`` is the first sample no utterance has taken; ``last`` the
    probability of the window before."""

    position: int = 0
    speaking: bool = False
    onset: int | None = None
    quiet: int | None = None
    free: int = 0
    last: float = 0.0


def step(state: Detection, probability: float, policy: DetectionPolicy) -> tuple[Detection, tuple[Edge, ...]]:
    """The state after one more window, and the edge in it, if any. ``probability`` is 0..1."""
    end = state.position + WINDOW
    after = (
        _speaking(state, probability, policy, end)
        if state.speaking
        else _silent(state, probability, policy, end)
    )
    return replace(after[0], position=end, last=probability), after[1]


def begin(state: Detection, onset: int, policy: DetectionPolicy) -> tuple[Detection, SpeechStarted]:
    """The loud windows since ``onset`` are speech."""
    began = max(state.free, onset - policy.prefix)
    return replace(state, speaking=True, onset=began, quiet=None), SpeechStarted(began)


def finish(state: Detection) -> tuple[Edge, ...]:
    """No more is coming: what is being said ends here."""
    return (SpeechEnded(state.position),) if state.speaking else ()


def _silent(
    state: Detection, probability: float, policy: DetectionPolicy, end: int
) -> tuple[Detection, tuple[Edge, ...]]:
    if probability < policy.threshold:
        return replace(state, onset=None), ()
    onset = state.position if state.onset is None else state.onset
    if end - onset < policy.start:
        return replace(state, onset=onset), ()
    after, edge = begin(state, onset, policy)
    return after, (edge,)


def _speaking(
    state: Detection, probability: float, policy: DetectionPolicy, end: int
) -> tuple[Detection, tuple[Edge, ...]]:
    began = state.onset or 0
    if probability >= policy.release:
        if end - began < policy.longest:
            return replace(state, quiet=None), ()
        return Detection(free=end), (SpeechEnded(end),)
    quiet = state.position if state.quiet is None else state.quiet
    if end - quiet < policy.silence:
        return replace(state, quiet=quiet), ()
    return Detection(free=end), (SpeechEnded(quiet),)
