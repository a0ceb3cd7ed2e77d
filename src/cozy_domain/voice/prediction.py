"""What the words so far tell of the user's mind: finished, still at it, or only listening (pure).

The default where no model judges the sound itself. It errs on the side of waiting. A sentence may be over when its last word
can be one and its recogniser ended it; how much such a full stop is worth, the caller's pauses show after which he went on
(`Stops`): some recognisers set one after anything. Without full stops only a few endings are taken for one.
docs/decisions/0005 has the figures.
"""

import re
from typing import Literal

import msgspec

ENDED = 0.9
LISTENING = 0.9
UNSURE = 0.3
GOES_ON = 0.05
"""Beyond and between the limits of `Endpointing.complete_from` and ``incomplete_below``; ``LISTENING`` beyond that of
`Interruption.backchannel_from`."""

REMEMBERED = 64
"""Pauses; after so many the older ones count half."""
MEANT_UP_TO = 0.25
"""The share of stops in pauses inside of turns up to which one still means an end: people pause between sentences, too."""
FEWEST = 2
"""Stops in such pauses before they are believed less: a single one may be somebody's second sentence."""
AGREED = 3
"""Callers of an account who have shown that stops mean nothing, before its next one is heard so from the start."""
CALLERS = 1_024
"""Whose verdicts are remembered; the oldest are forgotten."""


