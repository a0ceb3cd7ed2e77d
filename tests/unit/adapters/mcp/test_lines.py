"""Bytes to lines of bounded length."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.mcp.lines import Lines, TooLong


def fed(limit: int, *chunks: bytes) -> list[bytes | TooLong]:
    lines = Lines(limit)
    return [line for chunk in chunks for line in lines.feed(chunk)]


def test_lines_come_as_they_end() -> None:
    assert fed(9, b"a", b"b\nc\n", b"d") == [b"ab", b"c"]


def test_empty_lines_are_nothing() -> None:
    assert fed(9, b"\n \n\r\na\n") == [b"a"]


def test_a_line_may_be_as_long_as_the_limit() -> None:
    assert fed(3, b"abc\n", b"abcd\n") == [b"abc", TooLong(None)]


def test_of_a_long_line_the_rest_is_passed_over() -> None:
    assert fed(3, b"abcd", b"efgh", b"ij\nk\n") == [TooLong(None), b"k"]


def test_a_long_answer_tells_whose_it_is() -> None:
    assert fed(30, b'{"jsonrpc":"2.0","id":17,"result":' + b"x" * 99 + b"}\n") == [TooLong(17)]
    assert fed(30, b'{"id" : "a-1", "result":' + b"x" * 99 + b"}\n") == [TooLong("a-1")]
    assert fed(30, b'{"result":"' + b"x" * 999 + b'","id":17}\n') == [TooLong(None)]


@given(st.lists(st.binary(max_size=20)), st.integers(1, 30))
def test_how_bytes_are_cut_into_chunks_makes_no_difference(chunks: list[bytes], limit: int) -> None:
    whole = b"".join(chunks)
    assert fed(limit, *chunks) == fed(limit, *(whole[i : i + 1] for i in range(len(whole))))


@given(st.lists(st.binary(max_size=50)), st.integers(1, 30))
def test_no_line_is_longer_than_the_limit(chunks: list[bytes], limit: int) -> None:
    assert all(len(line) <= limit for line in fed(limit, *chunks) if isinstance(line, bytes))
