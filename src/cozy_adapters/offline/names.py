"""What the user is called, as far as their own words tell it (pure).

"My name is Robin" tells a name. "I am Robin" may be one, as "I am vegan" is none: what is found there is only ever said back
as what the user said of themselves.
"""

import re

from cozy_adapters.offline.questions import is_question
from cozy_domain.text import CJK

_CAPITAL = r"(?-i:[^\W\da-z_])"
_WORD = r"[^\W\d_][\w'’-]*"
_NAME = rf"{_WORD}(?: {_CAPITAL}[\w'’-]*){{0,2}}"
_PROPER = rf"{_CAPITAL}[\w'’-]*(?: {_CAPITAL}[\w'’-]*){{0,2}}"
_END = r"(?=\W*$|\s+(?:and|or|but|if|of|from|in|here|speaking|again|by the way|btw)\b)"
_LATIN = r"[A-Za-z][\w'’-]*(?: [A-Z][\w'’-]*){0,2}"
_NAME_ZH = rf"[{CJK}·]{{1,8}}?(?=今年|住在|来自|[^{CJK}·]|$)|{_LATIN}"

_TOLD = (
    re.compile(rf"\bmy (?:(?:first|full|given|real) )?name(?:'s|’s| is) ({_NAME})", re.IGNORECASE),
    re.compile(rf"\b(?:call|calls) me ({_NAME}){_END}", re.IGNORECASE),
    re.compile(rf"\b(?:i am|i['’]?m) called ({_NAME})", re.IGNORECASE),
    re.compile(rf"\buser(?:'s|’s)? name is ({_NAME})", re.IGNORECASE),
    re.compile(r"^(?:my )?name: (.+)", re.IGNORECASE),
    re.compile(rf"我(?:的名字)?\s*(?:叫做?|名叫)\s*(?![了过他她你它车醒])({_NAME_ZH})"),
    re.compile(rf"我的名字是\s*({_NAME_ZH})"),
    re.compile(
        rf"^(?:那|你|您|请|就|可以|以后|直接|都|大家)*叫我\s*([{CJK}·]{{1,6}}?|{_LATIN})(?:就行|就好|就可以|好了|即可)?吧?$"
    ),
)
_SAID = (
    re.compile(rf"^\W*(?:\w+ ){{0,3}}?(?:i am|i['’]?m) ({_NAME}){_END}", re.IGNORECASE),
    re.compile(rf"^\W*(?:hi|hello|hey)(?: there)? this is ({_PROPER}){_END}", re.IGNORECASE),
    re.compile(rf"^\W*this is ({_PROPER})(?: (?:here|speaking|again)\W*$)", re.IGNORECASE),
    re.compile(rf"^(?:嗨|你好|您好|大家好)?\s*我是\s*([{CJK}·]{{2,4}}|{_LATIN})$"),
)
_NEAR = re.compile(
    rf"\bmy (?:\w+ )?(?:nick|sur|user)?name\b|^\W*this is {_PROPER}{_END}|我的(?:.{{0,2}}名|昵称|外号)",
    re.IGNORECASE,
)
"""Sentences that are worth showing to whoever asks for their name, when nothing better is there."""
_NO_NAME = frozenset(
    re.findall(
        r"\w+",
        "a an the my your our his her their it that this there one not no so very too also just really quite still even "
        "all only in on at from of to for with by as about into over under out up down off away "
        "back here home new old young late early later now soon today tonight tomorrow again maybe when if "
        "anytime asap crazy tired hungry thirsty sad happy fine good great well bad ok okay sorry sick ill busy ready sure "
        "glad curious lost stuck free alone lonely angry afraid cold hot nice right wrong done able unable unsure "
        "dr mr mrs ms prof sir sleepy single human ai asleep awake drunk broke pregnant vegan vegetarian "
        "american australian austrian belgian brazilian british canadian chinese danish dutch english european finnish "
        "french german greek indian irish israeli italian japanese jewish korean mexican muslim norwegian pakistani "
        "polish portuguese russian scottish spanish swedish swiss turkish ukrainian vietnamese buddhist catholic hindu",
    )
)
"""Words that follow "I am" and name nobody. It cannot be complete: hence the wording of what is only said."""
_FORM = re.compile(r"[^\W\d_]{3,}(?:ed|ing)")
"""Lower-case words of this form tell what one does or feels: "tired", "working"."""
_NO_NAME_ZH = re.compile(
    r"[一个这那来在说想不从去你您他她它很真第新要为因问谁什].*|.*(?:[人员者的师家]|学生|医生|女生|男生|工|妈妈|爸爸|粉丝)"
)
_HAILED = re.compile(r"^\W*(hi|hello|hey)( there)?\s*[,，!]\s*", re.IGNORECASE)
_CLAUSE = re.compile(r"[,，;；]")


def name_in(sentences: tuple[str, ...]) -> str | None:
    """The user's name, as told last."""
    return _last(_TOLD, sentences)


def said_to_be(sentences: tuple[str, ...]) -> str | None:
    """What the user last said they are, where that may be a name."""
    return _last(_SAID, sentences)


def near_a_name(sentences: tuple[str, ...]) -> str | None:
    """The last sentence that seems to be about the user's name."""
    return next((it for it in reversed(sentences) if _NEAR.search(it) and not is_question(it)), None)


def _last(patterns: tuple[re.Pattern[str], ...], sentences: tuple[str, ...]) -> str | None:
    for sentence in reversed(sentences):
        for clause in reversed(_clauses(sentence)):
            for pattern in patterns:
                if (found := pattern.search(clause)) and _may_name(name := found[1].strip(" .。!！")):
                    return name
    return None


def _clauses(sentence: str) -> list[str]:
    """Those that ask nothing: "I am Robin, who are you?" tells a name too. A greeting stays with what follows it."""
    parts = _CLAUSE.split(_HAILED.sub(r"\1\2 ", sentence))
    return [part.strip(" .。!！") for part in parts if not is_question(part)]


def _may_name(found: str) -> bool:
    first = found.partition(" ")[0]
    if first.casefold() in _NO_NAME or _NO_NAME_ZH.fullmatch(found):
        return False
    return bool(found) and not _FORM.fullmatch(first if first.islower() else "")
