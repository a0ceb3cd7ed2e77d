"""YAML that is written is read back as it was."""

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cozy_adapters.files.parse import MAX_BYTES, parse
from cozy_adapters.files.write import to_yaml
from cozy_domain.persona.document import InvalidPersonaError, MapNode, from_json, to_json

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | st.sampled_from(
    [
        *(
            "no",
            "Null",
            "true",
            "1e3",
            "0x10",
            "-1",
            ".inf",
            "~",
            "",
            " ",
            "a: b",
            "a #b",
            "- a",
            "? x",
            "&a",
            "*a",
            "!x",
            "<<",
        ),
        *(
            "---",
            "...",
            "%YAML",
            "@a",
            "`a",
            "a\n",
            "\na",
            "a\n\n b\n",
            "  a\nb",
            "a \n",
            "\ta\nb",
            "a\r\nb",
            "a\x85b\n",
            "\ufeffa",
        ),
        *(
            "a\u2028b\nc",
            "\x07\n",
            "\U0001f600\n",
            "\ufffe\n",
            "a\x7f\n",
            "#\n",
            " \n",
            "\n",
            "\n\n",
            "x\n \n",
            "{{char}}\n- b",
        ),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def tree(value: object) -> MapNode:
    return from_json(msgspec.json.encode(value), "a.yaml")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=5))
@example({})
@example({"a": {"b": [[], {}, [[1.0, -0.0, 1e-7, 1e22]]]}})
def test_every_value_is_read_back_as_it_was(value: dict[str, object]) -> None:
    root = tree(value)
    assert to_json(parse(to_yaml(root, "a.yaml"), "a.yaml").root) == to_json(root)


def test_a_text_of_several_lines_is_written_as_people_write_it() -> None:
    written = to_yaml(
        tree({"id": "anna", "prompt": {"system": "Be kind.\n\n  Always.\n"}}), "a.yaml"
    ).decode()
    assert written == "id: anna\nprompt:\n  system: |\n    Be kind.\n\n      Always.\n"


def test_a_long_line_is_written_without_escapes() -> None:
    line = '{"a": "b"}' * 30
    assert to_yaml(tree({"card": line}), "a.yaml").decode() == f"card: |-\n  {line}\n"


def test_a_document_larger_than_a_file_may_be_is_refused() -> None:
    with pytest.raises(InvalidPersonaError, match="is larger than 1024 kB"):
        to_yaml(tree({"a": "x" * MAX_BYTES}), "a.yaml")
