"""What we read of a card (pure). A value of another type than the specification says counts as absent, and is kept."""

from typing import TypeVar

import msgspec

from cozy_domain.persona.card.card import Card, Values

T = TypeVar("T")
_Texts = tuple[str, ...]


class CardFields(msgspec.Struct, frozen=True):
    """The fields by their own names. ``odd`` names those whose value is of another type; null is none."""

    name: str = ""
    nickname: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    system_prompt: str = ""
    post_history_instructions: str = ""
    first_mes: str = ""
    alternate_greetings: _Texts = ()
    mes_example: str = ""
    creator: str = ""
    creator_notes: str = ""
    tags: _Texts = ()
    source: _Texts = ()
    odd: _Texts = ()


def fields_of(card: Card) -> CardFields:
    odd: list[str] = []
    data = card.data

    def text(key: str) -> str:
        return _read(data, key, str, odd) or ""

    def texts(key: str) -> _Texts:
        return _read(data, key, _Texts, odd) or ()

    return CardFields(
        name=text("name"),
        nickname=text("nickname"),
        description=text("description"),
        personality=text("personality"),
        scenario=text("scenario"),
        system_prompt=text("system_prompt"),
        post_history_instructions=text("post_history_instructions"),
        first_mes=text("first_mes"),
        alternate_greetings=texts("alternate_greetings"),
        mes_example=text("mes_example"),
        creator=text("creator"),
        creator_notes=text("creator_notes"),
        tags=texts("tags"),
        source=texts("source"),
        odd=tuple(odd),
    )


def is_empty(raw: msgspec.Raw) -> bool:
    """Null, an empty text, list or mapping."""
    return msgspec.json.decode(raw) in (None, "", [], {})


def _read(data: Values, key: str, kind: type[T], odd: list[str]) -> T | None:
    raw = data.get(key)
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        odd.append(key)
        return None
