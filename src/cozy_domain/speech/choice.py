"""Who speaks and who listens, when a request names a model, a persona or a voice (pure).

``model`` may be an engine of the settings, a persona, or one of OpenAI's own names, which every client of theirs has written
into it: those mean whatever is configured here. A persona brings its voice, its language and its pace.
"""

import re
from collections.abc import Collection

import msgspec

from cozy_domain.errors import MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.nearest import nearest
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import Persona
from cozy_domain.speech.ports import Voicing

SPEAKING = re.compile(r"tts-1(?:-hd)?(?:-\d+)?|gpt-[\w.-]*-?tts(?:-[\w-]+)?")
HEARING = re.compile(r"whisper-1|gpt-[\w.-]*-?transcribe(?:-[\w-]+)?")
"""OpenAI's names (API reference, audio), with the dates that follow some."""


class SpeechAsked(msgspec.Struct, frozen=True):
    """What a request says; None where it says nothing."""

    model: str
    persona: PersonaId | None = None
    voice: str | None = None
    speed: float | None = None
    instructions: str | None = None


class ChosenVoice(msgspec.Struct, frozen=True):
    """``engine`` is the one to ask first, None the first that is configured."""

    voicing: Voicing
    engine: str | None = None


class ChosenEar(msgspec.Struct, frozen=True):
    """``language`` is the persona's, for requests that name none; ``names`` are likely to be said to it."""

    engine: str | None = None
    language: str | None = None
    names: tuple[str, ...] = ()

    def prompt(self, *asked: str) -> str:
        """What recognisers are told to expect: what the request says, and the names that it does not."""
        told = [it for it in asked if it]
        return ", ".join((*told, *(it for it in self.names if not any(it in text for text in told))))


def choose_voice(asked: SpeechAsked, catalog: Catalog, engines: Collection[str]) -> ChosenVoice:
    """
    Raises:
        MissingError: ``model_not_found`` or ``persona_not_found``.
    """
    persona = _persona(asked.model, asked.persona, catalog)
    engine = _engine(asked.model, catalog, engines, SPEAKING)
    if persona is None:
        return ChosenVoice(Voicing(asked.voice, None, asked.speed or 1.0, asked.instructions or ""), engine)
    voice = persona.voice
    return ChosenVoice(
        Voicing(
            voice=voice.voice or asked.voice,
            language=_language(persona),
            speed=asked.speed or voice.speed,
            instructions=asked.instructions or voice.instructions_override or "",
        ),
        engine or voice.tts,
    )


def choose_ear(
    model: str, persona: PersonaId | None, catalog: Catalog, engines: Collection[str]
) -> ChosenEar:
    """
    Raises:
        MissingError: ``model_not_found`` or ``persona_not_found``.
    """
    speaker = _persona(model, persona, catalog)
    engine = _engine(model, catalog, engines, HEARING)
    if speaker is None:
        return ChosenEar(engine)
    return ChosenEar(engine or speaker.voice.stt, _language(speaker), (speaker.name,))


def _persona(model: str, asked: PersonaId | None, catalog: Catalog) -> Persona | None:
    if asked is not None and asked not in catalog:
        raise _missing("persona", asked, catalog.ids(), "cozy.personality_id")
    named = asked or (PersonaId(model) if model in catalog else None)
    return catalog.get(named).persona if named else None


def _engine(model: str, catalog: Catalog, engines: Collection[str], known: re.Pattern[str]) -> str | None:
    """The engine that ``model`` names, with its provider or without."""
    exact = [it for it in engines if model in {it, it.partition("/")[2]}]
    if exact:
        return exact[0]
    if model in catalog or known.fullmatch(model):
        return None
    raise _missing("model", model, (*engines, *catalog.ids()), "model")


def _language(persona: Persona) -> str | None:
    return None if persona.locale == "mul" else persona.locale


def _missing(kind: str, name: str, known: Collection[str], param: str) -> MissingError:
    close = nearest(name, known)
    told = f"There is no {kind} '{name[:128]}' here."
    return MissingError(
        f"{told} Did you mean '{close}'?" if close else told,
        code=f"{kind}_not_found",
        param=param,
        hint=None if close else f"There are: {', '.join(known) or 'none'}.",
    )
