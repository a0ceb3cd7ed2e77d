"""What was heard. Positions are samples of `HEARING_RATE`, counted from the beginning of what was sent."""

import msgspec

from cozy_domain.audio import HEARING_RATE


class Word(msgspec.Struct, frozen=True):
    """``end`` is the first sample after it."""

    text: str
    start: int
    end: int


class Segment(msgspec.Struct, frozen=True):
    """A sentence, or what was said between two pauses. ``logprob`` is the mean of its tokens, where known."""

    text: str
    start: int
    end: int
    logprob: float | None = None
    silence: float | None = None
    """Probability, 0 to 1, that nothing was said; where known."""


class Transcript(msgspec.Struct, frozen=True):
    """``text`` is empty when nothing was understood. ``words`` and ``segments`` are empty where the recogniser does not
    know times; ``language`` (ISO 639-1) is None where it does not say. ``tokens`` is what a provider counted, input and
    output. ``caution`` is for people: why not to trust it, where the recogniser knows."""

    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()
    segments: tuple[Segment, ...] = ()
    tokens: tuple[int, int] | None = None
    caution: str = ""


def seconds(samples: int) -> float:
    """To the microsecond, so that it prints well."""
    return round(samples / HEARING_RATE, 6)


def shifted(transcript: Transcript, samples: int) -> Transcript:
    """The same, heard ``samples`` later."""
    return msgspec.structs.replace(
        transcript,
        words=tuple(Word(it.text, it.start + samples, it.end + samples) for it in transcript.words),
        segments=tuple(
            msgspec.structs.replace(it, start=it.start + samples, end=it.end + samples)
            for it in transcript.segments
        ),
    )


def timed(transcript: Transcript, samples: int) -> Transcript:
    """The same, with one segment of all that was said in ``samples`` where the recogniser knows no times."""
    if transcript.segments or not transcript.text:
        return transcript
    return msgspec.structs.replace(transcript, segments=(Segment(transcript.text, 0, samples),))


def joined(parts: tuple[Transcript, ...]) -> Transcript:
    """One after the other, as heard in one recording; each part's positions already count from its beginning."""
    spoken = [it for it in parts if it.text]
    return Transcript(
        text=_spaced([it.text for it in spoken]),
        language=next((it.language for it in spoken if it.language), None),
        words=tuple(word for it in spoken for word in it.words),
        segments=tuple(segment for it in spoken for segment in it.segments),
        tokens=_summed([it.tokens for it in parts]),
        caution=next((it.caution for it in parts if it.caution), ""),
    )


def _summed(counts: list[tuple[int, int] | None]) -> tuple[int, int] | None:
    """None unless all were counted."""
    known = [it for it in counts if it is not None]
    if not known or len(known) < len(counts):
        return None
    return sum(it[0] for it in known), sum(it[1] for it in known)


def _spaced(texts: list[str]) -> str:
    """Chinese, Japanese and Korean sentences follow each other without a space."""
    text = ""
    for following in texts:
        gap = "" if not text or text[-1] > "\u2e7f" else " "
        text += gap + following
    return text
