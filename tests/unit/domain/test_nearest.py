"""What somebody meant who wrote a name that does not exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.nearest import nearest

COMMANDS = ("dev", "serve", "persona", "doctor", "transcribe")


@pytest.mark.parametrize(
    ("wrote", "meant"),
    [
        ("sevre", "serve"),
        ("DEV", "dev"),
        ("dve", "dev"),
        ("personas", "persona"),
        ("trans-cribe", "transcribe"),
        ("docter", "doctor"),
        ("dew", "dev"),
    ],
)
def test_a_slip_is_told_from_what_was_meant(wrote: str, meant: str) -> None:
    assert nearest(wrote, COMMANDS) == meant


@pytest.mark.parametrize("wrote", ["version", "", "start", "x", "cat"])
def test_what_is_like_nothing_is_not_guessed_at(wrote: str) -> None:
    assert nearest(wrote, COMMANDS) is None


def test_the_most_alike_of_several_is_told() -> None:
    assert nearest("onxy", ("alloy", "onyx", "fable")) == "onyx"
    assert nearest("anything", ()) is None


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, unique_by=str.casefold), st.data())
def test_a_name_that_exists_is_its_own_nearest(known: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(known))
    found = nearest(name, known)
    assert found is not None
    assert _plain(found) == _plain(name)


@given(st.text(min_size=2, max_size=12, alphabet="abcdefgh"), st.data())
def test_two_letters_that_changed_places_are_one_slip(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 2))
    slipped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    assert nearest(slipped, ("0" * 12, name)) == name


def test_a_long_word_costs_no_more_than_its_beginning() -> None:
    assert nearest("a" * 1_000_000, ("a" * 256, "b")) == "a" * 256


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
