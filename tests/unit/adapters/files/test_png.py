"""Cards in the chunks of pictures."""

import tracemalloc
import zlib

import msgspec
import pytest

from cozy_adapters.files.png import MAX_CHUNKS, blank, chunks, read_png, with_cards
from cozy_domain.persona.card.card import MAX_JSON, CardError
from tests.fixtures import cards

V2, V3 = cards.json(cards.v2()), cards.json(cards.v3())
GOOD = cards.png(cards.text("ccv3", V3))


def refusal(content: bytes) -> str:
    with pytest.raises(CardError) as raised:
        read_png(content)
    assert raised.value.hint
    return raised.value.message


def test_a_card_is_read_from_its_chunk() -> None:
    assert read_png(cards.png(cards.text("chara", V2))).json == V2
    assert read_png(GOOD).json == V3


@pytest.mark.parametrize(
    "chunk",
    [
        cards.packed("chara", V2),
        cards.international("chara", V2, compressed=True),
        cards.international("chara", V2, compressed=False),
    ],
)
def test_a_card_in_another_kind_of_text_chunk_is_read_too(chunk: bytes) -> None:
    assert read_png(cards.png(chunk)).json == V2


def test_v3_wins_over_v2_wherever_it_stands_and_the_others_are_told() -> None:
    read = read_png(cards.png(cards.text("chara", V2), cards.text("ccv3", V3), cards.text("ccv3", b"{}")))
    assert read.json == V3
    assert read.ignored == ("a chara chunk beside ccv3", "a ccv3 chunk beside ccv3")


def test_base64_may_be_broken_into_lines() -> None:
    folded = cards.chunk(b"tEXt", b"chara\0" + msgspec.json.encode(V2).strip(b'"').replace(b"e", b"e\n"))
    assert read_png(cards.png(folded)).json == V2


def test_what_follows_the_end_of_the_picture_counts_for_nothing() -> None:
    assert read_png(GOOD + b"PK\x03\x04 and more").json == V3


def test_other_chunks_are_no_card() -> None:
    others = (
        cards.text("Title", V2),
        cards.chunk(b"tEXt", b"chara" + b"x" * 200),
        cards.chunk(b"tEXt", b"\0chara"),
    )
    assert "holds no card" in refusal(cards.png(*others))
    assert read_png(cards.png(*others, cards.text("chara", V2))).json == V2


BOMB = zlib.compress(bytes(100 * 1024 * 1024), 9)
NOISE = cards.text("chara", V2)[8:-4]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a PNG"),
        (b"GIF89a", "is not a PNG"),
        (cards.SIGNATURE, "ends in the middle of a chunk (byte 8)"),
        (GOOD[:-1], "ends in the middle of a chunk"),
        (GOOD[:60], "ends in the middle of a chunk"),
        (cards.png(cards.text("chara", V2), end=b""), "ends in the middle of a chunk"),
        (cards.SIGNATURE + b"\xff\xff\xff\xffIHDR", "ends in the middle of a chunk (byte 8)"),
        (GOOD.replace(b"ccv3", b"ccv2"), "wrong checksum (byte 33)"),
        (GOOD[:-1] + b"\0", "wrong checksum"),
        (cards.png(), "holds no card"),
        (cards.png(cards.chunk(b"tEXt", b"chara\0%%%%")), "is not base64"),
        (cards.png(cards.chunk(b"tEXt", b"chara\0abc")), "is not base64"),
        (cards.png(cards.chunk(b"zTXt", b"chara\0\0nothing packed")), "cannot be unpacked"),
        (cards.png(cards.chunk(b"zTXt", b"chara\0")), "ends too early"),
        (cards.png(cards.chunk(b"zTXt", b"chara\0\0" + zlib.compress(NOISE)[:-9])), "ends too early"),
        (cards.png(cards.chunk(b"zTXt", b"chara\0\0" + BOMB)), "100 times its size"),
        (cards.png(cards.chunk(b"iTXt", b"ccv3\0\1\0en\0\0" + BOMB)), "100 times its size"),
        (
            cards.png(cards.chunk(b"tEXt", b"chara\0" + b"QUFB" * (MAX_JSON // 3 + 2))),
            "more than 4194304 bytes",
        ),
        (cards.png(*[cards.chunk(b"tEXt", b"a\0")] * MAX_CHUNKS), "more than 20000 chunks"),
    ],
)
def test_a_damaged_or_hostile_picture_is_refused_with_a_reason(content: bytes, told: str) -> None:
    assert told in refusal(content)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = cards.png(cards.chunk(b"zTXt", b"chara\0\0" + BOMB))
    tracemalloc.start()
    try:
        refusal(bomb)
        assert tracemalloc.get_traced_memory()[1] < 30 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_every_single_damaged_byte_of_a_picture_is_found() -> None:
    small = cards.png(cards.text("chara", b"{}"))
    for place in range(len(small)):
        damaged = bytearray(small)
        damaged[place] ^= 0x20
        with pytest.raises(CardError):
            read_png(bytes(damaged))


def test_cards_take_the_place_of_those_before_and_the_picture_stays() -> None:
    picture = cards.png(cards.text("Title", b"x"), cards.text("chara", V2), cards.packed("ccv3", V2))
    made = with_cards(picture, {"ccv3": V3, "chara": V2})
    assert read_png(made).json == V3
    assert [it.keyword for it in chunks(made) if it.keyword] == ["Title", "ccv3", "chara"]
    assert [it for it in chunks(made) if not it.keyword] == [
        it for it in chunks(cards.png()) if not it.keyword
    ]
    assert with_cards(made, {}) == cards.png(cards.text("Title", b"x"))


def test_a_card_without_a_picture_gets_a_point() -> None:
    kinds = [chunk.type for chunk in chunks(blank())]
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    header, points, _ = chunks(blank())
    assert header.content[:9] == b"\0\0\0\1\0\0\0\1\x08"
    assert len(zlib.decompress(points.content)) == 2


def test_only_a_whole_png_can_carry_a_card() -> None:
    for picture in (b"\xff\xd8\xff", cards.png()[:-4]):
        with pytest.raises(CardError):
            with_cards(picture, {"chara": V2})
