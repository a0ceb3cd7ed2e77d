"""Opus to 16 kHz: as loud, as long and as clean as it was; whatever comes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.codec.frames import OpusEncoder
from cozy_adapters.webrtc.decoder import HearingDecoder
from cozy_adapters.webrtc.receive import FADE, made_up
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError
from cozy_domain.voice.outgoing import FRAME
from tests.fixtures.calls import spoken, strength, tone


def heard(sound: bytes) -> bytes:
    encoder, decoder = OpusEncoder(), HearingDecoder()
    step = FRAME * SAMPLE_BYTES
    return b"".join(
        decoder.decode(encoder.encode(sound[at : at + step])) for at in range(0, len(sound), step)
    )


@pytest.mark.parametrize("hertz", [200, 1_000, 3_000, 6_000])
def test_what_a_voice_is_made_of_comes_through_whole(hertz: int) -> None:
    sound = heard(spoken(0.5, hertz))
    assert len(sound) == HEARING_RATE // 2 * SAMPLE_BYTES
    assert strength(sound[3_200:], hertz, HEARING_RATE) == pytest.approx(8_000, rel=0.15)


def test_what_16_khz_cannot_hold_does_not_fold_back() -> None:
    sound = heard(tone(0.5, 10_000, SPEAKING_RATE))
    assert strength(sound[3_200:], 16_000 - 10_000, HEARING_RATE) < 150


def test_the_loudest_sound_does_not_turn_over() -> None:
    sound = np.frombuffer(heard(tone(0.5, 300, SPEAKING_RATE, 32_767)), "<i2").astype(int)
    assert np.abs(np.diff(sound)).max() < 8_000


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_bytes_are_sound_or_refused(packets: list[bytes]) -> None:
    decoder = HearingDecoder()
    for packet in packets:
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
