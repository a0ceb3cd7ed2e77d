"""The recogniser of a folder: the `SpeechToText` port."""

from collections.abc import Collection

from cozy_adapters.child.pool import Program
from cozy_adapters.ear.recogniser import Abilities, LocalSpeechToText
from cozy_adapters.sherpa.folder import HearingKind, absolute, recogniser_in
from cozy_domain.speech.ports import HearingFeature

NAME = "sherpa"
WITHOUT_TIMES = frozenset({HearingKind.WHISPER, HearingKind.PARAFORMER})
"""Models that do not say when a word is."""


def recogniser(folder: str, setting: str, languages: Collection[str]) -> LocalSpeechToText:
    """Of the model in ``folder``; ``setting`` names it in errors; ``languages`` are those that it hears, none where it finds
    out by itself.

    Raises:
        ConfigError: there is no recogniser in it that we can load; with what is missing or not known.
    """
    model = recogniser_in(folder, setting)
    features = set() if model.kind in WITHOUT_TIMES else {HearingFeature.WORD_TIMES}
    if model.kind is HearingKind.STREAMING:
        features.add(HearingFeature.PARTIALS)
    abilities = Abilities(
        frozenset(features),
        frozenset(it.partition("-")[0].lower() for it in languages) or None,
        cuts=model.kind is not HearingKind.STREAMING,
    )
    program = Program(
        NAME, "The recogniser 'sherpa'", "cozy_adapters.sherpa.ear", (absolute(folder), *languages)
    )
    return LocalSpeechToText(program, abilities)
