"""A transcript as subtitles: SubRip, and WebVTT (W3C, 2019-04-04) (pure)."""

from cozy_domain.audio import HEARING_RATE
from cozy_domain.speech.transcript import Segment, Transcript


def srt(transcript: Transcript, samples: int) -> str:
    """``samples`` is the length of what was heard, for a recogniser that knows no times."""
    cues = (
        f"{number}\n{_time(it.start, ',')} --> {_time(it.end, ',')}\n{_lines(it.text)}\n"
        for number, it in enumerate(_cues(transcript, samples), 1)
    )
    return "\n".join(cues) or "\n"


def vtt(transcript: Transcript, samples: int) -> str:
    """The same as WebVTT."""
    cues = (
        f"{_time(it.start, '.')} --> {_time(it.end, '.')}\n{_escaped(_lines(it.text))}\n"
        for it in _cues(transcript, samples)
    )
    return "\n".join(("WEBVTT\n", *cues))


def _cues(transcript: Transcript, samples: int) -> tuple[Segment, ...]:
    if transcript.segments or not transcript.text:
        return transcript.segments
    return (Segment(transcript.text, 0, samples),)


def _lines(text: str) -> str:
    """A blank line would end the cue."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _escaped(text: str) -> str:
    """Section 3.1 there: text holds neither ``&`` nor ``<``, and ``-->`` nowhere."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(samples: int, point: str) -> str:
    milliseconds = samples * 1_000 // HEARING_RATE
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, thousandths = divmod(rest, 1_000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{point}{thousandths:03d}"
