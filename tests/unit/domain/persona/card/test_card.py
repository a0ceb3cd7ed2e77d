import json

import pytest

from cozy_domain.persona.card.card import MAX_DEPTH, MAX_JSON, Card, CardError, named, read_card
from tests.fixtures import cards


def refusal(content: bytes) -> str:
    with pytest.raises(CardError) as raised:
        read_card(content)
    assert raised.value.hint
    assert raised.value.code == "card_invalid"
    return raised.value.message


def nested(levels: int) -> bytes:
    """A V3 card whose innermost list is ``levels`` deep, the card itself counted."""
    return (
        b'{"spec":"chara_card_v3","data":{"name":"A","x":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}}"
    )


@pytest.mark.parametrize(("card", "version"), [(cards.v1(), 1), (cards.v2(), 2), (cards.v3(), 3)])
def test_a_card_of_each_version_is_read(card: dict[str, object], version: int) -> None:
    read = read_card(cards.json(card))
    assert (read.version, named(read.data["name"])) == (version, "Mira")


def test_a_card_that_forgot_its_spec_is_v2() -> None:
    assert read_card(cards.json({"data": cards.data()})).version == 2


def test_a_byte_order_mark_is_no_part_of_a_card() -> None:
    assert read_card(b"\xef\xbb\xbf" + cards.json(cards.v2())).version == 2


def test_every_value_is_kept_as_it_is_written() -> None:
    card = read_card(
        b'{"spec":"chara_card_v2","data":{"name":"A","x":[1.50,  12345678901234567890123]},"y":1E2}'
    )
    assert bytes(card.data["x"]) == b"[1.50,  12345678901234567890123]"
    assert bytes(card.root["y"]) == b"1E2"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"spec":"chara_card_v2"', "is not JSON"),
        (b'{"spec":"chara_card_v2","data":{"name":"\xff"}}', "is not JSON"),
        (b'{"spec":"chara_card_v2","data":{"name":"\\ud800"}}', "is not JSON"),
        (b'{"spec":"chara_card_v2","data":{"name":NaN}}', "is not JSON"),
        (b'{"spec":"chara_card_v2","data":{"name":"A","x":1e400}}', "is not JSON"),
        (b'{"spec":"chara_card_v2","data":{"name":"A\\u0000"}}', "data.name holds a NUL"),
        (b'{"spec":"chara_card_v2","data":{"x":{"a\\u0000":1}}}', "data.x holds a NUL character"),
        (b'{"\\u0000":1}', "the card holds a NUL character"),
        (b'{"spec":"chara_card_v2","data":{"x":[{"y":["\\u0000"]}]}}', "data.x[].y[] holds a NUL"),
        (b'{"spec":"chara_card_v2","data":{"x":{"y":{"z":"\\u0000"}}}}', "data.x.y holds a NUL"),
        (b'{"spec":"lorebook_v3","data":{"entries":[]}}', "is a lorebook without a character"),
        (b'{"spec":"other","data":{}}', "spec is not known: 'other'"),
        (b'{"spec":2,"data":{}}', "spec is not known: '2'"),
        (b'{"spec":"chara_card_v3"}', "has no data object"),
        (b'{"spec":"chara_card_v3","data":[]}', "has no data object"),
        (b'{"name":"A"}', "has no data object"),
        (b'{"spec":"\\u001b[31m\\u202e","data":{}}', "spec is not known"),
    ],
)
def test_what_is_no_card_is_refused_with_a_reason(content: bytes, told: str) -> None:
    message = refusal(content)
    assert told in message
    assert message.isprintable()


def test_a_card_may_be_nested_64_levels() -> None:
    assert isinstance(read_card(nested(MAX_DEPTH)), Card)
    assert refusal(nested(MAX_DEPTH + 1)) == "the card is nested deeper than 64 levels"
    assert refusal(nested(100_000)) == "the card is nested deeper than 64 levels"


def test_a_card_has_at_most_4_mb_of_json() -> None:
    padded = cards.json(cards.v2()).ljust(MAX_JSON)
    assert read_card(padded).version == 2
    assert "more than 4194304" in refusal(padded + b" ")


@pytest.mark.parametrize("value", [None, 1, ["a"]])
def test_what_is_no_text_names_nothing(value: object) -> None:
    card = read_card(json.dumps({"spec": "chara_card_v2", "data": {"x": value}}).encode())
    assert named(card.data["x"]) == ""
    assert named(card.data.get("y")) == ""
