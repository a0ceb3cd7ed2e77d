"""What a model writes, as it is read aloud (pure).

Models write for screens: Markdown, links, emoji, stage directions. Here a text that is still being written becomes passages
for a voice, in which only words are left. Each character of a passage knows which character of the text it comes from, so
that a place in the sound can be told as a place in the text.

Nothing of the text is lost between passages: one begins where the one before ended. A passage without words is not spoken,
but it is passed.
"""

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from cozy_domain.speech.segments import PAUSE, Piece, cut, pieces

FIRST_CHARACTERS = 12
FIRST_WORDS = 5
"""The first passage ends with a clause of this size, so that a voice begins early (voice-session.md, section 6). A Chinese,
Japanese or Korean character counts as two."""

_FENCE = "```"
_URL_END = r"\s<>\"'`|，。！？；：、（）【】《》「」“”"
_ACTS = (
    r"(?!(?:is|was|has|does|this|thus|its|his|always|perhaps|yes|us|as|plus|less|unless)\b)[a-z]+(?:s|ing)\b"
)
"""How a stage direction begins: *smiles*, *looking away*. Other words between single asterisks are stressed, not acted."""
_TOKENS = re.compile(
    rf"""
    (?P<rule>^[ \t]*(?:(?:-[ \t]*){{3,}}|(?:\*[ \t]*){{3,}}|_{{3,}}|={{3,}}|\|?[ \t]*:?-{{2,}}[-:|\ \t]*)$)
    | (?P<prefix>^(?:[ \t]*(?:\#{{1,6}}|>|[-*+•])(?=[ \t]))+[ \t]*)
    | (?P<image>!\[[^\]\n]*\]\([^)\n]*\))
    | \[(?P<label>[^\]\n]+)\]\((?:[^)\n]*)\)
    | (?P<url><?(?:https?://|www\.)[^{_URL_END}]*[^{_URL_END}.,!?;:)\]]>?)
    | (?P<tag></?[A-Za-z][^<>\n]{{0,100}}>)
    | (?P<direction>
        (?<![\w*])\*(?={_ACTS}|[\u4e00-\u9fff])[^*\n]{{1,200}}(?<!\s)\*(?![\w*])
      | (?<![\w*])\*(?:[^*\s]+\s+){{2,40}}[^*\s]+[.!…]\*(?![\w*])
      | ^[ \t]*\((?=[a-z])[a-z ,'-]{{3,40}}\)
      | \[(?=[a-z])[a-z ,'-]{{3,40}}\]
      | [（(【](?=[\u4e00-\u9fff])[\u4e00-\u9fff，、]{{1,8}}(?:[笑哭叹语声气头手眼步]|地)[）)】]
      )
    | (?P<mark>\*{{1,3}}(?!\s)|(?<![\s\\])\*{{1,3}}|~~|`+|(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)|\\(?=[!-/:-@\[-`{{-~]))
    | (?P<face>(?<![\w(])(?:[:;=]-?[)(DPpOo3/\\|]|\^_\^|<3)(?![\w)]))
    | (?P<edge>^[ \t]*\||\|[ \t]*$)
    | (?P<cell>\|)
    | (?P<space>\s+)
    """,
    re.VERBOSE | re.MULTILINE,
)
_WORDS = re.compile(r"\S+")
_HUGS = ",.!?;:，。！？；：、…)）”’"
"""Before these nothing is left of the space around what was left out."""


class Passage(msgspec.Struct, frozen=True):
    """``text`` is what to say, possibly nothing, of the characters from ``start`` to ``end`` of the whole; ``origins`` are
    the places of its characters in the whole, never falling."""

    text: str
    start: int
    end: int
    origins: tuple[int, ...]

    def up_to(self, characters: int) -> int:
        """Where in the whole one is when so many characters of ``text`` were said; ``end`` after all of them."""
        return self.end if characters >= len(self.origins) else self.origins[max(0, characters)]


class Reading(msgspec.Struct, frozen=True):
    """A text being written: ``rest`` is what is in no passage yet, at ``position`` of the whole; ``fenced`` within a block
    of code; ``begun`` when a passage was spoken."""

    rest: str = ""
    position: int = 0
    fenced: bool = False
    begun: bool = False


