"""From a card to a persona (pure).

The persona gets words only: no tool, no model, no address. V3 calls ``system_prompt`` and five more fields removed and lists
them as its own; every known program fills and reads them, so do we.
"""

import re
from collections.abc import Iterator

import msgspec

from cozy_domain.ids import PersonaId
from cozy_domain.persona.card.book import lore_of
from cozy_domain.persona.card.card import BOM, Card, CardError, named
from cozy_domain.persona.card.examples import examples_of
from cozy_domain.persona.card.fields import CardFields, fields_of, is_empty
from cozy_domain.persona.card.macros import plain, unknown, without_original
from cozy_domain.persona.persona import (
    KnowledgePolicy,
    Lore,
    Persona,
    Prompt,
    Provenance,
    Variable,
)

KEPT = "character_card"
"""Under ``extensions``: the card's JSON as text, in which no number, order or unknown key can change."""

LEAD = "You are {{char}}."
"""What a card without a system prompt begins with (V2: an internal fallback)."""
LONGEST_NAME = 100
LONGEST_DESCRIPTION = 200
_LARGE = 20_000
_MOST_GROWTH = 1.5
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing."""
_NICKNAME = "char"
_LONGEST_NICKNAME = 200

USED = frozenset(
    (
        *("name", "nickname", "description", "personality", "scenario", "system_prompt"),
        *("post_history_instructions", "first_mes", "alternate_greetings", "mes_example"),
        *("creator", "creator_notes", "tags", "source", "character_book"),
    )
)
_WHY = {
    "group_only_greetings": "there are no group chats",
    "assets": "pictures and sounds are not shown, and no address is ever fetched",
    "creator_notes_multilingual": "creator_notes are used",
    "extensions": "they are of other programs",
}
_BESIDE = ("spec", "spec_version", "data")


class Kept(msgspec.Struct, frozen=True):
    """A field of the card that the persona does not use; ``why`` may be empty."""

    field: str
    why: str = ""


class Imported(msgspec.Struct, frozen=True):
    """``mapped`` are the fields that the persona uses, ``kept`` those that are only kept."""

    persona: Persona
    mapped: tuple[str, ...]
    kept: tuple[Kept, ...]
    notes: tuple[str, ...]


def to_persona(card: Card, id: PersonaId, json: bytes) -> Imported:
    """The persona that a card makes. ``json`` is the card as it came: the persona keeps it.

    Raises:
        CardError: the card has no name.
    """
    fields = fields_of(card)
    if not _name(fields):
        raise CardError("the card has no name", hint="Give it one in data.name.")
    found = lore_of(card.data.get("character_book"))
    used = {key for key in USED & card.data.keys() if key not in fields.odd and not is_empty(card.data[key])}
    return Imported(
        persona=_persona(fields, id, found.lore, json),
        mapped=tuple(key for key in card.data if key in used),
        kept=tuple(_kept(card, used)),
        notes=(*_notes(card, fields), *found.notes),
    )


def lead_of(fields: CardFields) -> str:
    """What the system text begins with."""
    return without_original(plain(fields.system_prompt)).strip() or LEAD


def tails_of(fields: CardFields) -> tuple[str, str]:
    """What it ends with: personality, then scenario; empty where the card has none."""
    personality, scenario = plain(fields.personality).strip(), plain(fields.scenario).strip()
    return (f"Personality: {personality}" if personality else "", f"Scenario: {scenario}" if scenario else "")


def kept_json(persona: Persona) -> bytes:
    """The card that a persona came from; empty when it has none."""
    raw = persona.extensions.get(KEPT)
    try:
        return msgspec.json.decode(raw, type=str).encode() if raw is not None else b""
    except msgspec.ValidationError:
        return b""


def _persona(fields: CardFields, id: PersonaId, lore: Lore, json: bytes) -> Persona:
    return Persona(
        id=id,
        name=_name(fields),
        locale="mul",  # a card does not say in which language it is
        description=_description(fields),
        tags=tuple(map(_shown, fields.tags)),
        prompt=_prompt(fields),
        knowledge=KnowledgePolicy(lore=lore),
        meta=Provenance(
            author=fields.creator or None,
            source=" ".join(fields.source) or None,
            notes=fields.creator_notes or None,
        ),
        extensions={KEPT: msgspec.Raw(msgspec.json.encode(_readable(json)))},
    )


def _readable(json: bytes) -> str:
    """Line by line, which changes no value, unless that makes much more of it."""
    json = json.removeprefix(BOM)
    lines = msgspec.json.format(json, indent=1)
    return (lines if len(lines) <= _MOST_GROWTH * len(json) else json).decode()


def _prompt(fields: CardFields) -> Prompt:
    text = plain(fields.mes_example).strip()
    examples = examples_of(text, (fields.name, fields.nickname))
    greetings = (fields.first_mes, *fields.alternate_greetings)
    nickname = fields.nickname.strip()[:_LONGEST_NICKNAME]
    return Prompt(
        system=_system(fields),
        style=text if examples is None else "",
        examples=examples or (),
        post_history=without_original(plain(fields.post_history_instructions)),
        variables={_NICKNAME: Variable(default=nickname, max=_LONGEST_NICKNAME)} if nickname else {},
        openings=tuple(plain(greeting) for greeting in greetings if greeting.strip()),
    )


def _system(fields: CardFields) -> str:
    parts = (plain(fields.description).strip(), *tails_of(fields))
    lead = lead_of(fields)
    told = [part for part in parts if part]
    return "\n\n".join((lead, *told)) if told or lead != LEAD else ""


def _name(fields: CardFields) -> str:
    return _shown(fields.name)[:LONGEST_NAME].strip()


def _description(fields: CardFields) -> str:
    lines = (_shown(line) for line in fields.creator_notes.splitlines())
    return next((line[:LONGEST_DESCRIPTION] for line in lines if line), "")


def _shown(text: str) -> str:
    """On one line, without characters that a terminal or a page would obey: lists of personas show it."""
    return " ".join(_OBEYED.sub(" ", text).split())


def _kept(card: Card, used: set[str]) -> Iterator[Kept]:
    for key, raw in card.data.items():
        if key not in used and not is_empty(raw):
            yield Kept(key, _WHY.get(key, ""))
    yield from (Kept(key) for key in card.root if key not in _BESIDE)


def _notes(card: Card, fields: CardFields) -> Iterator[str]:
    newest = {2: "2.0", 3: "3.0"}.get(card.version, "")
    version = named(card.root.get("spec_version"))
    if newest and version and version != newest:
        yield f"the card says version {version[:20]}, we know {newest}; what is new in it is kept"
    for key in fields.odd:
        yield f"{key} is not of the type that the specification says; kept, not used"
    if len(_shown(fields.name)) > LONGEST_NAME:
        yield f"the name is cut to {LONGEST_NAME} characters"
    prompt = _prompt(fields)
    if prompt.style:
        yield "mes_example is no list of exchanges; it is shown as it is, as the style"
    texts = (prompt.system, prompt.style, prompt.post_history, *prompt.openings)
    if names := unknown("\n".join(texts)):
        yield f"placeholders that stay as they are: {', '.join(names[:10])}"
    if len(prompt.system) + len(prompt.style) > _LARGE:
        yield f"the character takes {len(prompt.system) + len(prompt.style)} characters of every prompt"
