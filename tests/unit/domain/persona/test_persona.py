from typing import Any

import pytest

from tests.unit.domain.persona.written import document, found, problems


def test_a_floor_may_not_be_above_its_ceiling() -> None:
    assert problems(document(budgets={"memory": {"floor": 9, "ceiling": 8}})) == [
        "budgets.memory: floor 9 is above ceiling 8 [persona_budgets]"
    ]


@pytest.mark.parametrize("budget", [{"floor": 8, "ceiling": 8}, {"floor": 9_999, "ceiling": None}])
def test_a_floor_up_to_its_ceiling_is_fine(budget: object) -> None:
    assert problems(document(budgets={"memory": budget})) == []


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ({"type": "number", "default": "1"}, "is not a number"),
        ({"type": "number", "default": True}, "is not a number"),
        ({"type": "boolean", "default": 1}, "is not a boolean"),
        ({"default": 1}, "is not a string"),
        ({"default": "abc", "max": 2}, "is longer than 2 characters"),
    ],
)
def test_a_default_is_of_its_variables_type_and_length(variable: object, told: str) -> None:
    assert problems(document(prompt={"variables": {"v": variable}})) == [
        f"prompt.variables.v.default: {told} [persona_prompt_variables_default]"
    ]


@pytest.mark.parametrize(
    "variable",
    [
        {"type": "number", "default": 1},
        {"type": "boolean", "default": False},
        {"default": "ab", "max": 2},
        {"type": "number"},
    ],
)
def test_a_fitting_default_or_none_is_fine(variable: object) -> None:
    assert problems(document(prompt={"variables": {"v": variable}})) == []


def test_lore_entries_have_ids_of_their_own() -> None:
    entries = [
        {"id": "sea", "text": "Blue.", "keys": ["sea"]},
        {"id": "sea", "text": "Grey.", "constant": True},
    ]
    assert problems(document(knowledge={"lore": {"entries": entries}})) == [
        "knowledge.lore.entries[1].id: 'sea' is the id of an earlier entry [persona_lore_id]"
    ]


def test_lore_that_nothing_calls_up_is_a_warning() -> None:
    (warning,) = found(document(knowledge={"lore": {"entries": [{"id": "sea", "text": "Blue."}]}}))
    assert (warning.field, warning.severity) == ("knowledge.lore.entries[0]", "warning")


@pytest.mark.parametrize("how", [{"enabled": False}, {"constant": True}, {"keys": ["sea"]}])
def test_lore_that_is_called_up_or_meant_to_rest_is_fine(how: dict[str, object]) -> None:
    assert found(document(knowledge={"lore": {"entries": [{"id": "sea", "text": "Blue.", **how}]}})) == ()


def test_a_choice_of_types_of_facts_is_a_warning_as_long_as_facts_have_none() -> None:
    (warning,) = found(document(memory={"read": {"types": ["taste"]}}))
    assert (warning.field, warning.severity) == ("memory.read.types", "warning")
    assert "no effect yet" in warning.message
    assert found(document(memory={"read": {"types": []}})) == ()


def test_an_allowed_tool_that_is_denied_is_a_warning() -> None:
    (warning,) = found(document(tools={"allow": ["clock", "mail"], "deny": ["mail"]}))
    assert (warning.field, warning.code, warning.severity) == (
        "tools.allow[1]",
        "persona_tools_denied",
        "warning",
    )


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"prompt": {"system": "Ask {{ whoo }}."}}, "prompt.system"),
        ({"prompt": {"style": "{{whoo}} {{whoo}}"}}, "prompt.style"),
        ({"prompt": {"post_history": "{{whoo}}"}}, "prompt.post_history"),
        ({"prompt": {"openings": ["Hi!", "{{whoo}}?"]}}, "prompt.openings[1]"),
        ({"prompt": {"examples": [{"user": "a", "assistant": "{{whoo}}"}]}}, "prompt.examples[0].assistant"),
        (
            {"knowledge": {"lore": {"entries": [{"id": "a", "keys": ["a"], "text": "{{whoo}}"}]}}},
            "knowledge.lore.entries[0].text",
        ),
    ],
)
def test_a_variable_that_nobody_declared_is_a_warning(content: dict[str, Any], field: str) -> None:
    declared = {**content, "prompt": {**content.get("prompt", {}), "variables": {"who": {"default": "x"}}}}
    (warning,) = found(document(**declared))
    assert (warning.field, warning.code, warning.severity) == (field, "persona_variable", "warning")
    assert warning.message == "'{{whoo}}' stays as it is: no variable has that name"
    assert warning.suggestion == "{{who}}"


@pytest.mark.parametrize("text", ["{{who}}", "{{ char }} and {{User}}", "{who}", "{{}}"])
def test_declared_and_usual_names_are_fine(text: str) -> None:
    assert problems(document(prompt={"system": text, "variables": {"who": {"default": "x"}}})) == []
