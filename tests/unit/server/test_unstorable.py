"""Where in a body the text is that no store takes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_server.unstorable import MAX_BYTES, place_of_unstorable

LONE = "\ud83d"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a": [{"b": "x"}, {"b": "\\ud83d"}]}', ("a", "1", "b")),
        (b'{"a": "\\u0000", "b": "\\ud83d"}', ("a",)),
        (b'{"a": "x\x00y"}', ("a",)),
        (b'{"a": {"\\u0000": 1}}', ("a",)),
        (b'"\\udc00"', ()),
        (b'{"a": "\\ud83d\\ude00 \\\\ud83d \\\\u0000"}', None),
        (b'{"a": "\\ud83d"', None),
        (b'{"a": "\xff"}', None),
        (b"", None),
    ],
)
def test_the_first_place_is_found(body: bytes, place: tuple[str, ...] | None) -> None:
    assert place_of_unstorable(body) == place


def test_a_large_body_is_not_looked_through() -> None:
    assert place_of_unstorable(b'{"a": "\\u0000"}' + b" " * MAX_BYTES) is None


@given(
    st.recursive(
        st.text("ab\x00" + LONE), lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner)
    )
)
def test_it_is_found_wherever_it_is(value: object) -> None:
    body = json.dumps(value)
    found = place_of_unstorable(body.encode())
    assert (found is not None) == ("\\u0000" in body or "\\ud83d" in body)
