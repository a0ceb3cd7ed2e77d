import msgspec
import pytest

from cozy_domain.errors import ConfigError
from cozy_domain.persona.document import (
    Entry,
    InvalidPersonaError,
    ListNode,
    MapNode,
    Mark,
    PersonaDocument,
    Problem,
    ScalarNode,
    from_json,
    to_json,
)

HERE = Mark("a.yaml", 3, 7)


def test_a_problem_is_one_line_for_people() -> None:
    problem = Problem(
        "personas/anna.yaml", 17, 9, "voice.speed", "3.0 is above 2.0", "persona_voice_speed", "1.3"
    )
    assert str(problem) == (
        "personas/anna.yaml:17:9  voice.speed: 3.0 is above 2.0 [persona_voice_speed]  did you mean 1.3?"
    )


def test_a_problem_of_a_whole_file_names_no_field() -> None:
    assert (
        str(Problem("a.yaml", 1, 1, "", "is empty", "persona_yaml")) == "a.yaml:1:1  is empty [persona_yaml]"
    )


def test_the_error_is_a_line_for_each_problem() -> None:
    problems = (Problem("a", 1, 1, "", "is bad", "x"), Problem("b", 2, 2, "", "is worse", "y"))
    error = InvalidPersonaError(problems)
    assert isinstance(error, ConfigError)
    assert (str(error), error.code) == ("a:1:1  is bad [x]\nb:2:2  is worse [y]", "persona_invalid")
    assert error.problems == problems


def test_json_comes_back_as_it_was_with_its_keys_sorted() -> None:
    document = b'{"b":[1,2.5,"x",null],"a":{"d":true,"c":{}}}'
    assert to_json(from_json(document, "a")) == b'{"a":{"c":{},"d":true},"b":[1,2.5,"x",null]}'


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON object"):
        from_json(b"[]", "a")


@pytest.mark.parametrize(("id", "read"), [("anna", "anna"), (7, ""), (None, "")])
def test_an_id_is_text(id: object, read: str) -> None:
    assert PersonaDocument("a", from_json(msgspec.json.encode({"id": id}), "a")).id == read


def test_a_document_without_an_id_has_none() -> None:
    assert PersonaDocument("a", MapNode(())).id == ""


def test_a_path_leads_to_the_nearest_thing_that_was_written() -> None:
    default = ScalarNode(1)
    item = ScalarNode("x", HERE)
    inner = MapNode(
        (Entry("default", default), Entry("items", ListNode((item,), Mark("a.yaml", 2)))), Mark("a.yaml")
    )
    root = MapNode((Entry("inner", inner),), Mark("a.yaml"))
    assert root.at(("inner", "items", 0)) is item
    assert root.at(("inner", "items", 9)).mark == Mark("a.yaml", 2)
    assert root.at(("inner", "default")) is inner
    assert root.at(("inner", 0)) is inner
    assert root.at(("nowhere", "at", "all")) is root


def test_replacing_keeps_the_place_of_a_key_and_adds_a_new_one_behind() -> None:
    root = MapNode((Entry("a", ScalarNode(1)), Entry("b", ScalarNode(2))))
    changed = root.replacing("a", ScalarNode(3)).replacing("c", ScalarNode(4))
    assert [entry.key for entry in changed.entries] == ["a", "b", "c"]
    assert changed.get("a") == ScalarNode(3)
