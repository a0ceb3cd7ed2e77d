import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.persona.card.naming import id_from, is_usable
from cozy_domain.persona.persona import ID_PATTERN


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Seraphina (v2)", "seraphina-v2"),
        ("  Zoë  D'Or ", "zoe-d-or"),
        ("../../etc/passwd", "etc-passwd"),
        ("CON", "card-con"),
        ("a" * 63 + " b", "a" * 63),
        ("x" * 300, "x" * 64),
    ],
)
def test_an_id_is_made_of_what_a_name_has_of_letters(name: str, id: str) -> None:
    assert id_from(name) == id


def test_a_name_without_latin_letters_always_gives_the_same_id_and_another_name_another() -> None:
    assert re.fullmatch(r"card-[0-9a-f]{8}", id_from("小满"))
    assert id_from("小满") == id_from("小满")
    assert id_from("小满") != id_from("大满")


@given(st.text(max_size=80))
def test_every_name_gives_an_id(name: str) -> None:
    assert re.fullmatch(ID_PATTERN, id_from(name))
    assert is_usable(id_from(name))


@pytest.mark.parametrize("id", ["", "Anna", "../a", "a/b", "-a", "a" * 65, "con", "lpt1", "a\n", "аnna"])
def test_an_id_that_could_be_something_else_is_not_usable(id: str) -> None:
    assert not is_usable(id)
