"""Which of several recognisers can do what is asked of them (pure)."""

from collections.abc import Sequence

from cozy_domain.errors import InputError
from cozy_domain.routing.switchover import Named
from cozy_domain.speech.ports import Hearing, HearingFeature, SpeechToText

_FIELDS = {HearingFeature.WORD_TIMES: "timestamp_granularities", HearingFeature.PARTIALS: "partials"}
"""Of requests, that ask for it."""


def able(recognisers: Sequence[Named[SpeechToText]], hearing: Hearing) -> frozenset[str]:
    """The names of those that can hear like this: at least one, unless there are no recognisers.

    Raises:
        InputError: ``unsupported_value``: nobody here can do what is asked, or hears the language.
    """
    needed = needs(hearing)
    skilled = [it for it in recognisers if needed <= it.engine.features()]
    fitting = frozenset(it.name for it in skilled if hears(it.engine, hearing))
    if fitting or not recognisers:
        return fitting
    if skilled:
        raise _unheard(skilled, hearing)
    raise InputError(
        f"No recogniser here is able to do: {', '.join(sorted(needed))}.",
        code="unsupported_value",
        param=next((field for feature, field in _FIELDS.items() if feature in needed), "model"),
    )


def needs(hearing: Hearing) -> frozenset[HearingFeature]:
    """What a recogniser must be able to do for this."""
    asked = {
        HearingFeature.WORD_TIMES: hearing.word_times,
        HearingFeature.TRANSLATION: hearing.translate,
        HearingFeature.PARTIALS: hearing.partials,
    }
    return frozenset(feature for feature, wanted in asked.items() if wanted)


def hears(recogniser: SpeechToText, hearing: Hearing) -> bool:
    """Whether ``recogniser`` may know the language; a region does not matter."""
    known = recogniser.languages()
    return known is None or hearing.language is None or base(hearing.language) in known


def base(language: str) -> str:
    """``zh`` of ``zh-CN``."""
    return language.partition("-")[0].lower()


def _unheard(recognisers: Sequence[Named[SpeechToText]], hearing: Hearing) -> InputError:
    known = sorted({language for it in recognisers for language in it.engine.languages() or ()})
    return InputError(
        f"No recogniser here hears '{hearing.language}'.",
        code="unsupported_value",
        param="language",
        hint=f"They hear {', '.join(known)}; others can be configured in speech.stt.",
    )
