"""Which of the library's voices speaks, how fast, and which characters reach it (pure)."""

import re
from collections.abc import Collection, Mapping

from cozy_domain.errors import InputError
from cozy_domain.nearest import nearest
from cozy_domain.speech.ports import Voicing
from cozy_domain.text import whole

NATURAL_WPM = 175
"""Words a minute at speed 1: the library's own default."""
SLOWEST_WPM, FASTEST_WPM = 80, 450
"""What the library can do; a speed beyond sounds like the nearest of these."""
ENGLISH, MANDARIN = "en-us", "cmn"
OPENAI_VOICES: Mapping[str, str] = {
    "alloy": "+f5", "ash": "+m1", "ballad": "+m2", "cedar": "+m3", "coral": "+f1", "echo": "+m4", "fable": "+m5",
    "marin": "+f4", "nova": "+f2", "onyx": "+m7", "sage": "+f3", "shimmer": "+f5", "verse": "+m6",
}  # fmt: skip
"""The names that every OpenAI client sends (platform.openai.com, text-to-speech guide), as variants of a voice."""

_CHINESE = re.compile("[\u4e00-\u9fff]")
_VARIANT = re.compile("[A-Za-z0-9]{0,20}")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def voice_of(voicing: Voicing, text: str, listed: Collection[str]) -> str:
    """The library's name for the voice: one of its own, or a variant of the language asked for or else written.

    Raises:
        InputError: ``unknown_voice``.
    """
    asked = voicing.voice
    if asked and asked not in OPENAI_VOICES:
        language, _, variant = asked.partition("+")
        if language not in listed or not _VARIANT.fullmatch(variant):
            raise unknown_voice(asked, listed)
        return asked
    return _spoken(voicing.language or "", text, listed) + OPENAI_VOICES.get(asked or "", "")


def rate_of(speed: float) -> int:
    """Words a minute."""
    return max(SLOWEST_WPM, min(FASTEST_WPM, round(NATURAL_WPM * speed)))


def readable(text: str) -> str:
    """Without control characters: the library takes some for commands (volume, pace) that outlive the text."""
    return _CONTROL.sub(" ", whole(text))


def unknown_voice(name: str, listed: Collection[str]) -> InputError:
    close = nearest(name, (*OPENAI_VOICES, *listed))
    return InputError(
        f"There is no voice '{name[:64]}'.",
        code="unknown_voice",
        param="voice",
        hint=f"Did you mean {close}?" if close else "For example alloy, nova, en-gb, cmn.",
    )


def _spoken(language: str, text: str, listed: Collection[str]) -> str:
    """For a BCP 47 tag, or none."""
    tag = language.lower()
    if tag.startswith("zh") or (not tag and _CHINESE.search(text)):
        return MANDARIN
    nearest = [it for it in (tag, tag.partition("-")[0]) if it in listed]
    return nearest[0] if nearest and not tag.startswith("en") else ENGLISH
