"""How much of a reply was heard: samples played to characters of its text (pure).

With the voice's marks, the words that began before; without them the sound of a segment is spread over its syllables. Both
are rounded down to whole words. All of it is heard when all of it was played, and never more than was played.
"""

import re
from collections.abc import Sequence

from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.text import CJK
from cozy_domain.voice.state import Response, Segment

SYLLABLE = SPEAKING_RATE // 5
"""Samples of a syllable while a segment's length is not known yet: 5 a second, a usual rate of speaking (Pellegrino et al.
2011, Language 87)."""

_VOWELS = re.compile(rf"[{CJK}]|[aeiouyà-öø-ÿ]+|\d", re.IGNORECASE)
_WORD = re.compile(rf"\s*(?:[{CJK}]|[^\s{CJK}]+)")


def heard_characters(response: Response, played: int) -> int:
    """Of ``response.text``, after ``played`` samples of its playout."""
    if is_whole(response, played):
        return len(response.text)
    left = played
    heard = response.said
    for segment in response.segments:
        if segment.done and left >= segment.samples:
            left -= segment.samples
            heard = max(heard, segment.end) if segment.samples else heard
            continue
        return max(heard, segment.start + _within(segment, left)) if left > 0 else heard
    return heard


def heard_text(response: Response, played: int) -> str:
    return response.text[: heard_characters(response, played)].rstrip()


def is_whole(response: Response, played: int) -> bool:
    """All that was written was made into sound, and played."""
    if response.said and response.said == len(response.text):
        return response.written
    samples = sum(it.samples for it in response.segments)
    made = response.written and all(it.done for it in response.segments) and not _unspoken(response)
    return made and 0 < samples <= played


def _unspoken(response: Response) -> bool:
    """Segments that were given up are none of it any more."""
    return bool(response.text[max((it.end for it in response.segments), default=response.said) :].strip())


def _within(segment: Segment, played: int) -> int:
    begun = [it.index for it in segment.marks if it.sample < played]
    if segment.marks:
        return _whole_words(segment, max(begun, default=0)) if segment.end > segment.start else 0
    length = segment.samples if segment.done else max(segment.samples, _syllables(segment.text) * SYLLABLE)
    return _whole_words(segment, _spread(segment.text, played, max(length, 1)))


def _spread(text: str, played: int, length: int) -> int:
    """The index where the first syllable begins that was not over."""
    begins = [it.start() for it in _VOWELS.finditer(text)]
    over = min(played, length) * max(len(begins), 1) // length
    return (begins[over] if over < len(begins) else len(text)) if over else 0


def _syllables(text: str) -> int:
    return sum(1 for _ in _VOWELS.finditer(text)) or 1


def _whole_words(segment: Segment, index: int) -> int:
    if segment.end <= segment.start:
        return 0
    ends: Sequence[int] = [it.end() for it in _WORD.finditer(segment.text) if it.end() <= index]
    return ends[-1] if ends else 0
