"""The promises of the ``ArgumentCheck`` port, on every adapter."""

import json
import socket
import time
from abc import ABC, abstractmethod

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.inmemory.arguments import InMemoryArgumentCheck
from cozy_adapters.json_schema import (
    MAX_DEPTH,
    MAX_PATTERN,
    MAX_SCHEMA_DEPTH,
    MAX_VALUES,
    JsonSchemaArgumentCheck,
)
from cozy_domain.tools.builtin import CALCULATOR, CLOCK
from cozy_domain.tools.ports import ArgumentCheck
from cozy_domain.tools.tool import ToolSpec

PROMPT_S = 30.0  # what is bounded takes well under a second; what is not takes years

PERSON = {
    "type": "object",
    "title": "A person",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
        "height": {"type": "number", "exclusiveMinimum": 0, "maximum": 3},
        "mood": {"enum": ["good", "bad", 1]},
        "kind": {"const": "human"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "nickname": {"type": ["string", "null"]},
        "contact": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["mail"]}]},
        "home": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
        "friendly": {"type": "boolean"},
    },
    "required": ["name"],
    "additionalProperties": {"type": "string"},
}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def nested_lists(depth: int) -> msgspec.Raw:
    return msgspec.Raw(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


class ArgumentCheckContract(ABC):
    """An adapter passes when a subclass that supplies it passes."""

    @pytest.fixture
    @abstractmethod
    def check(self) -> ArgumentCheck: ...

    @pytest.mark.parametrize(
        "arguments",
        [
            {"name": "Ada"},
            {"name": "张三"},
            {"name": "A", "age": 0, "height": 1.7, "mood": "good", "kind": "human", "friendly": True},
            {"name": "A", "age": 36.0, "mood": 1, "tags": ["a", "b"], "nickname": None, "other": "text"},
            {"name": "A", "contact": "mail", "home": {"city": "Rome"}},
            {"name": "A", "contact": {"mail": 1}, "home": {}},
        ],
    )
    def test_arguments_that_fit_have_no_problem(self, check: ArgumentCheck, arguments: object) -> None:
        assert check.problems(raw(PERSON), raw(arguments)) == ()

    @pytest.mark.parametrize(
        ("more", "path"),
        [
            ({"name": ""}, "$.name"),
            ({"name": "Adalbert"}, "$.name"),
            ({"name": 7}, "$.name"),
            ({"age": -1}, "$.age"),
            ({"age": 150}, "$.age"),
            ({"age": 1.5}, "$.age"),
            ({"age": "1"}, "$.age"),
            ({"age": True}, "$.age"),
            ({"height": 0}, "$.height"),
            ({"height": 3.1}, "$.height"),
            ({"height": False}, "$.height"),
            ({"mood": "so-so"}, "$.mood"),
            ({"mood": True}, "$.mood"),
            ({"kind": "robot"}, "$.kind"),
            ({"tags": []}, "$.tags"),
            ({"tags": ["a", "b", "c"]}, "$.tags"),
            ({"tags": ["a", 1]}, "$.tags[1]"),
            ({"tags": "a"}, "$.tags"),
            ({"nickname": 1}, "$.nickname"),
            ({"contact": 1}, "$.contact"),
            ({"contact": {}}, "$.contact"),
            ({"home": {"city": 1}}, "$.home.city"),
            ({"home": {"planet": "Mars"}}, "$.home"),
            ({"friendly": 1}, "$.friendly"),
            ({"other": 1}, "$.other"),
        ],
    )
    def test_what_does_not_fit_is_named_by_its_path(
        self, check: ArgumentCheck, more: dict[str, object], path: str
    ) -> None:
        problems = check.problems(raw(PERSON), raw({"name": "Ada"} | more))
        assert len(problems) == 1
        assert problems[0].startswith(path)
        assert ": " in problems[0]

    def test_a_missing_property_is_named(self, check: ArgumentCheck) -> None:
        (problem,) = check.problems(raw(PERSON), raw({}))
        assert "name" in problem

    def test_at_most_five_problems_are_told(self, check: ArgumentCheck) -> None:
        assert (
            len(
                check.problems(raw(PERSON), raw({"name": "A", "tags": [1], **{f"x{n}": n for n in range(9)}}))
            )
            == 5
        )

    def test_a_problem_is_short_however_long_the_argument(self, check: ArgumentCheck) -> None:
        problems = check.problems(raw(PERSON), raw({"name": "x" * 50_000, "y" * 50_000: 1}))
        assert len(problems) == 2
        assert all(len(problem) < 1_000 for problem in problems)

    def test_an_empty_schema_accepts_everything(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({}), raw({"a": [1, {}]})) == ()

    @pytest.mark.parametrize("schema", [b"[]", b"3", b"null", b'"x"', b"", b"{", b'{"type": "strng"}'])
    def test_a_schema_that_is_none_lets_nothing_pass(self, check: ArgumentCheck, schema: bytes) -> None:
        assert check.problems(msgspec.Raw(schema), raw({"a": 1})) != ()

    def test_a_rule_that_cannot_be_checked_lets_nothing_pass(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({"properties": {"a": {"pattern": "^(a+)+$"}}}), raw({"a": "b"})) != ()

    @pytest.mark.parametrize("arguments", [b"", b"{", b"{'a': 1}"])
    def test_what_is_no_json_is_a_problem(self, check: ArgumentCheck, arguments: bytes) -> None:
        assert check.problems(raw({}), msgspec.Raw(arguments)) != ()

    def test_a_deep_argument_is_a_problem_and_not_the_end_of_the_stack(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({}), nested_lists(100_000)) != ()

    @pytest.mark.parametrize(
        ("spec", "arguments"), [(CALCULATOR, {"expression": "1"}), (CLOCK, {"timezone": None}), (CLOCK, {})]
    )
    def test_the_built_in_tools_can_be_checked(
        self, check: ArgumentCheck, spec: ToolSpec, arguments: object
    ) -> None:
        schema = spec.definition.parameters
        assert check.problems(schema, raw(arguments)) == ()
        assert check.problems(schema, raw({"nonsense": 1})) != ()
        assert check.problems(schema, raw({"expression": "x" * 1_001})) != ()


class TestInMemory(ArgumentCheckContract):
    @pytest.fixture
    def check(self) -> ArgumentCheck:
        return InMemoryArgumentCheck()

    def test_an_unknown_keyword_is_named(self, check: ArgumentCheck) -> None:
        (problem,) = check.problems(raw({"properties": {"a": {"pattern": "x"}}}), raw({"a": "x"}))
        assert problem.startswith("$.a: ")
        assert "'pattern'" in problem

    def test_a_deep_schema_is_followed_only_so_far(self, check: ArgumentCheck) -> None:
        lists: object = {}
        for _ in range(2 * MAX_DEPTH):
            lists = {"items": lists}
        (problem,) = check.problems(raw({"properties": {"a": lists}}), nested_lists(2 * MAX_DEPTH))
        assert f"{MAX_DEPTH} levels" in problem

    def test_a_false_schema_forbids(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({"properties": {"a": False}}), raw({"a": 1})) == ("$.a: not allowed",)

    @pytest.mark.parametrize(
        "rules", [{"minimum": "x"}, {"enum": 3}, {"maxLength": None}, {"items": 3}, {"anyOf": 3}]
    )
    def test_a_rule_of_a_wrong_kind_lets_nothing_pass(self, check: ArgumentCheck, rules: object) -> None:
        arguments = {"number": 1, "text": "x", "list": [1]}
        schema = {"properties": dict.fromkeys(arguments, rules)}
        assert check.problems(raw(schema), raw(arguments)) != ()


class TestJsonSchema(ArgumentCheckContract):
    @pytest.fixture
    def check(self) -> ArgumentCheck:
        return JsonSchemaArgumentCheck()

    def test_a_reference_within_the_schema_is_followed(self, check: ArgumentCheck) -> None:
        schema = raw({"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}})
        assert check.problems(schema, raw({"a": 1})) == ()
        assert check.problems(schema, raw({"a": "x"}))[0].startswith("$.a: ")

    def test_an_older_draft_is_read_by_its_own_rules(self, check: ArgumentCheck) -> None:
        rules = {"dependencies": {"a": ["b"]}}  # a keyword of draft 7 that 2020-12 no longer has
        old = {"$schema": "http://json-schema.org/draft-07/schema#"}
        assert check.problems(raw(old | rules), raw({"a": 1})) != ()
        assert check.problems(raw(rules), raw({"a": 1})) == ()

    @pytest.mark.parametrize(
        "schema",
        [
            {"$schema": 3},
            {"$schema": [1]},
            {"$schema": "http://[bad"},
            {"$ref": 3},
            {"$id": "http://[bad", "$ref": "x"},
        ],
    )
    def test_a_schema_with_wrong_addresses_lets_nothing_pass(
        self, check: ArgumentCheck, schema: object
    ) -> None:
        assert check.problems(raw(schema), raw({})) != ()

    @pytest.mark.parametrize(
        "draft", ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
    )
    def test_nothing_is_ever_fetched(self, check: ArgumentCheck, draft: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
            for schema in (
                {"$ref": address},
                {"$id": address, "$ref": "other.json"},
                {"$ref": f"{address}#/a"},
            ):
                assert check.problems(raw({"$schema": draft, **schema}), raw({})) != ()
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_a_file_is_never_read(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({"$ref": "file:///etc/hostname"}), raw({})) != ()

    @pytest.mark.parametrize(
        "pattern",
        ["^(a+)+$", "(a|a)*b", "(a*)*b", r"(\w+\.)*x", "((a+))*b", "(a?){50}b", r"(a+)\1+", "a{5}{9}(b+){9}"],
    )
    def test_a_pattern_that_can_grow_exponentially_lets_nothing_pass(
        self, check: ArgumentCheck, pattern: str
    ) -> None:
        started = time.monotonic()
        schemas: tuple[object, ...] = (
            {"properties": {"a": {"pattern": pattern}}},
            {"patternProperties": {pattern: {}}},
        )
        for schema in schemas:
            assert check.problems(raw(schema), raw({"a": "a" * 60 + "!", "a" * 60 + "!": 1})) != ()
        assert time.monotonic() - started < PROMPT_S

    @pytest.mark.parametrize(
        ("pattern", "fits", "does_not"),
        [
            (r"^\d{4}-\d{2}-\d{2}$", "2026-11-22", "22.11.2026"),
            (r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", "ada@example.org", "ada"),
            ("^(red|green)$", "red", "blue"),
            ("^https?://", "https://x", "ftp://x"),
            (r"[*+?(]{2}", "*+", "*"),
            (r"^(?:a+)?b$", "aab", "aac"),
            (r"\(a+\)$", "(aa)", "aa"),
            ("x", "a" * 10_000 + "x", "a" * 10_000),
        ],
    )
    def test_a_plain_pattern_is_checked(
        self, check: ArgumentCheck, pattern: str, fits: str, does_not: str
    ) -> None:
        schema = raw({"properties": {"a": {"pattern": pattern}}})
        assert check.problems(schema, raw({"a": fits})) == ()
        assert check.problems(schema, raw({"a": does_not}))[0].startswith("$.a: ")

    @pytest.mark.parametrize("pattern", ["^a*a*a*a*b$", "a*a*b", "^x|a*a*a*b"])
    @pytest.mark.parametrize("length", [50, 500, 5_000, 50_000])
    def test_a_pattern_that_grows_by_powers_never_takes_long(
        self, check: ArgumentCheck, pattern: str, length: int
    ) -> None:
        started = time.monotonic()
        schemas = ({"properties": {"a": {"pattern": pattern}}}, {"patternProperties": {pattern: False}})
        found = [check.problems(raw(schema), raw({"a": "a" * length, "a" * length: 1})) for schema in schemas]
        assert found[0] != ()
        assert time.monotonic() - started < PROMPT_S

    def test_a_search_that_may_start_anywhere_is_one_power_slower(self, check: ArgumentCheck) -> None:
        anchored, free = (raw({"properties": {"a": {"pattern": pattern}}}) for pattern in ("^a*a*b", "a*a*b"))
        text = raw({"a": "a" * 300})
        assert "does not match" in check.problems(anchored, text)[0]
        assert "too long" in check.problems(free, text)[0]

    def test_a_long_or_broken_pattern_lets_nothing_pass(self, check: ArgumentCheck) -> None:
        for pattern in ("x" * (MAX_PATTERN + 1), "[", "(", ")", "*"):
            assert check.problems(raw({"properties": {"a": {"pattern": pattern}}}), raw({"a": "x"})) != ()

    def test_a_property_may_be_called_pattern(self, check: ArgumentCheck) -> None:
        schema = raw({"properties": {"pattern": {"type": "string"}}})
        assert check.problems(schema, raw({"pattern": "(a+)+"})) == ()

    def test_names_can_be_checked_by_pattern(self, check: ArgumentCheck) -> None:
        schema = raw({"patternProperties": {"^x_": {"type": "string"}}, "additionalProperties": False})
        assert check.problems(schema, raw({"x_a": "1"})) == ()
        assert check.problems(schema, raw({"x_a": 1})) != ()
        assert check.problems(schema, raw({"y": "1"})) != ()

    def test_references_that_double_at_every_step_are_cut_off(self, check: ArgumentCheck) -> None:
        laughs: dict[str, object] = {"a0": {"type": "object"}}
        for step in range(30):
            laughs[f"a{step + 1}"] = {"allOf": [{"$ref": f"#/$defs/a{step}"}] * 2}
        started = time.monotonic()
        (problem,) = check.problems(raw({"$defs": laughs, "$ref": "#/$defs/a30"}), raw({}))
        assert "references" in problem
        assert time.monotonic() - started < PROMPT_S

    @pytest.mark.parametrize(
        "schema",
        [
            {"$ref": "#"},
            {"anyOf": [{"not": {"$ref": "#"}}]},
            {"allOf": [{"allOf": [{"allOf": [{"allOf": [{"allOf": [{"$ref": "#"}]}]}]}]}]},
            {"$dynamicRef": "#"},
        ],
    )
    def test_a_schema_that_refers_to_itself_ends_before_the_stack_does(
        self, check: ArgumentCheck, schema: object
    ) -> None:
        (problem,) = check.problems(raw(schema), raw({}))
        assert "references" in problem

    def test_a_tree_may_be_twenty_levels_deep(self, check: ArgumentCheck) -> None:
        schema = raw(
            {"type": "object", "properties": {"child": {"$ref": "#"}}, "additionalProperties": False}
        )
        tree: object = {}
        for _ in range(20):
            tree = {"child": tree}
        assert check.problems(schema, raw(tree)) == ()

    @pytest.mark.parametrize("keyword", ["items", "not", "if", "contains"])
    @pytest.mark.parametrize("depth", [MAX_SCHEMA_DEPTH, 100, 400, 100_000])
    def test_a_deep_schema_lets_nothing_pass(self, check: ArgumentCheck, keyword: str, depth: int) -> None:
        schema = b'{"%s":' % keyword.encode() * depth + b"{}" + b"}" * depth
        assert check.problems(msgspec.Raw(schema), raw({})) != ()

    def test_the_references_of_one_check_do_not_count_for_the_next(self, check: ArgumentCheck) -> None:
        schema = raw({"$defs": {"n": {}}, "additionalProperties": {"$ref": "#/$defs/n"}})
        arguments = raw({str(n): n for n in range(1_500)})
        assert [check.problems(schema, arguments) for _ in range(3)] == [(), (), ()]

    def test_arguments_may_be_nested_up_to_the_limit(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({}), nested_lists(MAX_DEPTH - 1)) == ()
        assert check.problems(raw({}), nested_lists(MAX_DEPTH)) != ()

    def test_too_many_values_are_a_problem(self, check: ArgumentCheck) -> None:
        (problem,) = check.problems(raw({}), raw({"a": [0] * MAX_VALUES}))
        assert str(MAX_VALUES) in problem

    def test_unique_items_are_compared_without_comparing_each_with_each(self, check: ArgumentCheck) -> None:
        schema = raw({"properties": {"a": {"uniqueItems": True}}})
        items: list[object] = [{"n": n} for n in range(4_000)]
        started = time.monotonic()
        assert check.problems(schema, raw({"a": items})) == ()
        assert check.problems(schema, raw({"a": [*items, {"n": 7}]})) != ()
        assert time.monotonic() - started < PROMPT_S

    def test_items_that_need_not_be_unique_may_repeat(self, check: ArgumentCheck) -> None:
        assert check.problems(raw({"properties": {"a": {"uniqueItems": False}}}), raw({"a": [1, 1]})) == ()


simple_values = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1.0]) | st.text("ab", max_size=3)
)
values = st.recursive(
    simple_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)
simple_rules = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"]),
        "enum": st.lists(simple_values, min_size=1, max_size=3),
        "minimum": st.integers(-5, 5),
        "maxLength": st.integers(0, 3),
        "minItems": st.integers(0, 3),
        "required": st.lists(st.sampled_from("ab"), unique=True),
    },
)
schemas = st.recursive(
    simple_rules | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "additionalProperties": inner,
        },
    ),
    max_leaves=6,
)


@given(schemas.filter(lambda schema: isinstance(schema, dict)), values)
def test_both_checks_agree_on_what_both_know(schema: object, value: object) -> None:
    ours, theirs = InMemoryArgumentCheck(), JsonSchemaArgumentCheck()
    assert bool(ours.problems(raw(schema), raw(value))) == bool(theirs.problems(raw(schema), raw(value)))
