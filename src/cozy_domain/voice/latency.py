"""Where the time went between the user's last sound and the first of the reply (pure)."""

from cozy_domain.voice.public import LatencyStage
from cozy_domain.voice.state import Response


def stages(response: Response, started: int) -> tuple[LatencyStage, ...]:
    """They follow each other, none is negative, and they add up to the time from ``speech_ended`` to ``started``. What a
    speculation has done ahead of the commit takes no time after it."""
    ended = response.speech_ended
    committed = max(response.committed, ended)
    text = max(response.first_text or committed, committed)
    sound = max(response.first_sound or text, text)
    return (
        LatencyStage("endpointing", committed - ended),
        LatencyStage("model", text - committed),
        LatencyStage("synthesis", sound - text),
        LatencyStage("playout", max(started, sound) - sound),
    )


def total(parts: tuple[LatencyStage, ...]) -> int:
    return sum(it.ns for it in parts)
