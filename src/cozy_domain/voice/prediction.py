"""What the words so far tell of the user's mind: finished, still at it, or only listening (pure).

The default where no model judges the sound itself. It errs on the side of waiting: only a sentence that its recogniser has
ended is taken as one, and none that ends in a word which another one must follow.
"""

import re

from cozy_domain.voice.events import OverlapVerdict

ENDED = 0.9
UNSURE = 0.3
GOES_ON = 0.05
"""Beyond and between the limits of `Endpointing.complete_from` and ``incomplete_below``."""

_ENDS = re.compile(r"[.!?。！？][\"'”’」』)）]*$")
_ASKS = re.compile(r"[!?！？][\"'”’」』)）]*$")
_PAUSES = re.compile(r"(?:[,;:，、；：…—-]|\.\.\.)$")
_NEVER_LAST = frozenset(
    """
    a an the my your our their every and or but nor because if whose im ive id ill youre were theyre lets
    um uh er erm of into than
    """.split()  # noqa: SIM905  a list of words reads best as one
)
"""Also before a full stop, which some recognisers set after anything."""
_SELDOM_LAST = frozenset(
    """
    his her its this these those some any no so when while although though unless until since that which who where
    i we they he she is are was am be been being do does did have has had can could will would shall should may might
    must to for with from at by about between without like as very really just also maybe hmm well actually basically
    """.split()  # noqa: SIM905  as above
)
_DANGLING_ZH = re.compile(
    r"(?:和|跟|与|或|或者|但|但是|不过|因为|所以|如果|要是|虽然|然后|而且|还有|比如|就是|那个|这个|的话|把|被|给|对|向|从|在|是|"
    r"想|要|会|能|可以|应该|我|你|他|她|它|我们|你们|他们|嗯|呃|额|那|就)$"
)
_LISTENS = frozenset(
    """
    mhm mm mmhm uhhuh hm hmm yeah yes yep right ok okay sure oh ah aha i see really
    嗯 嗯嗯 对 对对 对的 好 好的 好吧 是 是的 是啊 哦 噢 啊 行
    """.split()  # noqa: SIM905  as above
)
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def finished(text: str) -> float:
    """The probability that nothing more is coming, 0..1."""
    said = text.strip()
    if not said:
        return UNSURE
    if _ASKS.search(said):
        return ENDED
    if _PAUSES.search(said) or _ends_in(said, _NEVER_LAST):
        return GOES_ON
    if _ENDS.search(said):
        return ENDED
    return GOES_ON if _ends_in(said, _SELDOM_LAST) else UNSURE


def classified(text: str) -> OverlapVerdict | None:
    """What the user means by talking over the agent; None when it cannot be told from the words."""
    words = [_plain(it) for it in _WORD.findall(text)]
    return "backchannel" if words and all(it in _LISTENS for it in words) else None


def _ends_in(said: str, words: frozenset[str]) -> bool:
    last = next(reversed(_WORD.findall(said)), "")
    if _CHINESE.search(last):
        return _DANGLING_ZH.search(last) is not None
    return _plain(last) in words


def _plain(word: str) -> str:
    return re.sub(r"['’\-]", "", word).lower()
