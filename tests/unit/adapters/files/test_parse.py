from time import monotonic

import pytest

from cozy_adapters.files.parse import MAX_BYTES, MAX_DEPTH, parse
from cozy_domain.persona.document import InvalidPersonaError, Mark, Node, Problem, ScalarNode, to_json

PROMPT_S = 30.0  # a hostile file of the full size takes a second or two on a slow machine


def refusal(content: str | bytes) -> Problem:
    with pytest.raises(InvalidPersonaError) as raised:
        parse(content.encode() if isinstance(content, str) else content, "a.yaml")
    (problem,) = raised.value.problems
    return problem


def value(text: str) -> Node | None:
    return parse(f"key: {text}\n".encode(), "a.yaml").root.get("key")


def test_every_value_knows_where_it_was_written() -> None:
    document = parse(b"id: anna\n\nvoice:\n  speed: 3.0\ntags:\n  - one\n  - two\n", "p/anna.yaml")
    assert document.id == "anna"
    assert document.file == "p/anna.yaml"
    assert document.root.at(("voice", "speed")) == ScalarNode(3.0, Mark("p/anna.yaml", 4, 10))
    assert document.root.at(("tags", 1)).mark == Mark("p/anna.yaml", 7, 5)
    assert document.root.entries[1].mark == Mark("p/anna.yaml", 3, 1)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("12", 12), ("-3", -3),
        ("010", 10), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-.inf", float("-inf")), (".inf", float("inf")),
        ("+.INF", float("inf")),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("1:30", "1:30"), ("0x1F", "0x1F"), ("1_000", "1_000"),
        ("2026-07-31", "2026-07-31"), ("'12'", "12"), ('"true"', "true"), ("!!str 12", "12"), ("! 12", "12"),
        ("12 apples", "12 apples"), ('"\\u4F60"', "\u4f60"),
    ],
)  # fmt: skip
def test_plain_values_are_read_as_yaml_1_2_does(text: str, read: object) -> None:
    node = value(text)
    assert isinstance(node, ScalarNode)
    assert node.value == read
    assert type(node.value) is type(read)


def test_not_a_number_is_handed_on_to_be_refused() -> None:
    node = value(".nan")
    assert isinstance(node, ScalarNode)
    assert node.value != node.value


def test_keys_are_text_whatever_they_look_like() -> None:
    assert (
        to_json(parse(b"1: a\ntrue: b\n? null\n: c\n", "a.yaml").root) == b'{"1":"a","null":"c","true":"b"}'
    )


def test_a_byte_order_mark_and_explicit_collections_are_read() -> None:
    assert to_json(parse(b"\xef\xbb\xbf!!map {a: !!seq [1, []]}", "a.yaml").root) == b'{"a":[1,[]]}'


def test_an_anchor_that_nobody_uses_does_no_harm() -> None:
    assert to_json(parse(b"a: &x 1\n", "a.yaml").root) == b'{"a":1}'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "a.yaml:1:1  is empty [persona_yaml]"),
        ("# nothing\n", "a.yaml:1:1  is empty [persona_yaml]"),
        ("---\n", "a.yaml:2:1  is not a mapping of keys and values [persona_yaml]"),
        ("- a\n", "a.yaml:1:1  is not a mapping of keys and values [persona_yaml]"),
        ("just text", "a.yaml:1:1  is not a mapping of keys and values [persona_yaml]"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2:1  holds more than one document; write one file each [persona_yaml]"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3:1  the key 'a' stands here twice [persona_duplicate_key]"),
        ("a:\n  b: 1\n  b: 1\n", "a.yaml:3:3  the key 'b' stands here twice [persona_duplicate_key]"),
        ("a: &x 1\nb: *x\n", "a.yaml:2:4  aliases are refused; write the value again [persona_alias]"),
        ("a: &x {b: 1}\n<<: *x\n", "a.yaml:2:1  merge keys are refused [persona_alias]  did you mean extends?"),
        ("? [a]\n: 1\n", "a.yaml:1:3  a key is plain text [persona_yaml]"),
        ("&x a: 1\n*x : 1\n", "a.yaml:2:1  a key is plain text [persona_yaml]"),
        ("a: !!python/object/apply:os.system [ls]\n",
         "a.yaml:1:4  the tag tag:yaml.org,2002:python/object/apply:os is refused [persona_tag]"),
        ("a: !!binary aGk=\n", "a.yaml:1:4  the tag tag:yaml.org,2002:binary is refused [persona_tag]"),
        ("a: !include b.yaml\n", "a.yaml:1:4  the tag !include is refused [persona_tag]"),
        ("a: !!set {b}\n", "a.yaml:1:4  the tag tag:yaml.org,2002:set is refused [persona_tag]"),
        ("a: [1, 2\n", "a.yaml:2:1  is not YAML: expected ',' or ']', but got '<stream end>' [persona_yaml]"),
        ("a:\n\tb: 1\n", "a.yaml:2:1  is not YAML: found character '\\t' that cannot start any token [persona_yaml]"
                         "  did you mean spaces instead of a tab?"),
        (
            "a: b: c\n",
            "a.yaml:1:5  is not YAML: mapping values are not allowed here [persona_yaml]"
            "  did you mean quotes around the text with the colon, or | and the text on the next line?",
        ),
        ("a: 'x\n", "a.yaml:2:1  is not YAML: found unexpected end of stream [persona_yaml]"),
        (f"a: {'9' * 41}\n", "a.yaml:1:4  a number of more than 40 digits [persona_yaml]"),
        ("a: 1\nb: \x07\n", "a.yaml:2:1  the character U+0007 is not allowed in YAML [persona_yaml]"),
        (b"a: 1\nb: \xff\n", "a.yaml:2:1  is not UTF-8 [persona_encoding]"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told_with_its_place(content: str | bytes, told: str) -> None:
    assert str(refusal(content)) == told


def test_a_file_of_just_the_size_allowed_is_read_and_one_more_byte_refused() -> None:
    content = b"a: " + b"x" * (MAX_BYTES - 3)
    assert parse(content, "a.yaml").root.get("a")
    assert refusal(content + b"x").code == "persona_too_large"


def test_nesting_of_just_the_depth_allowed_is_read_and_one_more_refused() -> None:
    inside = MAX_DEPTH - 1  # the mapping itself is the first level
    assert parse(b"a: " + b"[" * inside + b"]" * inside, "a.yaml").root.get("a")
    assert refusal("a: " + "[" * (inside + 1)).code == "persona_too_deep"


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        ("a: ", "["),
        ("a: ", "{a: "),
        ("a: &a [x]\n", "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"),
        ("a: ", "- "),
        ("", "? "),
        ("a: ", "!x "),
        ("a: '", "''"),
        ("", "[]: "),
    ],
)
def test_a_hostile_file_is_refused_before_long(start: str, unit: str) -> None:
    whole = start + unit * ((MAX_BYTES - len(start)) // len(unit))
    before = monotonic()
    refusal(whole)
    assert monotonic() - before < PROMPT_S
