"""Opus both ways, by libopus itself and by FFmpeg where it is not found: as loud, as long and as clean as it was; whatever
comes."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.codec import libopus
from cozy_adapters.codec.frames import OpusDecoder, OpusEncoder
from cozy_adapters.webrtc.receive import FADE, made_up
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError
from cozy_domain.voice.outgoing import FRAME
from tests.fixtures.calls import spoken, strength, tone

Library = ctypes.PyDLL | None
both = pytest.mark.parametrize("library", [libopus.LIBRARY, None], ids=["libopus", "ffmpeg"])


def packets(sound: bytes, library: Library = None) -> list[bytes]:
    encoder = OpusEncoder(library)
    step = FRAME * SAMPLE_BYTES
    return [encoder.encode(sound[at : at + step]) for at in range(0, len(sound), step)]


def heard(sound: bytes, library: Library) -> bytes:
    decoder = OpusDecoder(library)
    return b"".join(map(decoder.decode, packets(sound, library)))


def test_libopus_is_found_in_what_is_installed() -> None:
    assert libopus.LIBRARY is not None


def test_both_ways_of_encoding_say_the_same() -> None:
    sound = spoken(2.0, 220)
    assert packets(sound, libopus.LIBRARY) == packets(sound, None)


@both
def test_a_second_is_as_large_as_it_was_asked_to_be(library: Library) -> None:
    assert sum(map(len, packets(spoken(1.0, 220), library))) * 8 <= OpusEncoder.BIT_RATE * 1.1


def test_only_whole_frames_are_encoded() -> None:
    with pytest.raises(ValueError, match="20 ms"):
        OpusEncoder(libopus.LIBRARY).encode(bytes(FRAME * SAMPLE_BYTES - 2))


@both
@pytest.mark.parametrize("hertz", [200, 1_000, 3_000, 6_000])
def test_what_a_voice_is_made_of_comes_through_whole(hertz: int, library: Library) -> None:
    sound = heard(spoken(0.5, hertz), library)
    assert HEARING_RATE // 2 - len(sound) // SAMPLE_BYTES in range(40), "what a filter holds back"
    assert strength(sound[3_200:], hertz, HEARING_RATE) == pytest.approx(8_000, rel=0.15)


@both
@pytest.mark.parametrize("hertz", [9_000, 10_000, 11_500])
def test_what_16_khz_cannot_hold_does_not_fold_back(hertz: int, library: Library) -> None:
    sound = heard(tone(0.5, hertz, SPEAKING_RATE), library)
    assert strength(sound[3_200:], 16_000 - hertz, HEARING_RATE) < 150


@both
def test_the_loudest_sound_does_not_turn_over(library: Library) -> None:
    sound = np.frombuffer(heard(tone(0.5, 300, SPEAKING_RATE, 32_767), library), "<i2").astype(int)
    assert np.abs(np.diff(sound)).max() < 8_000


@both
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes_are_sound_or_refused(library: Library, datagrams: list[bytes]) -> None:
    decoder = OpusDecoder(library)
    for packet in datagrams:
        try:
            sound = decoder.decode(packet)
        except InputError as error:
            assert error.code == "invalid_audio"  # noqa: PT017 - either is right
        else:
            assert len(sound) <= HEARING_RATE * SAMPLE_BYTES


def test_sound_that_is_made_up_goes_on_without_a_jump_and_dies_away() -> None:
    last = tone(0.1, 200, HEARING_RATE)
    sound = np.frombuffer(made_up(last, HEARING_RATE), "<i2").astype(int)
    assert len(sound) == HEARING_RATE
    assert abs(sound[0] - int(np.frombuffer(last, "<i2")[-1])) < 700
    assert np.abs(sound[: FADE // 3]).max() > 4_000
    assert not sound[FADE:].any()
    assert made_up(b"", 10) == bytes(20)
