"""Documents as tests write them."""

import msgspec

from cozy_domain.persona.document import Mark, PersonaDocument, Problem, from_json
from cozy_domain.persona.persona import Persona
from cozy_domain.persona.resolve import examine, resolve

JSON = dict[str, object]


def document(id: str = "anna", file: str = "", **content: object) -> PersonaDocument:
    """A valid document, but for ``content``; a value ``...`` leaves its key out."""
    whole: JSON = {"schema": "persona/1", "id": id, "name": id.title() or "Nobody", **content}
    given = {key: value for key, value in whole.items() if value is not ...}
    return PersonaDocument(file or f"{id}.yaml", from_json(msgspec.json.encode(given), file or f"{id}.yaml"))


def only(*documents: PersonaDocument) -> Persona:
    """The persona of the last document."""
    personas = {persona.id: persona for persona in resolve(documents)}
    return next(persona for id, persona in personas.items() if id == documents[-1].id)


def problems(*documents: PersonaDocument) -> list[str]:
    """``field: message [code]  did you mean ...?`` of each."""
    return [str(problem).partition("  ")[2] for problem in found(*documents)]


def found(*documents: PersonaDocument) -> tuple[Problem, ...]:
    return examine(documents).problems


def extension(persona: Persona, key: str) -> object:
    return msgspec.json.decode(persona.extensions[key])


FIRST_LINE = Mark("anna.yaml")
