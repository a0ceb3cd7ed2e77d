import pytest

from cozy_domain.persona.document import PersonaDocument
from cozy_domain.persona.persona import ToolPermissions, Variable
from cozy_domain.persona.resolve import examine
from tests.unit.domain.persona.written import document, extension, only, problems


def parent(**content: object) -> PersonaDocument:
    return document("parent", "", **content)


def child(**content: object) -> PersonaDocument:
    return document("child", "", extends="parent", **content)


def test_maps_merge_and_scalars_replace() -> None:
    persona = only(parent(prompt={"system": "Be kind.", "style": "Plain."}), child(prompt={"style": "Rich."}))
    assert (persona.prompt.system, persona.prompt.style) == ("Be kind.", "Rich.")


def test_maps_of_names_merge_inside_each_name() -> None:
    mood = {"mood": {"type": "number", "default": 1, "max": 10}}
    persona = only(parent(prompt={"variables": mood}), child(prompt={"variables": {"mood": {"default": 2}}}))
    assert persona.prompt.variables == {"mood": Variable(type="number", default=2.0, max=10)}


def test_a_null_takes_back_an_optional_value() -> None:
    assert only(parent(model={"route": "fast"}), child(model={"route": None})).model.route is None


def test_a_plain_list_replaces() -> None:
    assert only(parent(tags=["a", "b"]), child(tags=["c"])).tags == ("c",)


def test_a_list_in_a_list_is_removed_by_its_values() -> None:
    persona = only(parent(game=[[1], [2]]), child(game={"remove": [[1]]}))
    assert extension(persona, "game") == [[2]]


@pytest.mark.parametrize(
    ("edit", "tags"),
    [
        ({"append": ["c"]}, ("a", "b", "c")),
        ({"remove": ["a"]}, ("b",)),
        ({"remove": ["a"], "append": ["a"]}, ("b", "a")),
        ({"append": []}, ("a", "b")),
    ],
)
def test_a_list_is_appended_to_and_removed_from(edit: object, tags: tuple[str, ...]) -> None:
    assert only(parent(tags=["a", "b"]), child(tags=edit)).tags == tags


def test_a_mapping_in_a_list_is_removed_by_its_values_in_any_order() -> None:
    examples = [{"user": "a", "assistant": "b"}, {"user": "c", "assistant": "d"}]
    edit = {"remove": [{"assistant": "b", "user": "a"}]}
    persona = only(parent(prompt={"examples": examples}), child(prompt={"examples": edit}))
    assert [example.user for example in persona.prompt.examples] == ["c"]


def test_a_root_appends_to_the_default_of_the_schema() -> None:
    persona = only(document(memory={"read": {"scopes": {"append": ["persona"]}}}))
    assert persona.memory.read.scopes == ("owner", "persona")


def test_removing_what_is_not_there_is_a_warning() -> None:
    assert problems(parent(tags=["a"]), child(tags={"remove": ["ab"]})) == [
        "tags: has nothing to remove: the parent's list does not contain this [persona_remove]"
    ]


@pytest.mark.parametrize("edit", [{}, {"append": "b"}, {"append": ["b"], "prepend": ["c"]}])
def test_what_is_not_quite_an_edit_is_no_list(edit: object) -> None:
    assert problems(parent(tags=["a"]), child(tags=edit)) == [
        "tags: a mapping is not a list, or append and remove with a list each [persona_tags]"
    ]


def test_a_child_does_not_take_id_or_parent_of_its_parent() -> None:
    grandchild = document("grandchild", extends="child")
    assert only(parent(), child(), grandchild).id == "grandchild"


@pytest.mark.parametrize("own", ["id", "schema"])
def test_a_child_says_its_own_id_and_schema(own: str) -> None:
    written = child()
    headless = PersonaDocument(written.file, written.root.without(own))
    assert [line.partition(" [")[0] for line in problems(parent(), headless)] == [f"{own}: is missing"]


def test_a_name_is_inherited() -> None:
    assert only(parent(name="Ann"), child(name=...)).name == "Ann"


def test_extensions_merge_too() -> None:
    persona = only(parent(game={"hp": 10, "mp": [1]}), child(game={"hp": 20, "mp": {"append": [2]}}))
    assert extension(persona, "game") == {"hp": 20, "mp": [1, 2]}


def test_an_edit_without_a_list_to_edit_stays_as_it_is_in_an_extension() -> None:
    assert extension(only(document(game={"append": [1]})), "game") == {"append": [1]}


# Denials


def test_what_a_parent_denies_stays_denied_when_the_child_writes_its_own_list() -> None:
    tools = only(parent(tools={"deny": ["shell"]}), child(tools={"deny": ["mail"], "allow": ["clock"]})).tools
    assert tools.deny == ("shell", "mail")


