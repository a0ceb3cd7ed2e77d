"""A long text as pieces that are spoken one after the other, so that the first sounds while the rest is still being made
(pure).

A piece is a sentence, or what a sentence too long is cut into at a comma, a space or, if there is neither, anywhere. Nothing
is lost or changed: the pieces one after the other are the text.
"""

import re

import msgspec

LONGEST = 300
"""Characters of a piece. Voices read a sentence better whole, and a breath is shorter than this."""

_CLOSING = "\"'”’»)\\]」』）】"
_SENTENCE_END = re.compile(rf"(?:[.!?…]+[{_CLOSING}]*(?=\s|$)|[。！？；…]+[{_CLOSING}]*|\n)\s*")
_PAUSE = re.compile(r"[,;:，、：](?:\s+|(?<=[，、：]))|\s+[-–—]+\s+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|No|Fig|approx|Jr|Sr|U\.S|a\.m|p\.m)\.$"
)


class Piece(msgspec.Struct, frozen=True):
    """``start`` is the index of its first character in the whole text."""

    text: str
    start: int


def pieces(text: str) -> tuple[Piece, ...]:
    """All of them, in order; none for an empty text."""
    found, rest = cut(text)
    return (*found, *_split(rest)) if rest.text else found


def cut(text: str, start: int = 0) -> tuple[tuple[Piece, ...], Piece]:
    """The sentences that are certainly over, and what remains: for a text that is still being written. ``start`` is the
    index of ``text`` in the whole."""
    found: list[Piece] = []
    begin = 0
    for end in _SENTENCE_END.finditer(text):
        closed = end.end() < len(text) or text[end.start()] in "\n。！？；"
        if not closed or _is_abbreviation(text[begin : end.end()].rstrip()):
            continue
        if not text[begin : end.end()].strip():
            continue
        found.extend(_split(Piece(text[begin : end.end()], start + begin)))
        begin = end.end()
    return tuple(found), Piece(text[begin:], start + begin)


def _is_abbreviation(sentence: str) -> bool:
    return _ABBREVIATION.search(sentence[-12:]) is not None


def _split(piece: Piece) -> list[Piece]:
    found: list[Piece] = []
    while len(piece.text) > LONGEST:
        at = _breath(piece.text)
        found.append(Piece(piece.text[:at], piece.start))
        piece = Piece(piece.text[at:], piece.start + at)
    return [*found, piece]


def _breath(text: str) -> int:
    """Where to cut within the first `LONGEST` characters: the last pause of their second half, else the last space."""
    pauses = [it.end() for it in _PAUSE.finditer(text, LONGEST // 2, LONGEST)]
    space = text.rfind(" ", 1, LONGEST) + 1
    return pauses[-1] if pauses else space or LONGEST
