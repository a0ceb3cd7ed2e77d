"""From a persona to a card (pure).

A card that the persona was made from is changed only where the persona was: `to_persona` is asked what it would make of the
card, and what is equal stays as it came. A persona that never was a card is one that changed an empty card everywhere.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cozy_domain.ids import PersonaId
from cozy_domain.persona.card.book import book_with
from cozy_domain.persona.card.card import Card, CardError, Values, named, read_card
from cozy_domain.persona.card.examples import as_text
from cozy_domain.persona.card.fields import CardFields, fields_of
from cozy_domain.persona.card.to_persona import KEPT, LEAD, kept_json, lead_of, tails_of, to_persona
from cozy_domain.persona.persona import Lore, Persona

Spec = Literal["v2", "v3"]

BACKFILL = (
    "This character card is Character Card V3, but it is loaded as a Character Card V2. Please use an application that \
knows Character Card V3 to use it properly."
)
"""V3 asks for such a line in the V2 card that stands beside a V3 card in a PNG."""

_NAMES = {"v2": ("chara_card_v2", "2.0"), "v3": ("chara_card_v3", "3.0")}
_VERSIONS = {"v2": 2, "v3": 3}
_TEXTS = (
    *("name", "description", "personality", "scenario", "first_mes", "mes_example", "creator_notes"),
    *("system_prompt", "post_history_instructions", "creator", "character_version"),
)
_LISTS = {
    "v2": ("alternate_greetings", "tags"),
    "v3": ("alternate_greetings", "tags", "group_only_greetings"),
}
_DATE = "modification_date"
_UNNAMED = b'{"name":"-","description":""}'
_PLAIN = Persona(id=PersonaId("plain"), name="-")


class Exported(msgspec.Struct, frozen=True):
    """``json`` is the card. ``changed`` are the fields that differ from the card that it came from, ``left_out`` parts of
    the persona that a card has no place for."""

    json: bytes
    changed: tuple[str, ...]
    left_out: tuple[str, ...]


def from_persona(persona: Persona, spec: Spec, at_s: int) -> Exported:
    """``at_s``, in Unix seconds, becomes V3's ``modification_date`` when something changed."""
    origin = _origin(persona)
    card, json = origin or (Card(1, {}, {"name": _raw("-")}), _UNNAMED)
    was = to_persona(card, persona.id, json).persona
    changes = dict(_changes(was, persona, card))
    if changes and spec == "v3":
        changes[_DATE] = _raw(at_s)
    data = {**card.data, **changes}
    return Exported(
        json=msgspec.json.encode(_root(card, spec, changes, data)),
        changed=tuple(key for key in changes if key != _DATE) if origin else (),
        left_out=tuple(_left_out(persona)),
    )


def as_backfill(json: bytes) -> bytes:
    """The V2 card to put beside a V3 card, with a line that says so."""
    card = read_card(json)
    notes = named(card.data.get("creator_notes"))
    told = notes if BACKFILL in notes else f"{BACKFILL}\n\n{notes}".strip()
    return msgspec.json.encode(_root(card, "v2", {}, {**card.data, "creator_notes": _raw(told)}))


def with_data(json: bytes, changes: Values) -> bytes:
    """The card with other values in its data."""
    card = read_card(json)
    return msgspec.json.encode({**card.root, "data": {**card.data, **changes}})


def _origin(persona: Persona) -> tuple[Card, bytes] | None:
    """The card that the persona keeps; None when it keeps none that can be read."""
    json = kept_json(persona)
    try:
        card = read_card(json)
        to_persona(card, persona.id, json)
    except CardError:
        return None
    return card, json


def _root(card: Card, spec: Spec, changes: Values, data: Values) -> dict[str, msgspec.Raw | Values]:
    """Older programs write some fields of the character beside it too: these change with it."""
    head = dict(zip(("spec", "spec_version"), map(_raw, _NAMES[spec]), strict=True))
    mirrored = {key: value for key, value in changes.items() if key in card.root}
    beside = {**head, **card.root, **mirrored}
    return {**beside, **({} if card.version == _VERSIONS[spec] else head), "data": _whole(data, spec)}


