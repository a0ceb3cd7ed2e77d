"""Where long recordings are cut."""

import random

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm
from cozy_domain.speech.stretches import LONGEST, stretches


def test_a_recording_that_is_not_too_long_is_heard_at_once() -> None:
    assert list(stretches(Pcm(bytes(LONGEST * SAMPLE_BYTES)))) == [(0, LONGEST)]
    assert list(stretches(Pcm(b""))) == []


def test_a_longer_one_is_cut_where_it_is_quiet_and_nothing_is_lost() -> None:
    chance = random.Random(1)
    second = HEARING_RATE * SAMPLE_BYTES
    sound = bytearray(chance.randbytes(70 * second))
    for quiet in (22, 40):
        sound[quiet * second : quiet * second + second // 2] = bytes(second // 2)
    cut = list(stretches(Pcm(bytes(sound))))
    assert [start for start, _ in cut[1:]] == [end for _, end in cut[:-1]]
    assert cut[-1][1] == 70 * HEARING_RATE
    assert all(end - start <= LONGEST for start, end in cut)
    for at, quiet in enumerate((22, 40)):
        assert quiet <= cut[at][1] / HEARING_RATE <= quiet + 0.5


def test_a_longer_stretch_is_searched_at_its_end_only() -> None:
    sound = Pcm(b"\1\0" * 130 * HEARING_RATE)
    (start, end), (_, last) = stretches(sound, 120 * HEARING_RATE)
    assert (start, last) == (0, len(sound))
    assert 105 * HEARING_RATE <= end <= 120 * HEARING_RATE
