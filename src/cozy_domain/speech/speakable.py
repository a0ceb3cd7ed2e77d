"""What a model writes, as it is read aloud (pure).

Models write for screens: Markdown, links, emoji, stage directions. Of these a voice says the words alone. Each character
that is said knows which character of the text it comes from, so that a place in the sound is a place in the text.
"""

import re
import unicodedata
from collections.abc import Iterator

import msgspec

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
_HUGS = ",.!?;:，。！？；：、…)）”’"
"""Before these nothing is left of the space around what was left out."""


class Reading(msgspec.Struct, frozen=True):
    """``text`` is what to say, possibly nothing, of a text of ``length`` characters; ``origins`` are the places of its
    characters there, never falling. ``fenced``: the text ends within a block of code."""

    text: str
    origins: tuple[int, ...]
    length: int
    fenced: bool = False

    def origin(self, character: int) -> int:
        """Where in the text one is when so many characters of what is said were said; its end after all of them."""
        return self.length if character >= len(self.origins) else self.origins[max(0, character)]


def read_aloud(text: str, *, fenced: bool = False) -> Reading:
    """``text`` as it is read aloud. ``fenced``: it begins within a block of code."""
    spoken: list[tuple[str, int]] = []
    at = 0
    for number, part in enumerate(text.split(_FENCE)):
        if number:
            fenced = not fenced
            at += len(_FENCE)
        if not fenced:
            spoken += _spoken(part, at)
        at += len(part)
    kept = _joined(spoken)
    return Reading("".join(it for it, _ in kept), tuple(place for _, place in kept), len(text), fenced)


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


def _joined(spoken: list[tuple[str, int]]) -> list[tuple[str, int]]:
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
    return kept if any(it.isalnum() for it, _ in kept) else []


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
