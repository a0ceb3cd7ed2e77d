from itertools import permutations
from time import monotonic

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_domain.ids import PersonaId
from cozy_domain.persona.document import InvalidPersonaError, PersonaDocument
from cozy_domain.persona.persona import Persona, PublishedPersona
from cozy_domain.persona.resolve import (
    as_document,
    canonical,
    examine,
    fingerprint,
    pinned_parents,
    resolve,
    restore,
)
from tests.unit.domain.persona.written import JSON, document, extension, found, only, problems


def lineage(length: int) -> list[PersonaDocument]:
    """``p0`` and its descendants, each the child of the one before."""
    return [document(f"p{at}", extends=f"p{at - 1}" if at else ...) for at in range(length)]


def published(persona: Persona, revision: int) -> PublishedPersona:
    return PublishedPersona(persona, revision, fingerprint(canonical(persona)), 0)


def test_personas_come_by_id() -> None:
    assert [persona.id for persona in resolve([document("b"), document("a")])] == ["a", "b"]


def test_a_document_of_nothing_but_its_name_has_every_default() -> None:
    assert only(document("anna", name="Anna")) == Persona(id=PersonaId("anna"), name="Anna")


def test_the_resolved_document_is_compact_sorted_and_whole() -> None:
    resolved = canonical(only(document(x={"b": 1, "a": [1.0, True]})))
    plain = msgspec.json.decode(resolved)
    assert resolved == msgspec.json.encode(plain, order="sorted")
    assert plain["schema"] == "persona/1"
    assert plain["extensions"] == {"x": {"a": [1.0, True], "b": 1}}
    assert plain["budgets"]["reply"] == {"floor": 256, "ceiling": 4096, "priority": 50}


def test_how_an_extension_is_spaced_does_not_change_the_resolved_document() -> None:
    one = Persona(id=PersonaId("a"), name="A", extensions={"x": msgspec.Raw(b'{"b":1,"a":2}')})
    other = Persona(id=PersonaId("a"), name="A", extensions={"x": msgspec.Raw(b'{ "a": 2, "b": 1 }')})
    assert canonical(one) == canonical(other)


def test_a_resolved_document_gives_its_persona_back() -> None:
    persona = only(document(tools={"allow": ["clock"]}, x=[1]))
    assert restore(canonical(persona)) == persona


def test_a_document_of_another_schema_gives_no_persona_back() -> None:
    with pytest.raises(msgspec.ValidationError):
        restore(b'{"schema":"persona/1","id":"anna"}')


