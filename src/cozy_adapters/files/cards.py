"""Character cards as files: JSON, PNG and CHARX, told apart by what is in them. Bytes in, bytes out."""

from collections.abc import Iterator
from typing import assert_never

import msgspec

from cozy_adapters.files.charx import read_charx, write_charx
from cozy_adapters.files.parse import parse
from cozy_adapters.files.png import SIGNATURE, blank, read_png, with_cards
from cozy_adapters.files.write import to_yaml
from cozy_domain.persona.card.card import CardError, CardFile, Format, read_card
from cozy_domain.persona.card.from_persona import Spec, as_backfill, with_data
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument

MAX_FILE = 50 * 1024 * 1024
EMBEDDED = "embeded://"
"""As V3 spells it."""

_ZIP = b"PK\x03\x04"
_PICTURE = "assets/icon/images/main.png"
_DEFAULT = "ccdefault:"
_MAIN = "main"
_JSON_BEGINS = b"{"


class Asset(msgspec.Struct, frozen=True):
    """One of V3's ``assets``, as far as we read it."""

    type: str = ""
    uri: str = ""
    name: str = ""
    ext: str = ""


class Packed(msgspec.Struct, frozen=True):
    """``lost`` tells what of the kept file has no place in this format."""

    content: bytes
    lost: tuple[str, ...] = ()


class FileCards:
    """What the command line needs of card files."""

    max_file = MAX_FILE

    def unpack(self, content: bytes) -> CardFile:
        """
        Raises:
            CardError: no card can be read out of it; the message says why.
        """
        if len(content) > MAX_FILE:
            raise CardError(
                f"the file has more than {MAX_FILE} bytes", hint="Take large assets out, and pack it anew."
            )
        if content.startswith(SIGNATURE):
            found = read_png(content)
            return CardFile("png", found.json, content, ignored=found.ignored)
        if content.startswith(_ZIP):
            archive = read_charx(content)
            return CardFile("charx", archive.json, content, assets=tuple(archive.assets))
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_JSON_BEGINS):
            return CardFile("json", content, content)
        raise CardError(
            "the file is no JSON, PNG or CHARX",
            hint="Export the card as one of these from the program you have.",
        )

    def pack(
        self,
        json: bytes,
        target: Format,
        spec: Spec,
        kept: CardFile | None = None,
        picture: bytes | None = None,
    ) -> Packed:
        """A card of ``spec`` as a file, with ``picture`` (a PNG), or else the picture and assets of the file ``kept``.

        Raises:
            CardError: the picture or the kept file cannot be used.
        """
        match target:
            case "json":
                return Packed(
                    msgspec.json.format(json, indent=2) + b"\n", tuple(_lost_in_json(kept, picture))
                )
            case "png":
                return _png(json, spec, kept, picture)
            case "charx":
                return _charx(json, kept, picture)
            case _:
                assert_never(target)

    def to_yaml(self, document: PersonaDocument) -> bytes:
        """The file of a persona.

        Raises:
            CardError: it would be larger than such a file may be.
        """
        try:
            return to_yaml(document.root, document.file)
        except InvalidPersonaError as error:
            raise CardError(
                f"the persona's file {error.problems[0].message}",
                hint="Make the card smaller: its lorebook, and pictures that are written as text.",
            ) from error

    def parse(self, content: bytes, file: str) -> PersonaDocument:
        """
        Raises:
            InvalidPersonaError: it is none.
        """
        return parse(content, file)


def _png(json: bytes, spec: Spec, kept: CardFile | None, picture: bytes | None) -> Packed:
    cards = {"chara": json} if spec == "v2" else {"ccv3": json, "chara": as_backfill(json)}
    if picture is None and kept is not None:
        picture = kept.content if kept.format == "png" else _main_icon(json, kept)
    assets = _assets(kept)
    others = len(assets) - (picture in assets.values())
    lost = (f"{others} assets: a PNG holds one picture, .charx keeps them",) if others else ()
    return Packed(with_cards(picture or blank(), cards), lost)


def _charx(json: bytes, kept: CardFile | None, picture: bytes | None) -> Packed:
    assets = _assets(kept)
    if picture is None and kept is not None and kept.format == "png":
        picture = kept.content
    if picture is None:
        return Packed(write_charx(json, assets))
    return Packed(write_charx(_with_icon(json), {**assets, _PICTURE: with_cards(picture, {})}))


def _assets(kept: CardFile | None) -> dict[str, bytes]:
    return read_charx(kept.content).assets if kept is not None and kept.format == "charx" else {}


def _lost_in_json(kept: CardFile | None, picture: bytes | None) -> Iterator[str]:
    if picture is not None or (kept is not None and kept.format == "png"):
        yield "the picture: .png and .charx keep it"
    if assets := _assets(kept):
        yield f"{len(assets)} assets: .charx keeps them" if len(assets) > 1 else "1 asset: .charx keeps it"


def _main_icon(json: bytes, kept: CardFile) -> bytes | None:
    """The picture that the card calls its icon, when it is a PNG and in the archive."""
    assets = _assets(kept)
    icons = [it for it in _listed(json) if it.type == "icon" and it.uri.startswith(EMBEDDED)]
    icons.sort(key=lambda icon: icon.name != _MAIN)
    found = [assets.get(icon.uri.removeprefix(EMBEDDED), b"") for icon in icons]
    return next((content for content in found if content.startswith(SIGNATURE)), None)


def _with_icon(json: bytes) -> bytes:
    """The card with its main icon in the archive, unless it has another one."""
    listed = _listed(json)
    if any(it.type == "icon" and it.name == _MAIN and not it.uri.startswith(_DEFAULT) for it in listed):
        return json
    icon = Asset(type="icon", uri=f"{EMBEDDED}{_PICTURE}", name=_MAIN, ext="png")
    others = [
        raw
        for raw, it in zip(_written(json), listed, strict=True)
        if not (it.type == "icon" and it.uri.startswith(_DEFAULT))
    ]
    return with_data(json, {"assets": msgspec.Raw(msgspec.json.encode([icon, *others]))})


def _listed(json: bytes) -> list[Asset]:
    return [_asset(raw) for raw in _written(json)]


def _written(json: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(read_card(json).data.get("assets", b"[]"), type=list[msgspec.Raw])
    except msgspec.ValidationError:
        return []


def _asset(raw: msgspec.Raw) -> Asset:
    try:
        return msgspec.json.decode(raw, type=Asset)
    except msgspec.ValidationError:
        return Asset()
