"""Whether a phrase was said, or is only the nearest one to something else (pure).

A recogniser that is held to phrases makes the best of every sound. How good that best is, the same sound says when it is
heard as any sequence of phones: the phrase can only fit worse, and by how much decides.
"""

from collections.abc import Sequence

import msgspec

LEAST_COVERED = 0.85
"""Of the speech that the phones find, the part that the words must cover."""
LEAST_MEAN, LEAST_WORD = -45.0, -70.0
"""How much worse the words may fit than the phones, for each frame, in the library's logarithms: all of them together, and
the worst one. The three were chosen by trying all combinations on 248 phrases (tests/fixtures/sentences.py) and 200 other
sentences in four voices of espeak-ng 1.52; docs/reference/speech.md says how often they are wrong."""

LEAST_PHONE, LEAST_PHONE_FRAME = -650.0, -90.0
"""How much worse one phone of the words may fit than what is heard there, over all its frames and for each of them: a word
that differs in a phone from the one that was said fits well on the whole. They are a seventh beyond the worst of the 62
phrases of tests/fixtures/sentences.py in the voice alloy; docs/reference/speech.md has what they do to sentences and voices
that had no part in it."""


class Piece(msgspec.Struct, frozen=True):
    """A word or phone from frame ``start`` up to ``end``, and the logarithm of how well the sound fits it."""

    text: str
    start: int
    end: int
    score: float

    @property
    def silent(self) -> bool:
        """What the library calls its fillers: ``<sil>``, ``[NOISE]``, ``+SPN+``, ``(NULL)``, and the phone ``SIL``."""
        return self.text == "SIL" or self.text[:1] in set("<[+(")


def accepted(words: Sequence[Piece], phones: Sequence[Piece]) -> bool:
    """Whether the phrase of these ``words`` explains the sound about as well as the freely chosen ``phones`` do."""
    spoken = [it for it in words if not it.silent]
    if not spoken:
        return False
    free = _by_frame(phones)
    losses = [it.score - sum(free[it.start : it.end]) for it in spoken]
    lengths = [it.end - it.start for it in spoken]
    speech = sum(it.end - it.start for it in phones if not it.silent)
    return (
        sum(lengths) >= LEAST_COVERED * speech
        and sum(losses) >= LEAST_MEAN * sum(lengths)
        and all(loss >= LEAST_WORD * length for loss, length in zip(losses, lengths, strict=True))
    )


def consistent(aligned: Sequence[Piece], phones: Sequence[Piece]) -> bool:
    """Whether each of the words' own phones, ``aligned`` with the sound, is something like what is heard there."""
    free = _by_frame(phones)
    spoken = [it for it in aligned if not it.silent]
    losses = [it.score - sum(free[it.start : it.end]) for it in spoken]
    return bool(spoken) and all(
        loss >= max(LEAST_PHONE, LEAST_PHONE_FRAME * (it.end - it.start))
        for it, loss in zip(spoken, losses, strict=True)
    )


def _by_frame(phones: Sequence[Piece]) -> Sequence[float]:
    scores: list[float] = []
    for it in phones:
        length = it.end - it.start
        scores += [0.0] * (it.start - len(scores)) + [it.score / length] * length
    return scores
