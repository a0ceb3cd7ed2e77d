"""G.711: known values, the way there and back, and what is odd."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from cozy_server.fastrtc.mulaw import decode, encode

# From ITU-T G.711, table 2a/2b: decision values of the ends of the scale, scaled from 14 bits to 16.
KNOWN = {0xFF: 0, 0x7F: 0, 0x80: 32_124, 0x00: -32_124, 0xF0: 120, 0x70: -120, 0x8F: 16_764, 0x0F: -16_764}


def pcm(*samples: int) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


def test_codes_decode_to_the_values_of_the_standard() -> None:
    for code, value in KNOWN.items():
        assert decode(bytes([code])) == pcm(value)


def test_every_code_survives_being_decoded_and_encoded_but_minus_zero() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)
    assert encode(decode(codes)) == codes
    assert encode(decode(b"\x7f")) == b"\xff"


def test_louder_than_the_scale_is_its_end() -> None:
    assert encode(pcm(32_767, -32_768)) == b"\x80\x00"


@given(st.integers(-32_768, 32_767))
def test_a_sample_comes_back_within_half_a_step(sample: int) -> None:
    (back,) = struct.unpack("<h", decode(encode(pcm(sample))))
    step = max(8, (min(abs(sample), 32_635) + 132) >> 4)
    assert abs(back - max(-32_635, min(32_635, sample))) <= step


def test_half_a_sample_is_left_out() -> None:
    assert encode(pcm(0) + b"\x01") == b"\xff"
    assert decode(b"") == b""
    assert encode(b"") == b""
