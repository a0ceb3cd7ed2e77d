"""Whether speech is told before the last window of its onset is whole (pure).

Speech counts once `DetectionPolicy.start` of it is loud, and a detector judges whole windows: of the last one it knows 32 ms
after it began, and packets bring its end up to 16 ms later than that. When the detector was certain of the window before,
half of the last one that sounds on tells the same. Calls, which fall silent then, take it so (docs/decisions/0006).
"""

import struct

from cozy_domain.audio import SAMPLE_BYTES
from cozy_domain.speech.detection import Detection, DetectionPolicy
from cozy_domain.speech.ports import WINDOW

CERTAIN = 0.75
ENOUGH = WINDOW // 2
"""Samples of the last window that tell it."""
FAINTER = 100
"""By so much may it have less power than the windows before: 20 dB, for the closures of consonants. Less is silence."""


def lacks_one(state: Detection, policy: DetectionPolicy) -> bool:
    """All windows but the last were loud, and the one before it certainly."""
    return (
        not state.speaking
        and state.onset is not None
        and state.last >= CERTAIN
        and state.position + WINDOW - state.onset >= policy.start
    )


def sounds_on(before: bytes, begun: bytes) -> bool:
    """Whether ``begun``, at least `ENOUGH` samples of PCM16, goes on with ``before`` and is no silence after it."""
    samples, earlier = len(begun) // SAMPLE_BYTES, len(before) // SAMPLE_BYTES
    return samples >= ENOUGH and FAINTER * _energy(begun) * earlier > _energy(before) * samples


def _energy(sound: bytes) -> int:
    """The sum of the squares of its samples."""
    return sum(it * it for it in struct.unpack(f"<{len(sound) // SAMPLE_BYTES}h", sound))
