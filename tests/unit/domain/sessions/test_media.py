"""What bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.sessions.media import AUDIO, IMAGES, PDF, sniffed
from tests.fixtures import media

KNOWN = [
    (media.png(), "image/png"),
    (media.JPEG, "image/jpeg"),
    (media.GIF, "image/gif"),
    (b"GIF87a", "image/gif"),
    (media.WEBP, "image/webp"),
    (media.wav(), "audio/wav"),
    (media.MP3, "audio/mpeg"),
    (b"ID3\x04\x00", "audio/mpeg"),
    (media.PDF, "application/pdf"),
]


@pytest.mark.parametrize(("data", "media_type"), KNOWN)
def test_each_kind_is_known_by_how_it_begins(data: bytes, media_type: str) -> None:
    assert sniffed(data) == media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89",
        b"\xff",
        b"\xff\xd8",
        b"\xff\x00",
        b"RIFF",
        b"RIFF....AVI LIST",
        b"GIF88a",
        b"<svg>",
        b"<html>",
    ],
)
def test_other_bytes_are_nothing_of_ours(data: bytes) -> None:
    assert sniffed(data) is None


@given(st.binary(max_size=16))
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    assert sniffed(data) in {None, PDF, *IMAGES, *AUDIO.values()}
