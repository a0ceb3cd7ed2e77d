"""How a call with a persona goes."""

import pytest
from msgspec.structs import replace

from cozy_domain.ids import PersonaId
from cozy_domain.persona.persona import Persona, Prompt, Voice
from cozy_domain.voice.phrases import CHINESE, ENGLISH, profile_of
from cozy_domain.voice.policy import DEFAULT, MS, S

ANNA = Persona(id=PersonaId("anna"), name="Anna", prompt=Prompt(openings=("Hi, {{char}} here.", "Other.")))


def wishing(**realtime: str | float | bool) -> Persona:
    return replace(ANNA, voice=Voice(realtime=realtime))


def turning(**detection: str | float | bool) -> Persona:
    return replace(ANNA, voice=Voice(turn_detection=detection))


def test_a_persona_greets_with_its_first_opening() -> None:
    assert profile_of(ANNA, DEFAULT).phrases.greeting == "Hi, Anna here."
    assert profile_of(replace(ANNA, prompt=Prompt()), DEFAULT).phrases.greeting == ""
    caller = replace(ANNA, prompt=Prompt(openings=("Hi, {{user}}!",)))
    assert profile_of(caller, DEFAULT).phrases.greeting == "Hi!"


@pytest.mark.parametrize(
    ("locale", "goodbye"), [("en", ENGLISH.goodbye), ("zh-CN", CHINESE.goodbye), ("mul", ENGLISH.goodbye)]
)
def test_what_is_said_without_a_model_is_in_the_personas_language(locale: str, goodbye: str) -> None:
    assert profile_of(replace(ANNA, locale=locale), DEFAULT).phrases.goodbye == goodbye


def test_a_persona_has_words_of_its_own() -> None:
    phrases = profile_of(
        wishing(
            greeting="Hello from {{char}}.", filler="Hm.", idle="Well?", goodbye="Bye.", time_limit="Time!"
        ),
        DEFAULT,
    ).phrases
    assert (phrases.greeting, phrases.fillers, phrases.idle) == ("Hello from Anna.", ("Hm.",), ("Well?",))
    assert (phrases.goodbye, phrases.time_limit) == ("Bye.", "Time!")


@pytest.mark.parametrize("nothing", [False, "", 3])
def test_a_persona_may_say_nothing(nothing: str | bool | float) -> None:
    phrases = profile_of(
        wishing(greeting=nothing, filler=nothing, idle=nothing, goodbye=nothing), DEFAULT
    ).phrases
    assert (phrases.greeting, phrases.fillers, phrases.idle, phrases.goodbye) == ("", (), (), "")


def test_true_means_the_usual_words() -> None:
    phrases = profile_of(wishing(greeting=True, filler=True, goodbye=True), DEFAULT).phrases
    assert (phrases.greeting, phrases.fillers) == ("Hi, Anna here.", ENGLISH.fillers)
    assert phrases.goodbye == ENGLISH.goodbye


def test_a_persona_may_shorten_a_call_and_not_prolong_it() -> None:
    assert profile_of(wishing(longest_s=60), DEFAULT).limits.longest_ns == 60 * S
    assert profile_of(wishing(longest_s=36_000), DEFAULT).limits.longest_ns == DEFAULT.limits.longest_ns
    endless = replace(DEFAULT, limits=replace(DEFAULT.limits, longest_ns=None))
    assert profile_of(wishing(longest_s=36_000), endless).limits.longest_ns == 36_000 * S


def test_a_persona_says_how_patient_it_is() -> None:
    limits = profile_of(wishing(idle_s=5), DEFAULT).limits
    assert (limits.idle_ns, limits.idle_close_ns) == (5 * S, 40 * S)


@pytest.mark.parametrize("wish", ["soon", True, 0, -1, 1e12])
def test_numbers_that_are_none_change_nothing(wish: str | float | bool) -> None:
    assert profile_of(wishing(longest_s=wish, idle_s=wish), DEFAULT).limits == DEFAULT.limits


def test_turns_are_detected_as_the_persona_wishes() -> None:
    assert profile_of(turning(type="none"), DEFAULT).endpointing.automatic is False
    assert profile_of(turning(type="server_vad"), DEFAULT).endpointing == DEFAULT.endpointing
    slow = profile_of(turning(silence_duration_ms=900), DEFAULT).endpointing
    assert (slow.complete_ns, slow.unsure_ns, slow.incomplete_ns) == (900 * MS, 900 * MS, 2_000 * MS)
    assert not profile_of(turning(interrupt_response=False), DEFAULT).interruption.allowed
    assert profile_of(turning(interrupt_response=True), DEFAULT).interruption.allowed
