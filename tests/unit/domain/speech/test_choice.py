"""Who speaks, and who listens."""

import pytest

from cozy_domain.errors import MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import Persona, PublishedPersona, Voice
from cozy_domain.speech.choice import ChosenEar, ChosenVoice, SpeechAsked, choose_ear, choose_voice
from cozy_domain.speech.ports import Voicing

ENGINES = ("espeak", "openai/gpt-4o-mini-tts", "openai/whisper-1")
MEI = Persona(
    id=PersonaId("mei"),
    name="Mei",
    locale="zh-CN",
    voice=Voice(
        stt="openai/whisper-1", tts="espeak", voice="nova", speed=1.5, instructions_override="Softly."
    ),
)
ANY = Persona(id=PersonaId("any"), name="Any", locale="mul")
CATALOG = Catalog(
    PublishedPersona(persona=it, revision=1, hash="0" * 64, published_at_us=0) for it in (MEI, ANY)
)


def chosen(model: str, **asked: object) -> ChosenVoice:
    return choose_voice(SpeechAsked(model, **asked), CATALOG, ENGINES)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd", "tts-1-1106", "gpt-4o-mini-tts-2025-12-15"])
def test_openais_names_mean_whatever_is_configured(model: str) -> None:
    assert chosen(model, voice="alloy", speed=2.0) == ChosenVoice(Voicing("alloy", None, 2.0))


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini-tts", "gpt-4o-mini-tts"])
def test_an_engine_can_be_named_with_its_provider_or_without(model: str) -> None:
    assert chosen(model).engine == "openai/gpt-4o-mini-tts"


def test_a_persona_brings_its_voice_its_language_its_pace_and_its_engine() -> None:
    expected = ChosenVoice(Voicing("nova", "zh-CN", 1.5, "Softly."), "espeak")
    assert chosen("mei", voice="alloy") == expected
    assert chosen("tts-1", persona=PersonaId("mei"), voice="alloy") == expected


def test_what_a_request_says_of_pace_and_manner_comes_before_the_persona() -> None:
    voicing = chosen("mei", speed=1.0, instructions="Loudly.").voicing
    assert (voicing.speed, voicing.instructions) == (1.0, "Loudly.")


def test_an_engine_that_is_named_comes_before_the_personas() -> None:
    assert chosen("gpt-4o-mini-tts", persona=PersonaId("mei")).engine == "openai/gpt-4o-mini-tts"


def test_a_persona_of_many_languages_says_none_and_without_a_voice_leaves_the_requests() -> None:
    assert chosen("any", voice="onyx") == ChosenVoice(Voicing("onyx"))


def test_what_is_not_there_is_told_with_the_nearest_name() -> None:
    with pytest.raises(MissingError, match="Did you mean 'mei'") as missing:
        chosen("tts-1", persona=PersonaId("mai"))
    assert (missing.value.code, missing.value.param) == ("persona_not_found", "cozy.personality_id")
    with pytest.raises(MissingError, match=r"no model 'zzz' here\.$") as missing:
        chosen("zzz")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert (missing.value.hint or "").startswith(f"There are: {', '.join(ENGINES)}, ")


def test_a_recogniser_is_chosen_likewise() -> None:
    assert choose_ear("whisper-1", None, CATALOG, ENGINES) == ChosenEar("openai/whisper-1")
    assert choose_ear("gpt-4o-transcribe", None, CATALOG, ENGINES) == ChosenEar()
    assert choose_ear("mei", None, CATALOG, ENGINES) == ChosenEar("openai/whisper-1", "zh-CN", ("Mei",))
    assert choose_ear("gpt-4o-transcribe", PersonaId("any"), CATALOG, ENGINES) == ChosenEar(names=("Any",))
    with pytest.raises(MissingError):
        choose_ear("tts-1", None, CATALOG, ENGINES)


def test_a_recogniser_is_told_whom_it_hears_about_once_and_behind_what_the_request_says() -> None:
    ear = choose_ear("mei", None, CATALOG, ENGINES)
    assert ear.prompt("", "") == "Mei"
    assert ear.prompt("Vienna", "", "Linz") == "Vienna, Linz, Mei"
    assert ear.prompt("Mei Lin speaks.") == "Mei Lin speaks."
    assert choose_ear("whisper-1", None, CATALOG, ENGINES).prompt("") == ""