def test_a_fingerprint_is_a_sha_256_in_hex() -> None:
    assert fingerprint(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_resolving_raises_with_every_error_and_no_warning() -> None:
    documents = [document("a", name=1, locale=2), document("b", temprature=1), document("c", name=...)]
    with pytest.raises(InvalidPersonaError) as raised:
        resolve(documents)
    assert [(problem.file, problem.field) for problem in raised.value.problems] == [
        ("a.yaml", "locale"),
        ("a.yaml", "name"),
        ("c.yaml", "name"),
    ]


def test_examining_gives_the_personas_that_have_no_error() -> None:
    documents = [document("a", name=1), document("b"), document("c", budgets={"reply": {"floor": 9_999}})]
    assert [persona.id for persona in examine(documents).personas] == ["b"]


def test_two_documents_under_one_id_are_both_told() -> None:
    assert problems(
        document("a", file="x.yaml"), document("a", file="y.yaml"), document("", file="z.yaml")
    ) == [
        "id: 'a' is also the id in y.yaml [persona_id]",
        "id: 'a' is also the id in x.yaml [persona_id]",
        "id: '' is not 1 to 64 lower-case letters, digits, - and _, the first a letter or digit [persona_id]",
    ]


def test_two_documents_without_an_id_are_not_called_the_same() -> None:
    told = problems(document("", file="y"), document("", file="z"))
    assert ["is also" in line for line in told] == [False, False]


# Parents


@pytest.mark.parametrize("extends", ["p", {"id": "p"}, {"id": "p", "revision": None}])
def test_a_parent_is_named_by_id(extends: object) -> None:
    assert only(document("p", tags=["x"]), document("c", extends=extends)).tags == ("x",)


def test_no_parent_may_be_written_as_null() -> None:
    assert problems(document("c", extends=None)) == []


@pytest.mark.parametrize(
    ("extends", "field"),
    [
        (7, "extends"),
        ({}, "extends.id"),
        ({"id": 7}, "extends.id"),
        ({"id": "p", "revision": "two"}, "extends.revision"),
        ({"id": "p", "revision": 1.5}, "extends.revision"),
    ],
)
def test_a_parent_written_wrongly_is_an_error(extends: object, field: str) -> None:
    (problem,) = found(document("p"), document("c", extends=extends))
    assert problem.field == field


def test_an_unknown_parent_is_told_with_the_nearest() -> None:
    assert problems(document("anna"), document("c", extends="ana")) == [
        "extends: persona 'ana' does not exist [persona_extends]  did you mean anna?"
    ]


def test_what_else_is_wrong_with_an_orphan_is_told_too() -> None:
    assert len(problems(document("c", extends="nobody", locale=1))) == 2


def test_four_ancestors_are_allowed() -> None:
    assert len(resolve(lineage(5))) == 5


def test_a_fifth_ancestor_is_one_too_many() -> None:
    assert problems(*lineage(6)) == ["extends: has more than 4 ancestors [persona_extends]"]


def test_a_published_ancestor_counts_too() -> None:
    root = document("p0", extends={"id": "old", "revision": 1})
    old = published(only(document("old")), 1)
    assert examine([root, *lineage(5)[1:4]], [old]).errors == ()
    assert [error.file for error in examine([root, *lineage(5)[1:]], [old]).errors] == ["p4.yaml"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_is_told_where_it_closes(length: int) -> None:
    ids = [f"p{at}" for at in range(length)]
    documents = [document(id, extends=ids[at - 1]) for at, id in enumerate(ids)]
    errors = examine([*documents, document("outside", extends="p0")]).errors
    assert {error.file for error in errors} == {f"{id}.yaml" for id in ids}
    assert all(error.message.startswith("goes in a circle: p") for error in errors)


def test_a_mistake_of_a_parent_is_told_once_though_its_children_move_it() -> None:
    whole = {"user": "x", "assistant": "y"}
    listed = {"examples": [whole, {"user": "a"}, {"user": "b", "assistant": "c", "assistent": "d"}]}
    children = [document(f"c{at}", extends="p", prompt={"examples": {"remove": [whole]}}) for at in range(3)]
    told = found(document("p", prompt=listed, locale=1), *children)
    assert [problem.code for problem in told] == [
        "persona_locale",
        "persona_prompt_examples_assistant",
        "persona_unknown_key",
    ]


# Parents as of a revision


def test_a_parent_as_of_a_revision_is_the_published_one() -> None:
    old = published(only(document("p", tags=["old"])), 3)
    child = document("c", extends={"id": "p", "revision": 3})
    personas = resolve([document("p", tags=["new"]), child], [old])
    assert [persona.tags for persona in personas] == [("old",), ("new",)]


def test_a_persona_may_extend_its_own_past() -> None:
    old = published(only(document("p", tags=["old"], game={"hp": 1})), 1)
    (persona,) = resolve([document("p", extends={"id": "p", "revision": 1}, name="New")], [old])
    assert (persona.name, persona.tags, extension(persona, "game")) == ("New", ("old",), {"hp": 1})


def test_a_revision_that_never_was_is_an_error() -> None:
    assert problems(document("p"), document("c", extends={"id": "p", "revision": 9})) == [
        "extends: revision 9 of 'p' was never published [persona_extends]"
    ]


def test_the_seal_of_a_published_parent_holds() -> None:
    old = published(only(document("p", tools={"sealed": True})), 1)
    child = document("c", extends={"id": "p", "revision": 1}, tools={"allow": ["x"]})
    assert [error.code for error in examine([child], [old]).errors] == ["persona_tools_sealed"]


def test_the_revisions_that_are_needed_are_named_once() -> None:
    documents = [
        document("a", extends={"id": "p", "revision": 2}),
        document("b", extends={"id": "p", "revision": 2}),
        document("c", extends={"id": "o", "revision": 1}),
        document("d", extends="p"),
        document("e"),
    ]
    assert pinned_parents(documents) == (("o", 1), ("p", 2))


def test_what_fits_a_file_is_examined_before_long() -> None:
    many = [f"t{number}" for number in range(5_000)]
    maps = dict.fromkeys(many, 1)
    parent = document(
        "p", tools={"sealed": True, "allow": many, "deny": many, "mcp": many, "approval": many}, x=maps
    )
    edit = {"remove": many[1:], "append": many}
    child = document(
        "c", extends="p", x=maps, tools={"allow": edit, "deny": many, "mcp": many, "approval": edit}
    )
    stray = document("s", "", **maps)
    before = monotonic()
    found(parent, child, stray)
    assert monotonic() - before < 30  # comparing each with each takes minutes


# Properties

names = st.sampled_from(["clock", "mail", "shell", "net"])
tool_lists = st.lists(names, unique=True, max_size=4)
edits = tool_lists | st.fixed_dictionaries({}, optional={"append": tool_lists, "remove": tool_lists})
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
) | st.floats(allow_nan=False, allow_infinity=False)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc."), inner)
)
unknown = st.dictionaries(st.text("qxz", min_size=1, max_size=3).map("x_{}".format), values, max_size=3)


