"""How a call with a persona goes: the server's profile with the persona's own words and wishes (pure).

A persona says the first of its openings as a greeting. Its ``voice.realtime`` may hold other words for what is said without
a model (``greeting``, ``filler``, ``idle``, ``not_understood``, ``goodbye``, ``time_limit``; empty or false: nothing), and
the seconds ``idle_s`` and ``longest_s``. Its ``voice.turn_detection`` knows ``type`` (``none``: only the caller's program
ends turns), ``silence_duration_ms`` and ``interrupt_response``, as OpenAI Realtime calls them.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from cozy_domain.context.head import addressed, filled
from cozy_domain.persona.persona import Persona
from cozy_domain.voice.policy import MS, Phrases, VoiceProfile

S = 1_000 * MS
ENGLISH = Phrases(
    fillers=("One moment, please.", "Just a second."),
    idle=("Are you still there?",),
    not_understood="Sorry, could you say that again?",
    goodbye="Goodbye!",
    time_limit="Our time is up. Goodbye!",
)
CHINESE = Phrases(
    fillers=("请稍等。", "稍等一下。"),
    idle=("您还在吗？",),
    not_understood="不好意思，请再说一遍。",
    goodbye="再见！",
    time_limit="通话时间到了，再见！",
)
"""In other languages a persona says what its author writes, else the English words."""

Wishes = Mapping[str, str | float | bool]


def profile_of(persona: Persona, base: VoiceProfile) -> VoiceProfile:
    """``base`` as ``persona`` has it. What it wishes and nobody knows is left aside."""
    voice = persona.voice
    profile = replace(base, phrases=_phrases(persona, voice.realtime))
    return _turns(_limits(profile, voice.realtime), voice.turn_detection)


def _phrases(persona: Persona, wishes: Wishes) -> Phrases:
    words = CHINESE if persona.locale.partition("-")[0].lower() == "zh" else ENGLISH
    openings = persona.prompt.openings
    opening = filled(addressed(openings[0], persona), persona) if openings else ""

    def said(name: str, usual: str) -> str:
        wish = wishes.get(name, usual)
        return filled(wish, persona) if isinstance(wish, str) else usual if wish is True else ""

    def one_of(name: str, usual: tuple[str, ...]) -> tuple[str, ...]:
        return usual if wishes.get(name, True) is True else tuple(filter(None, (said(name, ""),)))

    return Phrases(
        greeting=said("greeting", opening),
        fillers=one_of("filler", words.fillers),
        idle=one_of("idle", words.idle),
        not_understood=said("not_understood", words.not_understood),
        goodbye=said("goodbye", words.goodbye),
        time_limit=said("time_limit", words.time_limit),
    )


def _limits(profile: VoiceProfile, wishes: Wishes) -> VoiceProfile:
    limits = profile.limits
    if idle := _number(wishes, "idle_s"):
        limits = replace(limits, idle_ns=round(idle * S), idle_close_ns=round(8 * idle * S))
    if longest := _number(wishes, "longest_s"):
        most = limits.longest_ns
        asked = round(longest * S)
        limits = replace(limits, longest_ns=asked if most is None else min(asked, most))
    return replace(profile, limits=limits)


def _turns(profile: VoiceProfile, wishes: Wishes) -> VoiceProfile:
    ending = profile.endpointing
    if wishes.get("type") == "none":
        ending = replace(ending, automatic=False)
    if silence := _number(wishes, "silence_duration_ms"):
        ns = round(silence * MS)
        ending = replace(
            ending,
            complete_ns=ns,
            unsure_ns=max(ns, ending.unsure_ns),
            incomplete_ns=max(ns, ending.incomplete_ns),
        )
    allowed = wishes.get("interrupt_response", True) is not False
    interruption = replace(profile.interruption, allowed=profile.interruption.allowed and allowed)
    return replace(profile, endpointing=ending, interruption=interruption)


def _number(wishes: Wishes, name: str) -> float:
    """Above 0, at most a day; 0 where there is none."""
    wish = wishes.get(name)
    if isinstance(wish, bool) or not isinstance(wish, int | float):
        return 0.0
    return float(wish) if 0 < wish <= 86_400_000 else 0.0
