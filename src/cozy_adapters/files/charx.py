"""Cards in CHARX files: zip archives with ``card.json`` and what it refers to.

Nothing is ever written under a name of the archive: it is kept whole, and only looked into. All that the archive says of
itself is checked before anything is unpacked, and nothing unpacks to more than it says.
"""

import re
import stat
import zlib
from collections.abc import Mapping
from io import BytesIO
from struct import unpack_from
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import msgspec

from cozy_domain.persona.card.card import MAX_JSON, CardError

CARD = "card.json"
MAX_ENTRIES = 2_000
MAX_UNPACKED = 50 * 1024 * 1024
MAX_RATIO = 100

_END = b"PK\x05\x06"
_END_SIZE = 22
_ZIP64 = b"PK\x06\x07"
_ZIP64_SIZE = 20
_LONGEST_COMMENT = 65_535
_MAX_DIRECTORY = 1024 * 1024
"""2,000 entries with names of 400 bytes."""
_LONGEST_NAME = 200
_ENCRYPTED = 0x1
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_HOSTILE = "No program writes such a file; do not use it."
_DAMAGED = "The file is damaged or was changed on its way; get it again from where it came."
_AT = (1980, 1, 1, 0, 0, 0)  # the first time a zip can tell: equal content gives equal bytes


class CharxCard(msgspec.Struct, frozen=True):
    """``assets`` by their names in the archive."""

    json: bytes
    assets: dict[str, bytes]


def read_charx(content: bytes) -> CharxCard:
    """
    Raises:
        CardError: the archive is damaged, hostile, encrypted or too large, or holds no card.
    """
    _check_directory(content)
    try:
        with ZipFile(BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(archive.infolist())
            members = {entry.filename: archive.read(entry) for entry in entries}
    except (
        BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        raise CardError(f"the archive cannot be read: {str(error)[:80]}", hint=_DAMAGED) from error
    json = members.pop(CARD, None)
    if json is None:
        raise CardError(
            f"the archive has no {CARD} at its root",
            hint="A CHARX has one; if there is a card in a folder or another archive inside, take that out.",
        )
    return CharxCard(json, members)


def write_charx(json: bytes, assets: Mapping[str, bytes]) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w") as archive:
        for name, content in {CARD: json, **assets}.items():
            entry = ZipInfo(name, date_time=_AT)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return made.getvalue()


def _check_directory(content: bytes) -> None:
    """Before the directory is read: each entry of it costs memory."""
    end = content.rfind(_END, max(0, len(content) - _END_SIZE - _LONGEST_COMMENT))
    if end < 0 or len(content) - end < _END_SIZE:
        raise CardError("the archive has no end: it is cut off or no zip", hint=_DAMAGED)
    if content[max(0, end - _ZIP64_SIZE) : end].startswith(_ZIP64):
        raise CardError("the archive is a zip64, for files of gigabytes", hint="Pack it anew as a plain zip.")
    entries, size = unpack_from("<HL", content, end + 10)
    if entries > MAX_ENTRIES or size > _MAX_DIRECTORY:
        raise CardError(
            f"the archive has more than {MAX_ENTRIES} entries", hint="Take assets out, and pack it anew."
        )


def _check(entries: list[ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise CardError(f"the archive has more than {MAX_ENTRIES} entries", hint=_HOSTILE)
    if len({entry.filename.casefold() for entry in entries}) < len(entries):
        raise CardError("the archive has two entries of one name", hint=_HOSTILE)
    for entry in entries:
        if wrong := _wrong(entry):
            raise CardError(f"the archive's entry '{entry.filename[:80]}' {wrong[0]}", hint=wrong[1])
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise CardError(
            f"the archive unpacks to {unpacked} bytes, more than {MAX_UNPACKED}",
            hint="Take large assets out, and pack it anew.",
        )


def _wrong(entry: ZipInfo) -> tuple[str, str] | None:
    """What is wrong with an entry, and what to do."""
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted", "Pack it anew without a password."
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is packed in an unknown way", "Pack it anew as a plain zip."
    if not _is_plain_path(entry.orig_filename):
        return "has a name that could lead out of its folder", _HOSTILE
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or no file", _HOSTILE
    if entry.file_size > entry.compress_size * MAX_RATIO:
        return f"unpacks to more than {MAX_RATIO} times its size", _HOSTILE
    if entry.filename == CARD and entry.file_size > MAX_JSON:
        return f"has more than {MAX_JSON} bytes", "Take out pictures that are written as text (data: URIs)."
    return None


def _is_plain_path(name: str) -> bool:
    """No absolute path, drive, device, ``..``, or character that some system reads in its own way."""
    if not name or len(name) > _LONGEST_NAME or _FORBIDDEN.search(name):
        return False
    steps = name.removesuffix("/").split("/")
    return not any(
        step in ("", ".", "..") or step.endswith((".", " ")) or _DEVICE.fullmatch(step) for step in steps
    )
