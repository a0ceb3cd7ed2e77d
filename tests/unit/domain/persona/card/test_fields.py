import msgspec
import pytest

from cozy_domain.persona.card.card import read_card
from cozy_domain.persona.card.fields import CardFields, fields_of, is_empty
from tests.fixtures import cards


def fields(**data: object) -> CardFields:
    return fields_of(read_card(cards.json({"spec": "chara_card_v3", "data": data})))


def test_every_field_that_a_persona_uses_is_read() -> None:
    read = fields_of(read_card(cards.json(cards.v3())))
    assert read.odd == ()
    assert all(getattr(read, field) for field in read.__struct_fields__ if field != "odd")
    assert (read.nickname, read.tags, read.alternate_greetings[1]) == (
        "Miri",
        ("island", "slow"),
        "Mind the lamp.",
    )


def test_what_is_absent_or_null_is_empty() -> None:
    assert fields(description=None, tags=None) == CardFields()


def test_a_value_of_another_type_counts_as_absent_and_is_named() -> None:
    read = fields(name="A", description=3, tags="a, b", alternate_greetings=["x", 1], personality={})
    assert (read.name, read.description, read.tags, read.alternate_greetings) == ("A", "", (), ())
    assert set(read.odd) == {"description", "tags", "alternate_greetings", "personality"}


@pytest.mark.parametrize(
    ("value", "empty"), [("null", True), ('""', True), ("[]", True), ("{}", True), ("0", False)]
)
def test_zero_is_not_empty(value: str, empty: bool) -> None:
    assert is_empty(msgspec.Raw(value.encode())) is empty