def test_a_denial_is_told_once() -> None:
    assert only(parent(tools={"deny": ["shell"]}), child(tools={"deny": ["shell"]})).tools.deny == ("shell",)


def test_a_child_that_removes_a_denial_is_refused() -> None:
    examination = examine([parent(tools={"deny": ["shell"]}), child(tools={"deny": {"remove": ["shell"]}})])
    assert [error.code for error in examination.errors] == ["persona_tools_deny"]
    assert [persona.id for persona in examination.personas] == ["parent"]


def test_a_child_may_remove_what_nobody_denies() -> None:
    edit = {"remove": ["mail"], "append": ["net"]}
    examination = examine([parent(tools={"deny": ["shell"]}), child(tools={"deny": edit})])
    assert examination.errors == ()
    assert examination.personas[0].tools.deny == ("shell", "net")


@pytest.mark.parametrize("tools", ["none", {"deny": "shell"}])
def test_tools_written_wrongly_are_an_error_and_nothing_else(tools: object) -> None:
    (problem,) = examine([parent(tools={"deny": ["shell"]}), child(tools=tools)]).problems
    assert problem.code in {"persona_tools", "persona_tools_deny"}


# Seals

SEALED = {
    "sealed": True,
    "allow": ["clock", "mail", "shell"],
    "deny": ["shell"],
    "mcp": ["maps"],
    "approval": ["mail"],
    "limits": {"mail": 2},
    "when_tainted": ["mail"],
}


@pytest.mark.parametrize(
    "tools",
    [
        {},
        {"allow": ["clock"]},
        {"allow": []},
        {"allow": ["clock", "net"], "deny": ["net"]},
        {"mcp": []},
        {"allow": ["maps__route"]},
        {"when_tainted": []},
        {"approval": {"append": ["clock"]}},
        {"limits": {"mail": 1, "clock": 9}},
    ],
)
def test_a_child_of_a_sealed_parent_may_narrow(tools: object) -> None:
    assert examine([parent(tools=SEALED), child(tools=tools)]).errors == ()


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ({"sealed": False}, "tools.sealed: a child cannot unseal what its parent sealed"),
        ({"allow": {"append": ["net"]}}, "tools.allow[3]: 'net' is not allowed by the sealed parent"),
        ({"mcp": ["maps", "web"]}, "tools.mcp[1]: 'web' is not allowed by the sealed parent"),
        ({"allow": ["web__get"]}, "tools.allow[0]: 'web__get' is not allowed by the sealed parent"),
        (
            {"when_tainted": ["mail", "clock"]},
            "tools.when_tainted[1]: 'clock' is not allowed there by the sealed parent",
        ),
        ({"approval": []}, "tools.approval: the sealed parent has 'mail' approved first"),
        ({"limits": {"mail": 3}}, "tools.limits.mail: is above 2, the limit of the sealed parent"),
    ],
)
def test_a_child_of_a_sealed_parent_may_not_widen(tools: object, told: str) -> None:
    (error,) = examine([parent(tools=SEALED), child(tools=tools)]).errors
    assert str(error) == f"child.yaml:1:1  {told} [persona_tools_sealed]"


def test_a_seal_holds_for_grandchildren() -> None:
    grandchild = document("grandchild", extends="child", tools={"allow": ["net"]})
    examination = examine([parent(tools={"sealed": True, "allow": ["clock"]}), child(), grandchild])
    assert [error.file for error in examination.errors] == ["grandchild.yaml"]


def test_a_seal_that_a_child_breaks_is_broken_for_grandchildren_too() -> None:
    breaker = child(tools={"sealed": False, "allow": ["net"]})
    examination = examine([parent(tools={"sealed": True}), breaker, document("grandchild", extends="child")])
    assert [persona.id for persona in examination.personas] == ["parent"]
    assert {error.file for error in examination.errors} == {"child.yaml"}


def test_a_child_of_an_open_parent_may_allow_more() -> None:
    assert only(parent(tools={"allow": ["a"]}), child(tools={"allow": ["a", "b"]})).tools.allow == ("a", "b")


@pytest.mark.parametrize("tools", [{"sealed": "yes"}, {"sealed": True, "limits": {"a": 2**70}}])
def test_a_parent_with_mistakes_is_reported_once(tools: object) -> None:
    wrong = {"parent.yaml"}
    assert {
        error.file for error in examine([parent(tools=tools), child(tools={"allow": ["x"]})]).errors
    } == wrong


def test_usable_is_allowed_and_not_denied() -> None:
    assert ToolPermissions(allow=("a", "b"), deny=("b", "c")).usable == {"a"}
