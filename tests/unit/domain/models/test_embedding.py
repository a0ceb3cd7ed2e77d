"""Vectors as bytes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.models.embedding import packed, unpacked


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_what_is_packed_comes_back(numbers: list[float]) -> None:
    assert unpacked(packed(numbers)) == tuple(numbers)


def test_the_bytes_are_little_endian_float32() -> None:
    assert packed([1.0, -2.0]) == bytes.fromhex("0000803f000000c0")


@pytest.mark.parametrize("number", [1e39, -1e300])
def test_a_number_beyond_float32_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="float32"):
        packed([number])


def test_not_a_number_passes_and_is_for_the_adapter_to_refuse() -> None:
    assert math.isnan(unpacked(packed([math.nan]))[0])


def test_bytes_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        unpacked(b"\x00\x00\x80")