def tools(lists: st.SearchStrategy[object]) -> st.SearchStrategy[JSON]:
    optional = {"allow": lists, "deny": lists, "approval": lists, "sealed": st.booleans()}
    return st.fixed_dictionaries({}, optional=optional)


def bodies(lists: st.SearchStrategy[object]) -> st.SearchStrategy[JSON]:
    """Valid documents by themselves, with unknown keys at two levels."""
    prompt = st.tuples(unknown, st.fixed_dictionaries({}, optional={"system": st.text("ab ")})).map(
        lambda parts: {**parts[0], **parts[1]}
    )
    known = st.fixed_dictionaries({}, optional={"tools": tools(lists), "prompt": prompt, "tags": lists})
    return st.tuples(unknown, known).map(lambda parts: {**parts[0], **parts[1]})


families = st.lists(bodies(edits), max_size=4).flatmap(
    lambda children: bodies(tool_lists).map(
        lambda root: [
            document(f"p{at}", **{**body, **({"extends": f"p{at - 1}"} if at else {})})  # type: ignore[arg-type]
            for at, body in enumerate([root, *children])
        ]
    )
)


@settings(max_examples=40, deadline=None)
@given(families)
def test_resolving_what_was_resolved_changes_nothing(family: list[PersonaDocument]) -> None:
    personas = examine(family).personas
    again = resolve([as_document(persona) for persona in personas])
    assert [canonical(persona) for persona in again] == [canonical(persona) for persona in personas]
    assert again == personas


@settings(max_examples=40, deadline=None)
@given(families)
def test_no_descendant_gains_a_denied_tool_or_one_that_a_sealed_ancestor_does_not_allow(
    family: list[PersonaDocument],
) -> None:
    personas = {persona.id: persona for persona in examine(family).personas}
    line = [personas[PersonaId(one.id)] for one in family if one.id in personas]
    for at, persona in enumerate(line):
        for ancestor in line[:at]:
            assert not persona.tools.usable & set(ancestor.tools.deny)
            assert not ancestor.tools.sealed or persona.tools.usable <= ancestor.tools.usable
            assert not ancestor.tools.sealed or persona.tools.sealed


@settings(max_examples=40, deadline=None)
@given(bodies(tool_lists))
def test_unknown_keys_survive_whatever_they_hold(body: JSON) -> None:
    (persona,) = resolve([document("a", **body)])  # type: ignore[arg-type]
    (again,) = resolve([as_document(persona)])
    prompt = body.get("prompt", {})
    assert isinstance(prompt, dict)
    kept = {key: value for key, value in body.items() if key.startswith("x_")}
    kept |= {f"prompt.{key}": value for key, value in prompt.items() if key.startswith("x_")}
    assert {key: extension(again, key) for key in again.extensions} == kept


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_order_of_documents_changes_nothing(data: st.DataObject) -> None:
    family = data.draw(families)
    first = examine(family)
    second = examine(data.draw(st.permutations(family)))
    assert second == first
    hashes = [[fingerprint(canonical(p)) for p in each.personas] for each in (first, second)]
    assert hashes[0] == hashes[1]


def test_the_order_of_wrong_documents_changes_nothing() -> None:
    wrong = [
        document("a", file="1", extends="b"),
        document("a", file="2", name=1),
        document("b", file="3", extends="a"),
        document("c", file="4", extends="a", zodiac=1, temprature=2),
    ]
    assert len({examine(order).problems for order in permutations(wrong)}) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"tags": ["a"]}, {"tags": ["a"], "description": ""}, True),
        ({"voice": {"speed": 1}}, {"voice": {"speed": 1.0}}, True),
        ({"tags": ["a"]}, {"tags": ["b"]}, False),
        ({"x": 1}, {"x": 2}, False),
    ],
)
def test_the_hash_is_of_what_was_meant_and_not_of_how_it_was_written(
    one: JSON, other: JSON, same: bool
) -> None:
    hashes = [fingerprint(canonical(only(document(**body)))) for body in (one, other)]  # type: ignore[arg-type]
    assert (hashes[0] == hashes[1]) is same
