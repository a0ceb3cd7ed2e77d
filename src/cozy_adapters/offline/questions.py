"""What is asked, in English or Chinese (pure): sums, the time, who one talks to, and what was said before."""

import re
import zoneinfo
from functools import cache

from cozy_adapters.offline.words import Language
from cozy_domain.text import CJK, terms

_HAN = re.compile(f"[{CJK}]")
_LETTER = re.compile(r"[^\W\d_]")
_WORDS_PER_HAN = 4
"""A Chinese character says about as much as four letters, so one quoted word does not change the language."""

_OPERATORS = (
    (re.compile(r"\b(?:multiplied by|times)\b|乘以|乘|×|✕", re.IGNORECASE), "*"),  # as people write it
    (re.compile(r"\bdivided by\b|除以|÷", re.IGNORECASE), "/"),
    (re.compile(r"\bplus\b|加上|加", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b|减去|减|−", re.IGNORECASE), "-"),
    (re.compile(r"\bto the power of\b|的?次方|\^", re.IGNORECASE), "**"),
    (re.compile(r"(?<=\d),(?=\d{3}\b)|(?<=\d)，(?=\d{3}\b)"), ""),
    (re.compile(r"（"), "("),
    (re.compile(r"）"), ")"),
)
_RUN = re.compile(r"[\d.()+\-*/%][\d.\s()+\-*/%]*")
_SUM = re.compile(r"\d\s*\)*\s*(?:\*\*|//|[+\-*/%])\s*[-+(]*\s*\.?\d")
_NO_SUM = re.compile(r"\b24/7\b|\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}")
_SUM_ASKED = re.compile(
    r"what(?:'s|’s| is| are)|how much|calculat|comput|work out|solve|equals?|=|\?|多少|等于|计算|算|几|？",
    re.IGNORECASE,
)
_TIME_ASKED = re.compile(
    r"what(?:'s|’s| is)? (?:the )?(?:current |local )?(?:time|date|day)\b|what time|time is it|which day|today'?s date"
    r"|current (?:time|date)|what day|几点|什么时[候间]了|现在的?时间|现在是?什么时间"
    r"|今天.{0,3}(?:几号|几月|星期|周几|礼拜|日期)"
    r"|星期几|周几|几月几[号日]",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:in|at) ((?:[A-Z][\w'-]*)(?: [A-Z][\w'-]*)*)")
CITIES = {
    "北京": "Asia/Shanghai",
    "上海": "Asia/Shanghai",
    "香港": "Asia/Hong_Kong",
    "台北": "Asia/Taipei",
    "新加坡": "Asia/Singapore",
    "东京": "Asia/Tokyo",
    "首尔": "Asia/Seoul",
    "悉尼": "Australia/Sydney",
    "莫斯科": "Europe/Moscow",
    "柏林": "Europe/Berlin",
    "巴黎": "Europe/Paris",
    "伦敦": "Europe/London",
    "纽约": "America/New_York",
    "洛杉矶": "America/Los_Angeles",
}
_NATURE_ASKED = re.compile(
    r"\bare you (?:an? )?(?:ai|a\.i\.|real|human|robot|bot|machine|person|artificial|language model|llm|chatgpt|gpt)\b"
    r"|talking to (?:an? )?(?:ai|human|person|robot|bot|machine)"
    r"|你是.{0,6}(?:AI|人工智能|机器人|真人|人类|程序|模型)|是不是(?:AI|人工智能|机器人|真人)",
    re.IGNORECASE,
)
_IDENTITY_ASKED = re.compile(
    r"\bwho (?:are|r) you\b|\bwhat (?:are|r) you\W*$|\bwho(?:'re|’re) you\W*$|what(?:'s|’s| is) your name|introduce yourself"
    r"|你(?:到底|究竟)?是(?:谁|什么\W*$|什么人|哪位)|你叫(?:什么|啥)|你(?:的)?名字(?:是|叫)?(?:什么|啥)|介绍一?下?你?自己",
    re.IGNORECASE,
)
_GREETED = re.compile(
    r"\W*(?:(?:hi|hello|hey|good (?:morning|evening|afternoon))(?:[ ,]+\w+)?|(?:你好|您好|嗨|早上好|晚上好|在吗)\w?)\W*",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"[?？]\s*$|^\W*(?:what|who|whom|whose|when|where|which|why|how|do|does|did|is|are|am|can|could|tell me)\b"
    r"|remember|什么|谁|哪|几|多少|吗|呢\W*$|记得|怎么",
    re.IGNORECASE,
)
_NAME_ASKED = re.compile(
    r"(?:what(?:'s|’s| is| was)|remember|know|tell me) my name|\bwho (?:am i|i am)\b|remember me\W*$|what am i called"
    r"|我叫(?:什么|啥)|我(?:的)?名字(?:是|叫)?(?:什么|啥)|我是谁|(?:记得|知道)我(?:叫|的名字|吗|么)",
    re.IGNORECASE,
)
_ABOUT_SELF = re.compile(
    r"\b(?:my|mine)\b|(?<!how )\b(?:am|do|did|was|have) i\b|我的|我.{0,8}(?:吗|什么|谁|哪|几|多少)",
    re.IGNORECASE,
)
_EMPTY = frozenset(
    terms(
        "a an the is are am was were be been do does did what who whom whose when where which why how can could you your "
        "me my mine i we our it its of to in on at for with and or that this there have has had tell say said know remember "
        "about please again ever name told called "
        "什么 是什 记得 得我 你记 还记 知道 你知 道我 我的 多少 是多 么名 得吗"
    )
)
"""Terms that say nothing of what is asked for."""
NEAR_ENOUGH = 0.3
"""This share of a question's telling terms has to stand in a sentence that is to answer it."""


def language_of(texts: tuple[str, ...]) -> Language:
    """Of the first text that has letters; English when none has."""
    for text in texts:
        han, letters = len(_HAN.findall(text)), len(_LETTER.findall(text))
        if letters:
            return "zh" if han * _WORDS_PER_HAN >= letters - han else "en"
    return "en"


def sum_asked(text: str) -> str | None:
    """The arithmetic expression that is asked for, in the calculator's notation."""
    plain = _NO_SUM.sub(" ", text)
    for pattern, symbol in _OPERATORS:
        plain = pattern.sub(symbol, plain)
    found = max(filter(_SUM.search, _RUN.findall(plain)), key=len, default="").strip(" .\n\t")
    if not found or not (_SUM_ASKED.search(text) or found == plain.strip(" .。!！\n")):
        return None
    return _balanced(found)


def time_asked(text: str) -> str | None:
    """The IANA zone whose time is asked for, an empty text for the user's own; None when nobody asks."""
    if not _TIME_ASKED.search(text):
        return None
    for place, zone in CITIES.items():
        if place in text:
            return zone
    named = _PLACE.search(text)
    return _zones().get(named[1].casefold().replace(" ", "_"), "") if named else ""


def asks_nature(text: str) -> bool:
    """Whether somebody wants to know what they are talking to."""
    return bool(_NATURE_ASKED.search(text))


def asks_identity(text: str) -> bool:
    """Whether somebody wants to know who the persona is."""
    return bool(_IDENTITY_ASKED.search(text))


def greets(text: str) -> bool:
    return bool(_GREETED.fullmatch(text))


def is_question(text: str) -> bool:
    return bool(_QUESTION.search(text))


def asks_name(text: str) -> bool:
    return bool(_NAME_ASKED.search(text))


def asks_about_self(text: str) -> bool:
    """Whether the answer may stand in what the user said of themselves."""
    return bool(_ABOUT_SELF.search(text))


def best_match(question: str, sentences: tuple[str, ...], near: float = NEAR_ENOUGH) -> str | None:
    """The sentence that shares most with the question, at least ``near`` (0..1) of it; of equals the last one."""
    wanted = frozenset(terms(question)) - _EMPTY
    if not wanted:
        return None
    scored = [
        (len(wanted & frozenset(terms(sentence))) / len(wanted), place, sentence)
        for place, sentence in enumerate(sentences)
        if not is_question(sentence)
    ]
    share, _, sentence = max(scored, default=(0.0, 0, ""))
    return sentence if share and share >= near else None


def _balanced(expression: str) -> str:
    """Without brackets when the sentence around it left some open."""
    if expression.count("(") == expression.count(")"):
        return expression
    return expression.replace("(", "").replace(")", "").strip()


@cache
def _zones() -> dict[str, str]:
    """Every zone by its city."""
    return {name.rpartition("/")[2].casefold(): name for name in sorted(zoneinfo.available_timezones())}
