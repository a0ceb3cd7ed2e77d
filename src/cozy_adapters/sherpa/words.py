"""Pieces of words with times, as words (pure)."""

from collections.abc import Sequence

from cozy_adapters.ear.wire import HeardWord
from cozy_domain.audio import HEARING_RATE

BEGINS = ("▁", " ")
"""What a piece that begins a word begins with (SentencePiece)."""
LAST = HEARING_RATE // 5
"""Samples of a word of which only the beginning is known: 0.2 s."""
_IDEOGRAPHS = "\u2e80"


def words(pieces: Sequence[str], seconds: Sequence[float]) -> tuple[HeardWord, ...]:
    """``seconds`` is when each piece begins. A word lasts until the next one begins; the last one `LAST`."""
    starts: list[int] = []
    texts: list[str] = []
    for piece, at in zip(pieces, seconds, strict=False):
        text = piece.strip("▁ ")
        alone = text[:1] >= _IDEOGRAPHS or (texts and texts[-1][-1:] >= _IDEOGRAPHS)
        if not texts or alone or piece.startswith(BEGINS):
            starts.append(round(at * HEARING_RATE))
            texts.append(text)
        else:
            texts[-1] += text
    ends = [*starts[1:], *(it + LAST for it in starts[-1:])]
    return tuple(
        HeardWord(text, start, max(start, end))
        for text, start, end in zip(texts, starts, ends, strict=True)
        if text
    )
