"""A card as it came: its JSON, checked for size, depth and what cannot be stored, every value kept raw (pure)."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from cozy_domain.errors import InputError
from cozy_domain.persona.document import Json

MAX_JSON = 4 * 1024 * 1024
"""Bytes. Cards of words alone have some 10 kB, with a large lorebook some 500; more is pictures written as text."""
MAX_DEPTH = 64
"""As in the bodies of requests."""

Version = Literal[1, 2, 3]
Format = Literal["json", "png", "charx"]
Values = dict[str, msgspec.Raw]

SPECS: dict[str, Version] = {"chara_card_v2": 2, "chara_card_v3": 3}
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
_HOSTILE = "No known program nests like this; the file is damaged or hostile."
BOM = b"\xef\xbb\xbf"
_V1 = ("name", "description", "personality", "scenario", "first_mes", "mes_example")


class CardError(InputError):
    """A card, or the file it came in, is refused; ``hint`` says what to do about it."""

    default_code = "card_invalid"

    def __init__(self, message: str, *, hint: str) -> None:
        """What a stranger named is shown without characters that a terminal could obey."""
        super().__init__(printable(message), hint=hint)


class Card(msgspec.Struct, frozen=True):
    """``data`` holds the fields of the character, ``root`` what stands beside it. A V1 card has no ``root``."""

    version: Version
    root: Values
    data: Values


class CardFile(msgspec.Struct, frozen=True):
    """A card in its container. ``json`` is the card, ``content`` the whole file as it came; ``ignored`` tells what of the
    file counts for nothing, ``assets`` what comes with the card."""

    format: Format
    json: bytes
    content: bytes
    ignored: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()


def read_card(json: bytes) -> Card:
    """The card in at most 4 MB of JSON.

    Raises:
        CardError: it is no JSON that can be kept, or no character card.
    """
    if len(json) > MAX_JSON:
        raise CardError(
            f"the card's JSON has {len(json)} bytes, more than {MAX_JSON}",
            hint="Take out pictures that are written as text (data: URIs); a CHARX file keeps them beside the JSON.",
        )
    json = json.removeprefix(BOM)
    value = _value(json)
    if not isinstance(value, dict):
        raise CardError("the card is not a JSON object", hint=_EXPECTED)
    if found := _unkept(value):
        path, wrong = found
        hint = _HOSTILE if wrong == _TOO_DEEP else "Take it out with an editor, and import again."
        raise CardError(f"{path or 'the card'} {wrong}", hint=hint)
    return _card(value, msgspec.json.decode(json, type=Values))


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def named(raw: msgspec.Raw | None) -> str:
    """The text in ``raw``; empty when it is something else, or nothing."""
    try:
        return msgspec.json.decode(raw, type=str) if raw is not None else ""
    except msgspec.ValidationError:
        return ""


_EXPECTED = 'A card has "spec": "chara_card_v2" or "chara_card_v3" and the character in "data".'


def _value(json: bytes) -> Json:
    try:
        value: Json = msgspec.json.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = (
            "Export it again as UTF-8; NaN, numbers beyond double precision and lone surrogates are not JSON."
        )
        raise CardError(f"the card is not JSON: {error}", hint=hint) from error
    except RecursionError as error:
        raise CardError(f"the card {_TOO_DEEP}", hint=_HOSTILE) from error
    return value


def _unkept(root: Json) -> tuple[str, str] | None:
    """Where there is a NUL, which databases do not store, or one level too many. Nothing grows but with the depth."""
    inside: list[Iterator[tuple[str, Json]]] = [iter((("", root),))]
    while inside:
        for path, value in inside[-1]:
            if isinstance(value, list | dict):
                if len(inside) > MAX_DEPTH:
                    return "", _TOO_DEEP
                inside.append(_items(path, value))
                break
            if isinstance(value, str) and "\x00" in value:
                return path, "holds a NUL character"
        else:
            inside.pop()
    return None


def _items(path: str, value: list[Json] | dict[str, Json]) -> Iterator[tuple[str, Json]]:
    if isinstance(value, list):
        yield from ((f"{path}[]", item) for item in value)
        return
    for key, inner in value.items():
        yield path, key
        yield _inside(path, key), inner


def _inside(path: str, key: str) -> str:
    """Only the first levels are told: further in, names grow with the depth."""
    return f"{path}.{key[:40]}".removeprefix(".") if path.count(".") < 2 else path


def _card(value: dict[str, Json], root: Values) -> Card:
    spec = value.get("spec")
    if spec is None and "data" not in value and "name" in value and sum(key in value for key in _V1) > 1:
        return Card(1, {}, root)
    if spec == "lorebook_v3":
        raise CardError(
            "this is a lorebook without a character", hint="Put it into a card as data.character_book."
        )
    if spec is not None and (not isinstance(spec, str) or spec not in SPECS):
        raise CardError(f"the card's spec is not known: {str(spec)[:40]!r}", hint=_EXPECTED)
    if not isinstance(value.get("data"), dict):
        raise CardError("the card has no data object", hint=_EXPECTED)
    return Card(
        SPECS[spec] if isinstance(spec, str) else 2, root, msgspec.json.decode(root["data"], type=Values)
    )