def read(state: Reading, written: str) -> tuple[Reading, tuple[Passage, ...]]:
    """With more of the text; the passages that are certain now."""
    found, rest = cut(state.rest + written, state.position)
    after, passages = _passages(state, found)
    after = Reading(rest.text, rest.start, after.fenced, after.begun)
    if after.begun or after.fenced or not (first := _first_clause(after.rest)):
        return after, passages
    after, clause = _passages(after, (Piece(after.rest[:first], after.position),))
    return Reading(rest.text[first:], rest.start + first, after.fenced, after.begun), (*passages, *clause)


def read_out(state: Reading) -> tuple[Reading, tuple[Passage, ...]]:
    """The passages of what is left, when no more is written."""
    found = tuple(Piece(it.text, it.start + state.position) for it in pieces(state.rest))
    after, passages = _passages(state, found)
    return Reading("", state.position + len(state.rest), after.fenced, after.begun), passages


def passage(text: str, start: int = 0) -> Passage:
    """A whole text in one."""
    return _passages(Reading(), (Piece(text, start),))[1][0]


def _passages(state: Reading, found: tuple[Piece, ...]) -> tuple[Reading, tuple[Passage, ...]]:
    passages = []
    fenced, begun = state.fenced, state.begun
    for piece in found:
        spoken: list[tuple[str, int]] = []
        at = piece.start
        for number, part in enumerate(piece.text.split(_FENCE)):
            if number:
                fenced = not fenced
                at += len(_FENCE)
            if not fenced:
                spoken += _spoken(part, at)
            at += len(part)
        passages.append(_joined(spoken, piece))
        begun = begun or bool(passages[-1].text)
    return Reading(state.rest, state.position, fenced, begun), tuple(passages)


def _spoken(text: str, start: int) -> Iterator[tuple[str, int]]:
    """The characters that are said, each with its place; what was left out is a space."""
    at = 0
    for token in _TOKENS.finditer(text):
        yield from _plain(text[at : token.start()], start + at)
        at = token.end()
        if token.lastgroup == "label":
            yield from _spoken(token["label"], start + token.start("label"))
        elif token.lastgroup == "cell":
            yield from ((",", start + token.start()), (" ", start + token.start()))
        elif token.lastgroup != "mark":
            yield " ", start + token.start()
    yield from _plain(text[at:], start + at)


def _plain(text: str, start: int) -> Iterator[tuple[str, int]]:
    for at, character in enumerate(text, start):
        if not _is_drawn(character):
            yield character, at


def _joined(spoken: list[tuple[str, int]], piece: Piece) -> Passage:
    """One space at a time, none at the ends and before what ends a clause, nothing but words and what stands between."""
    kept: list[tuple[str, int]] = []
    for character, place in spoken:
        last = kept[-1][0] if kept else " "
        if character == " " and last == " ":
            continue
        if character in _HUGS and last == " " and kept:
            kept.pop()
            last = kept[-1][0] if kept else ""
        if character == "," and (not kept or last in ",，。.!?！？;；:："):
            continue
        kept.append((character, place))
    if kept and kept[-1][0] == " ":
        kept.pop()
    if not any(it.isalnum() for it, _ in kept):
        kept = []
    return Passage(
        "".join(it for it, _ in kept),
        piece.start,
        piece.start + len(piece.text),
        tuple(place for _, place in kept),
    )


def _is_drawn(character: str) -> bool:
    """An emoji or a part of one. Units such as ℃ and ㎡ are symbols too, and are read."""
    if character < "\u200b":
        return False
    if unicodedata.category(character) == "So":
        return character >= "\u2190" and not "\u3200" <= character <= "\u33ff"
    return (
        character in "\u200d\u20e3\ufe0e\ufe0f\u200b\u2060\ufeff"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u2190" <= character <= "\u21ff"
    )


def _first_clause(text: str) -> int:
    """How much of ``text`` is a clause that is long enough to begin with; 0 when there is none yet."""
    for pause in PAUSE.finditer(text):
        said = text[: pause.start()]
        size = sum(2 if it > "\u2e7f" else 1 for it in said.strip())
        if pause.end() < len(text) and (size >= FIRST_CHARACTERS or len(_WORDS.findall(said)) >= FIRST_WORDS):
            return pause.end() if _is_closed(said) else 0
    return 0


def _is_closed(text: str) -> bool:
    """Whether no bracket or mark is open, which a passage must not be cut in."""
    pairs = (("(", ")"), ("[", "]"), ("（", "）"), ("【", "】"))
    return text.count("*") % 2 == 0 and all(text.count(one) <= text.count(two) for one, two in pairs)