def _whole(data: Values, spec: Spec) -> Values:
    """With what the specification asks for in every card."""
    missing = {key: _raw("") for key in _TEXTS} | {key: _raw([]) for key in _LISTS[spec]}
    return {
        **data,
        **{key: raw for key, raw in {**missing, "extensions": _raw({})}.items() if key not in data},
    }


def _changes(was: Persona, now: Persona, card: Card) -> Iterator[tuple[str, msgspec.Raw]]:
    fields = fields_of(card)
    texts = {**_about(was, now), **_speaking(was, now)}
    if now.prompt.system != was.prompt.system:
        texts.update(_system_parts(now.prompt.system, fields))
    if _style_is_new(was, now):
        personality = texts.get("personality", fields.personality)
        texts["personality"] = f"{personality}\n\n{now.prompt.style}".strip()
    yield from ((key, _raw(text)) for key, text in texts.items())
    if now.tags != was.tags:
        yield "tags", _raw(now.tags)
    if now.prompt.openings != was.prompt.openings:
        yield "alternate_greetings", _raw(now.prompt.openings[1:])
    if now.knowledge.lore != was.knowledge.lore:
        yield (
            "character_book",
            book_with(card.data.get("character_book"), was.knowledge.lore, now.knowledge.lore),
        )


def _about(was: Persona, now: Persona) -> dict[str, str]:
    texts = {}
    if now.name != was.name:
        texts["name"] = now.name
    if _nickname(now) != _nickname(was):
        texts["nickname"] = _nickname(now)
    if now.meta.author != was.meta.author:
        texts["creator"] = now.meta.author or ""
    if now.meta.notes != was.meta.notes:
        texts["creator_notes"] = now.meta.notes or ""
    elif not now.meta.notes and now.description != was.description:
        texts["creator_notes"] = now.description
    return texts


def _speaking(was: Persona, now: Persona) -> dict[str, str]:
    texts = {}
    if now.prompt.openings != was.prompt.openings:
        texts["first_mes"] = next(iter(now.prompt.openings), "")
    if now.prompt.post_history != was.prompt.post_history:
        texts["post_history_instructions"] = now.prompt.post_history
    if now.prompt.examples != was.prompt.examples:
        texts["mes_example"] = as_text(now.prompt.examples)
    elif was.prompt.style and now.prompt.style != was.prompt.style:
        texts["mes_example"] = now.prompt.style
    return texts


def _style_is_new(was: Persona, now: Persona) -> bool:
    """Whether to say in the personality how it speaks. Of a card, only examples that are no exchanges become the style."""
    replaces_examples = was.prompt.style and now.prompt.examples == was.prompt.examples
    return bool(now.prompt.style) and now.prompt.style != was.prompt.style and not replaces_examples


def _system_parts(text: str, fields: CardFields) -> dict[str, str]:
    """Which part of a changed system text is which field: what still begins or ends it as before stays, the rest is the
    description."""
    kept = {"system_prompt": "", "personality": "", "scenario": ""}
    lead, (personality, scenario) = lead_of(fields), tails_of(fields)
    if text.startswith(f"{lead}\n\n"):
        text = text.removeprefix(f"{lead}\n\n")
        kept["system_prompt"] = "" if lead == LEAD else fields.system_prompt
    for key, tail, value in (
        ("scenario", scenario, fields.scenario),
        ("personality", personality, fields.personality),
    ):
        if tail and text.endswith(f"\n\n{tail}"):
            text, kept[key] = text.removesuffix(f"\n\n{tail}"), value
    return {"description": text, **kept}


def _nickname(persona: Persona) -> str:
    variable = persona.prompt.variables.get("char")
    return str(variable.default) if variable is not None and variable.default is not None else ""


def _left_out(persona: Persona) -> Iterator[str]:
    if KEPT in persona.extensions and _origin(persona) is None:
        yield f"extensions.{KEPT}, which is no card any more"
    for part in ("model", "tools", "memory", "budgets", "voice"):
        if getattr(persona, part) != getattr(_PLAIN, part):
            yield part
    if msgspec.structs.replace(persona.knowledge, lore=Lore()) != _PLAIN.knowledge:
        yield "knowledge"
    if persona.prompt.variables.keys() - {"char"}:
        yield "prompt.variables"


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
