"""What the offline model says, in English and in Chinese."""

from typing import Literal

import msgspec

Language = Literal["en", "zh"]


class Words(msgspec.Struct, frozen=True):
    """Texts with ``{}`` are filled in with what was found."""

    hello: str
    notice: str
    honest: str
    persona: str
    stand_in: str
    computed: str
    time: str
    said: str
    no_calculator: str
    no_clock: str
    name: str
    recalled: str
    remembered: str
    said_to_be: str
    no_name: str
    not_told: str
    noted: str
    lost: str


ENGLISH = Words(
    hello="Hello!",
    notice=(
        "(Offline: this is no AI, only a small program that follows rules. "
        "`cozy dev` prints why no real model answers.)"
    ),
    honest=(
        "I am no AI and no person: I am the offline stand-in of CozyEngine, a small program that follows rules. "
        "`cozy dev` prints why no real model answers."
    ),
    persona="I am {}.",
    stand_in=(
        "What answers here is the offline stand-in of CozyEngine: no AI and no person, only a small program that follows "
        "rules. `cozy dev` prints why no real model answers."
    ),
    computed="{} = {}",
    time="By the clock it is {}.",
    said="{} says: {}",
    no_calculator="I cannot compute: this persona has no calculator.",
    no_clock="I do not know the time: this persona has no clock.",
    name="Your name is {}.",
    recalled="You told me: “{}”",
    remembered="I remember: {}",
    said_to_be="You told me that you are {}.",
    no_name="I do not know your name: I recognise none in what you told me.",
    not_told="I find nothing about that in what you told me.",
    noted="I see. I can find that again when you ask: “{}”",
    lost=(
        "I am no AI and cannot think of an answer to that. Offline I can compute, tell the time, "
        "and find again what you told me."
    ),
)
CHINESE = Words(
    hello="你好！",
    notice=(
        "（离线模式：这不是人工智能，只是一个按规则回答的小程序。"
        "`cozy dev` 会显示为什么没有真正的模型来回答。）"
    ),
    honest=(
        "我不是人工智能，也不是真人，只是 CozyEngine 的离线替身，一个按规则回答的小程序。"
        "`cozy dev` 会显示为什么没有真正的模型来回答。"
    ),
    persona="我是{}。",
    stand_in=(
        "现在回答你的是 CozyEngine 的离线替身：不是人工智能，也不是真人，只是一个按规则回答的小程序。"
        "`cozy dev` 会显示为什么没有真正的模型来回答。"
    ),
    computed="{} = {}",
    time="时钟显示：{}。",
    said="{} 的结果：{}",
    no_calculator="我没法计算：这个角色没有计算器。",
    no_clock="我不知道时间：这个角色没有时钟。",
    name="你叫{}。",
    recalled="你告诉过我：“{}”",
    remembered="我记得：{}",
    said_to_be="你告诉过我，你是{}。",
    no_name="我不知道你的名字：在你说过的话里，我没有认出来。",
    not_told="在你告诉过我的话里，我没有找到这个。",
    noted="知道了。以后问起，我能找到这句话：“{}”",
    lost="我不是人工智能，想不出这个问题的回答。离线时我会计算、报时间，也能找到你告诉过我的话。",
)
SPOKEN: dict[Language, Words] = {"en": ENGLISH, "zh": CHINESE}
