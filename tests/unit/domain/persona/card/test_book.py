from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cozy_domain.persona.card.book import FoundLore, book_with, lore_of
from cozy_domain.persona.persona import Lore, LoreEntry
from tests.fixtures.cards import book, entry


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def found(*entries: dict[str, Any], **fields: Any) -> FoundLore:
    return lore_of(raw(book(*entries, **fields)))


def only(content: str, *keys: str, **fields: Any) -> LoreEntry:
    result = found(entry(content, *keys, **fields))
    (one,) = result.lore.entries
    return one


def written(was: Lore, now: Lore, *entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(book_with(raw(book(*entries, **fields)), was, now))
    return made


@pytest.mark.parametrize("value", [None, "null"])
def test_without_a_book_there_is_no_lore(value: str | None) -> None:
    assert lore_of(None if value is None else msgspec.Raw(value.encode())) == FoundLore()


@pytest.mark.parametrize("value", [[], "x", {"entries": {"0": {}}}, {"entries": 3}])
def test_what_is_no_book_is_kept_and_not_used(value: object) -> None:
    assert lore_of(raw(value)) == FoundLore(notes=("character_book is no lorebook; it is kept, not used",))


def test_an_entry_is_added_when_a_key_is_said_or_always() -> None:
    assert only("<BOT> swims.", "sea", " ", "") == LoreEntry("card-0001", "{{char}} swims.", keys=("sea",))
    assert only("x", constant=True).constant
    assert not only("x", "a", enabled=False).enabled


def test_entries_stand_in_the_order_that_the_book_says() -> None:
    result = found(
        entry("b", "k", insertion_order=2),
        entry("a", "k", insertion_order=-1.5),
        entry("c", "k", insertion_order=2),
    )
    assert [it.text for it in result.lore.entries] == ["a", "b", "c"]
    assert [it.id for it in result.lore.entries] == ["card-0002", "card-0001", "card-0003"]


@pytest.mark.parametrize(
    ("fields", "lore"),
    [
        ({}, Lore()),
        ({"scan_depth": 7, "token_budget": 300, "recursive_scanning": True}, Lore((), 7, 3, 300)),
        ({"scan_depth": 0, "token_budget": 0, "recursive_scanning": False}, Lore()),
        ({"scan_depth": 51, "token_budget": -3, "recursive_scanning": "yes"}, Lore()),
        ({"scan_depth": "4", "token_budget": None}, Lore()),
        ({"scan_depth": 3.0, "token_budget": 1e300}, Lore(scan_depth=3)),
    ],
)
def test_depth_budget_and_recursion_are_those_of_the_book_as_far_as_they_can_be(
    fields: dict[str, Any], lore: Lore
) -> None:
    assert found(**fields).lore == lore


def test_regular_expressions_are_never_run() -> None:
    result = found(entry("x", "(a+)+$", use_regex=True), entry("y", "k"))
    assert [it.text for it in result.lore.entries] == ["y"]
    assert result.notes == (
        "lorebook entries that have regular expressions as keys, which are never run; kept, not used: 1",
    )


def test_an_entry_without_text_adds_nothing() -> None:
    assert found(entry(" \n", "k"), entry("@@depth 3\n", "k")).lore.entries == ()


def test_an_entry_that_cannot_be_read_is_told() -> None:
    result = found({"keys": "a,b", "content": "x"}, entry("y", "k"))
    assert [it.id for it in result.lore.entries] == ["card-0002"]
    assert result.notes == ("lorebook entries that cannot be read; kept, not used: 1",)


def test_a_second_key_is_not_asked_for_and_that_is_told() -> None:
    selective = {"selective": True, "secondary_keys": ["b"]}
    assert found(entry("x", "a", **selective)).notes == (
        "lorebook entries that ask for a second key too; here one key is enough: 1",
    )
    assert found(entry("x", "a", selective=False, secondary_keys=["b"])).notes == ()
    assert found(entry("x", "a", selective=True, secondary_keys=[])).notes == ()


@pytest.mark.parametrize(
    ("content", "text", "constant", "enabled", "told"),
    [
        ("@@activate\nHere.", "Here.", True, True, False),
        ("@@dont_activate\n\nHere.", "Here.", False, False, False),
        ("@@dont_activate\n@@activate\nHere.", "Here.", True, True, False),
        ("@@depth 3\n@@@instruct_depth 4\nHere.\n@@role user", "Here.\n@@role user", False, True, True),
        ("Mail me @@home", "Mail me @@home", False, True, False),
    ],
)
def test_decorators_are_taken_out_of_the_text(
    content: str, text: str, constant: bool, enabled: bool, told: bool
) -> None:
    one = only(content, "k")
    assert (one.text, one.constant, one.enabled) == (text, constant, enabled)
    assert bool(found(entry(content, "k")).notes) is told


def test_only_what_changed_is_written_back() -> None:
    entries = (
        entry("one", "a", comment="kept"),
        entry("two", "b"),
        entry("re", "c", use_regex=True),
        entry("four", "d"),
    )
    was = found(*entries).lore
    changed = replace(was.entries[0], text="uno", keys=("x",), constant=True, enabled=False)
    now = replace(was, entries=(changed, was.entries[2], LoreEntry("own", "five", keys=("e",))))
    made = written(was, now, *entries)
    first, regex, fourth, fresh = made["entries"]
    assert first == {**entries[0], "content": "uno", "keys": ["x"], "constant": True, "enabled": False}
    assert (regex, fourth) == (entries[2], entries[3])
    assert (fresh["content"], fresh["keys"], fresh["name"], fresh["insertion_order"]) == (
        "five",
        ["e"],
        "own",
        3,
    )
    assert {key: made[key] for key in made if key != "entries"} == {
        "name": "Island",
        "extensions": {"tides": [1, 2.5, None]},
    }


def test_depth_budget_and_recursion_are_written_back_when_they_changed() -> None:
    made = written(Lore(), Lore(scan_depth=9, budget=5, recursion=1), scan_depth=4)
    assert (made["scan_depth"], made["token_budget"], made["recursive_scanning"]) == (9, 5, True)


def test_a_book_is_made_where_there_was_none_that_could_be_read() -> None:
    now = Lore((LoreEntry("a", "b", constant=True),))
    for old in (None, raw("no book")):
        made = msgspec.json.decode(book_with(old, Lore(), now))
        assert made["extensions"] == {}
        assert lore_of(raw(made)).lore == replace(now, entries=(replace(now.entries[0], id="card-0001"),))


def test_a_large_book_is_read_and_written_in_reasonable_time() -> None:
    entries = [entry("@@depth 1\n" * 20 + "text", f"key {n}") for n in range(3_000)]
    was = found(*entries).lore
    assert len(was.entries) == 3_000
    assert len(written(was, replace(was, scan_depth=5), *entries)["entries"]) == 3_000