class Stops(msgspec.Struct, frozen=True):
    """A recogniser's way with full stops: of ``pauses`` after which somebody went on, ``stopped`` had one before them."""

    pauses: int = 0
    stopped: int = 0

    def after(self, text: str) -> "Stops":
        """With one more such pause, after these words."""
        old = self if self.pauses < REMEMBERED else Stops(self.pauses // 2, self.stopped // 2)
        return Stops(old.pauses + 1, old.stopped + bool(_ENDS.search(text.strip())))

    @property
    def worth(self) -> Literal["unknown", "something", "nothing"]:
        """What a full stop tells."""
        if self.stopped > MEANT_UP_TO * self.pauses:
            return "nothing" if self.stopped >= FEWEST else "unknown"
        return "something" if self.pauses else "unknown"


UNHEARD = Stops()
DOUBTED = Stops(FEWEST, FEWEST)
"""What a call begins with when others have shown that stops mean nothing; its own pauses may show otherwise."""


class Listener(msgspec.Struct, frozen=True):
    """Whose pauses they are, and by which recogniser he is heard."""

    recogniser: str
    account: str
    caller: str


class Verdicts:
    """What the pauses of each caller have shown. A caller has one voice, and it is heard only inside of his account."""

    def __init__(self) -> None:
        self._idle: dict[Listener, bool] = {}
        """Whether full stops mean nothing."""

    def tell(self, listener: Listener, stops: Stops) -> None:
        """All that his pauses have shown in this call."""
        if stops.worth != "unknown":
            self._idle.pop(listener, None)
            self._idle[listener] = stops.worth == "nothing"
            if len(self._idle) > CALLERS:
                del self._idle[next(iter(self._idle))]

    def beginning(self, listener: Listener) -> Stops:
        """What a call of his begins with: his own verdict, else that of most of the others of his account."""
        idle = self._idle.get(listener)
        if idle is None:
            others = [
                it
                for who, it in self._idle.items()
                if (who.recogniser, who.account) == (listener.recogniser, listener.account)
            ]
            idle = sum(others) >= AGREED and 2 * sum(others) > len(others)
        return DOUBTED if idle else UNHEARD


class EndOfTurn:
    """Predicts for one call, and learns from its pauses what its recogniser's full stops are worth."""

    def __init__(self, verdicts: Verdicts, listener: Listener) -> None:
        self._verdicts = verdicts
        self._listener = listener
        self._stops = verdicts.beginning(listener)
        self._own = UNHEARD

    def probability(self, text: str) -> float:
        """As `finished`."""
        return finished(text, self._stops)

    def went_on(self, text: str) -> None:
        """The caller paused after these words, and said more."""
        self._stops, self._own = self._stops.after(text), self._own.after(text)
        self._verdicts.tell(self._listener, self._own)


_ENDS = re.compile(r"[.!?。！？][\"'”’」』)）]*$")
_ASKS = re.compile(r"[!?！？][\"'”’」』)）]*$")
_PAUSES = re.compile(r"(?:[,;:，、；：…—-]|\.\.\.)$")
_INSIDE = re.compile(r"[.!?。！？][\"'”’」』)）]*\s+|[。！？]")


def _words(*lists: str) -> frozenset[str]:
    return frozenset(" ".join(lists).split())


_NEVER_LAST = _words(
    "a an the my your our their its every and or but nor because if than into whose whether of",
    "im ive id ill youre youve youll were weve theyre theyve hes shes lets whats wheres gonna wanna um uh er erm",
)
"""Also before a full stop."""
_SELDOM_LAST = _words(
    "his her this these those some any no so when although though unless until since that which who whom where what",
    "how why i we they he she is are was am be been being do does did have has had can could will would shall should may",
    "might must to for with from at by about between without like as very really just also maybe hmm well actually",
    "basically in under during against toward through then theres",
    "not dont doesnt didnt isnt arent cant cannot couldnt wont wouldnt shouldnt havent hasnt wasnt",
)
_WANTS_MORE = _words(
    "want wants wanted need needs needed tell tells give gives gave show shows get gets got make makes made take takes took",
    "put puts find found let keep bring buy send enter press say says said think thinks guess believe hope wonder means try",
    "tries trying going looking ask asked use using used see hear become becomes became seems seem contain contains include",
    "includes cause causes called named based followed located known born allowed supposed able likely due according",
    "new next other another more most few own same different single main certain several many much each both all only even",
    "such current first second third last best largest biggest smallest common popular famous good big small great",
    "currently successfully already still always never often usually probably now quite too rather almost please on",
    "kind type sort lot lots number part parts amount piece pair",
)
"""Verbs that have an object, and words that belong to the next one."""
_NUMBERS = _words(
    "zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen",
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million point",
)
"""Numbers are said in groups."""
_AUXILIARIES = _words(
    "is are was were am do does did have has had can could will would shall should may might must",
    "isnt arent dont doesnt didnt cant couldnt wont wouldnt hasnt havent",
)
_SUBORDINATE = _words(
    "if when while because although though unless until since once whenever after before at to in on for by during with",
    "from as without",
)
"""First words of what comes before the main clause."""
_OBJECTS = _words("it them him us everything anything nothing myself")
_LATEST = _words("please today tomorrow tonight again later instead anymore thanks anyway")
"""Words that stand at the end of what people ask for; the objects among them when a verb is right before."""
_HANDLED = _words(
    "do fix stop try open close change delete remove cancel check play read start finish on off up down"
)
"""After these an object ends the sentence."""
_PARTICLES = _words("on off up down out over back in")
"""After an object these end it: turn it on."""
_WHOLE = _words(
    "goodbye bye never-mind no-thanks no-thank-you yes-please thats-all thats-it what-time-is-it see-you-later go-ahead",
    "thank-you-very-much",
)
_ANSWERS = _words(
    "yes no yeah yep nope okay ok sure right hello hi hey thanks maybe really now why how what who where when"
)
"""Alone they are a sentence, or the beginning of one."""
_PAIRS = frozenset(
    {(verb, it) for verb in _HANDLED for it in _OBJECTS} | {(it, on) for it in _OBJECTS for on in _PARTICLES}
)
_DANGLING_ZH = re.compile(
    r"(?:和|跟|与|或|或者|但|但是|不过|因为|所以|如果|要是|虽然|除非|当|然后|而且|还有|比如|就是|那个|这个|的话|把|被|给|对|向|从|在|是|"
    r"想|要|会|能|可以|应该|必须|我|你|他|她|它|我们|你们|他们|嗯|呃|额|那|就|一[个只种条张件些]|这|也|都|很|最|太|不|没|更|非常|有|为|于|以|"
    r"之|让|使|叫|说|觉得|认为|喜欢|需要|哪[个些类种]|几|多|请|帮我|告诉|告诉我)$"
)
_ENDING_ZH = re.compile(r"(?:吗|呢|吧|啊|呀|啦|嘛|哦|谢谢|再见|行了|不用了|怎么办|多少钱)$")
_LISTENS = frozenset(
    """
    mhm mm mmhm uhhuh hm hmm yeah yes yep right ok okay sure oh ah aha i see really
    嗯 嗯嗯 对 对对 对的 好 好的 好吧 是 是的 是啊 哦 噢 啊 行
    """.split()  # noqa: SIM905  a list of words reads best as one
)
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")

_Shape = Literal["dangling", "seldom", "doubtful", "possible", "closed"]
"""Whether words can be a whole sentence, from never to always."""


def finished(text: str, stops: Stops = UNHEARD) -> float:
    """The probability that nothing more is coming, 0..1."""
    said = text.strip()
    shape = _shape(said)
    if shape == "dangling" or _PAUSES.search(said):
        return GOES_ON
    if shape == "closed":
        return ENDED
    if not _ENDS.search(said) or stops.worth == "nothing":
        return GOES_ON if shape == "seldom" else UNSURE
    sure = shape == "possible" or stops.worth == "something" or _ASKS.search(said)
    return ENDED if sure else UNSURE


def listening(text: str) -> float:
    """The probability that these words over the agent's only show that the user listens, 0..1."""
    words = [_plain(it) for it in _WORD.findall(text)]
    return LISTENING if words and all(it in _LISTENS for it in words) else 0.0


def _shape(said: str) -> _Shape:
    """Of the last sentence."""
    sentence = next((it for it in reversed(_INSIDE.split(said)) if _WORD.search(it)), "")
    found = _WORD.findall(sentence)
    if not found:
        return "possible"
    if _CHINESE.search(found[-1]):
        return _chinese(found[-1])
    return _english([_plain(it) for it in found])


def _chinese(clause: str) -> _Shape:
    if _ENDING_ZH.search(clause):
        return "closed"
    return "seldom" if _DANGLING_ZH.search(clause) else "possible"


def _english(words: list[str]) -> _Shape:
    first, last = words[0], words[-1]
    if "-".join(words) in _WHOLE:
        return "closed"
    if len(words) == 1 and last in _ANSWERS:
        return "possible"
    if last in _NEVER_LAST:
        return "dangling"
    if last in _LATEST and len(words) > 2 and not _is_open(words):
        return "closed"
    if len(words) > 1 and (words[-2], last) in _PAIRS:
        return "closed"
    if last in _SELDOM_LAST:
        return "seldom"
    if last in _WANTS_MORE or last in _NUMBERS or last.isdigit() or (last.endswith("ly") and first != last):
        return "doubtful"
    return "doubtful" if _is_open(words) else "possible"


def _is_open(words: list[str]) -> bool:
    """It begins with what a main clause follows."""
    return words[0] in _SUBORDINATE and not (len(words) > 1 and words[1] in _AUXILIARIES)


def _plain(word: str) -> str:
    return re.sub(r"['’\-]", "", word).lower()
