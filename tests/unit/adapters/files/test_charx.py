"""Cards in archives from strangers."""

import tracemalloc
from collections.abc import Callable
from io import BytesIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from cozy_adapters.files.charx import MAX_ENTRIES, MAX_UNPACKED, read_charx, write_charx
from cozy_domain.persona.card.card import MAX_JSON, CardError
from tests.fixtures import cards

V3 = cards.json(cards.v3())
GOOD = cards.charx({"card.json": V3, "assets/icon/images/main.png": cards.png()})


def refusal(content: bytes) -> str:
    with pytest.raises(CardError) as raised:
        read_charx(content)
    assert raised.value.hint
    assert raised.value.message.isprintable()
    return raised.value.message


def archive(
    *names: str, change: Callable[[ZipInfo], None] = lambda entry: None, content: bytes = b"x"
) -> bytes:
    """A card, and one entry for each name."""
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as packing:
        packing.writestr("card.json", V3)
        for name in names:
            entry = ZipInfo(name)
            entry.compress_type = ZIP_DEFLATED
            change(entry)
            packing.writestr(entry, content)
    return made.getvalue()


def linked(entry: ZipInfo) -> None:
    entry.external_attr = 0o120777 << 16


def bzipped(entry: ZipInfo) -> None:
    entry.compress_type = ZIP_BZIP2


def encrypted(content: bytes) -> bytes:
    """With the flag of encryption in the directory, for every entry."""
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content = content[: at + 8] + b"\1" + content[at + 9 :]
        at = content.find(b"PK\x01\x02", at + 4)
    return content


def test_the_card_and_its_assets_are_read() -> None:
    read = read_charx(GOOD)
    assert read.json == V3
    assert read.assets == {"assets/icon/images/main.png": cards.png()}


def test_folders_are_no_assets() -> None:
    assert read_charx(archive("assets/", content=b"")).assets == {}


def test_what_is_written_is_read_back_and_the_same_twice() -> None:
    made = write_charx(V3, {"assets/a.png": b"x" * 100, "x.json": b"{}"})
    assert read_charx(made) == read_charx(write_charx(V3, {"assets/a.png": b"x" * 100, "x.json": b"{}"}))
    assert read_charx(made).assets == {"assets/a.png": b"x" * 100, "x.json": b"{}"}
    assert made == write_charx(V3, {"assets/a.png": b"x" * 100, "x.json": b"{}"})


NAMES = [
    *("../a", "a/../../b", "/etc/x", "//host/a", "C:a", "c:/a", "a\\b", "..\\a", "./a", "a//b", "a/./b"),
    *(
        "con",
        "NUL.txt",
        "a/lpt1.png",
        "COM9",
        "a/aux",
        "a.",
        "a /b",
        "a\x1b[31m",
        "a\nb",
        "a?",
        "x" * 201,
        "a:b",
        "a|b",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_could_lead_out_is_refused(name: str) -> None:
    assert "has a name that could lead out of its folder" in refusal(archive(name))


def test_a_name_that_ends_early_is_refused() -> None:
    assert "could lead out" in refusal(archive("a_QQQ_.png").replace(b"a_QQQ_.png", b"a_\0QQ_.png"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04", "is cut off or no zip"),
        (GOOD[:-10], "is cut off or no zip"),
        (GOOD[: len(GOOD) // 2], "is cut off or no zip"),
        (GOOD[:40] + b"\xff" * 20 + GOOD[60:], "cannot be read"),
        (archive("a", change=linked), "is a link or no file"),
        (archive("a", change=bzipped), "is packed in an unknown way"),
        (encrypted(GOOD), "is encrypted"),
        (archive("a", "A"), "two entries of one name"),
        (archive("a", content=bytes(3_000_000)), "unpacks to more than 100 times its size"),
        (archive(*[f"{n}" for n in range(MAX_ENTRIES)]), f"more than {MAX_ENTRIES} entries"),
        (archive(*[f"{n}" for n in range(10_000)]), f"more than {MAX_ENTRIES} entries"),
        (cards.charx({"folder/card.json": V3}), "has no card.json at its root"),
        (cards.charx({"inner.charx": GOOD}), "has no card.json at its root"),
        (cards.charx({"card.json": b"x" * (MAX_JSON + 1)}), "unpacks to more than 100 times"),
        (cards.charx({}), "has no card.json"),
    ],
)
def test_a_damaged_or_hostile_archive_is_refused_with_a_reason(content: bytes, told: str) -> None:
    assert told in refusal(content)


def stored(*sizes: int) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_STORED) as packing:
        packing.writestr("card.json", V3)
        for number, size in enumerate(sizes):
            packing.writestr(f"assets/{number}", bytes(size))
    return made.getvalue()


def test_an_archive_unpacks_to_at_most_50_mb() -> None:
    assert len(read_charx(stored(MAX_UNPACKED // 2)).assets) == 1
    assert f"more than {MAX_UNPACKED}" in refusal(stored(MAX_UNPACKED // 2, MAX_UNPACKED // 2))


def test_a_card_has_at_most_4_mb() -> None:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_STORED) as packing:
        packing.writestr("card.json", V3.ljust(MAX_JSON + 1))
    assert f"more than {MAX_JSON} bytes" in refusal(made.getvalue())


def test_entries_that_share_their_bytes_count_each() -> None:
    """A bomb without a large ratio: 26 names in the directory, all for the same 3 MB."""
    content = stored(3 * 1024 * 1024)
    directory = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", directory + 4)
    end = content.rfind(b"PK\x05\x06")
    record = content[second:end]
    copies = b"".join(record.replace(b"assets/0", f"assets/{chr(65 + n)}".encode()) for n in range(26))
    total = content[directory:second] + copies
    tail = bytearray(content[end:])
    tail[8:12] = (27).to_bytes(2, "little") * 2
    tail[12:16] = len(total).to_bytes(4, "little")
    assert f"more than {MAX_UNPACKED}" in refusal(content[:directory] + total + bytes(tail))


def test_a_directory_that_lies_about_its_length_is_refused_before_it_is_read() -> None:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_STORED) as packing:
        for number in range(40_000):
            packing.writestr(ZipInfo(f"{number}"), b"")
    content = bytearray(made.getvalue())
    end = content.rfind(b"PK\x05\x06")
    content[end + 8 : end + 12] = b"\1\0\1\0"
    tracemalloc.start()
    try:
        assert "entries" in refusal(bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 10 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_an_archive_for_gigabytes_is_refused() -> None:
    end = GOOD.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(16)
    assert "is a zip64" in refusal(GOOD[:end] + locator + GOOD[end:])


def test_an_entry_never_unpacks_to_more_than_it_says() -> None:
    content = bytearray(cards.charx({"card.json": V3, "a": b"ab" * 500}))
    place = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 4)
    content[place + 24 : place + 28] = (10).to_bytes(4, "little")
    assert "cannot be read" in refusal(bytes(content))
