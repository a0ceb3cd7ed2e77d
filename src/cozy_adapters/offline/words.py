"""What the offline model says, in English and in Chinese."""

from typing import Literal

import msgspec

Language = Literal["en", "zh"]


class Words(msgspec.Struct, frozen=True):
    """Texts with ``{}`` are filled in with what was found."""

    hello: str
    notice: str
    honest: str
    computed: str
    time: str
    said: str
    no_calculator: str
    no_clock: str
    name: str
    recalled: str
    remembered: str
    unknown: str
    noted: str
    lost: str


ENGLISH = Words(
    hello="Hello!",
    notice=(
        "(Offline: this is no AI, only a small program that follows rules. "
        "Set OPENAI_API_KEY or start Ollama, and a real model answers instead.)"
    ),
    honest=(
        "No. I am no AI and no person: I am the offline stand-in of CozyEngine, a small program that follows rules. "
        "Set OPENAI_API_KEY or start Ollama, and a real model answers instead."
    ),
    computed="{} = {}",
    time="By the clock it is {}.",
    said="{} says: {}",
    no_calculator="I cannot compute: this persona has no calculator.",
    no_clock="I do not know the time: this persona has no clock.",
    name="Your name is {}.",
    recalled="You told me: “{}”",
    remembered="I remember: {}",
    unknown="I do not know that; nobody has told me.",
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
        "设置 OPENAI_API_KEY 或启动 Ollama，就会由真正的模型来回答。）"
    ),
    honest=(
        "不是。我不是人工智能，也不是真人，只是 CozyEngine 的离线替身，一个按规则回答的小程序。"
        "设置 OPENAI_API_KEY 或启动 Ollama，就会由真正的模型来回答。"
    ),
    computed="{} = {}",
    time="时钟显示：{}。",
    said="{} 的结果：{}",
    no_calculator="我没法计算：这个角色没有计算器。",
    no_clock="我不知道时间：这个角色没有时钟。",
    name="你叫{}。",
    recalled="你告诉过我：“{}”",
    remembered="我记得：{}",
    unknown="这个我不知道，还没有人告诉过我。",
    noted="知道了。以后问起，我能找到这句话：“{}”",
    lost="我不是人工智能，想不出这个问题的回答。离线时我会计算、报时间，也能找到你告诉过我的话。",
)
SPOKEN: dict[Language, Words] = {"en": ENGLISH, "zh": CHINESE}
