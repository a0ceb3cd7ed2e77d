"""A phrase is accepted when it explains the sound about as well as any phones do."""

import pytest

from cozy_adapters.pocketsphinx.acceptance import (
    LEAST_COVERED,
    LEAST_MEAN,
    LEAST_PHONE,
    LEAST_PHONE_FRAME,
    LEAST_WORD,
    Piece,
    accepted,
    consistent,
)

SILENCE = Piece("SIL", 0, 30, -300.0)
PHONES = (SILENCE, Piece("OW", 30, 60, -60.0), Piece("P", 60, 130, -140.0), Piece("SIL", 130, 160, -300.0))
FREE = -2.0  # of each frame of speech above


def words(first: float, second: float, end: int = 130) -> tuple[Piece, ...]:
    """Two words, so much worse for each frame than the phones."""
    return (
        Piece("<sil>", 0, 30, -9_000.0),
        Piece("open", 30, 80, 50 * (FREE + first)),
        Piece("it", 80, end, (end - 80) * (FREE + second)),
        Piece("<sil>", end, 160, -9_000.0),
    )


def test_what_fits_as_well_as_phones_is_accepted_however_loud_the_silence() -> None:
    assert accepted(words(0.0, 0.0), PHONES)


@pytest.mark.parametrize(("worse", "expected"), [(1.0, True), (-1.0, False)])
def test_all_words_together_may_fit_only_so_much_worse(worse: float, expected: bool) -> None:
    assert accepted(words(LEAST_MEAN + worse, LEAST_MEAN + worse), PHONES) is expected


@pytest.mark.parametrize(("worse", "expected"), [(1.0, True), (-1.0, False)])
def test_one_word_that_does_not_fit_is_enough_to_refuse(worse: float, expected: bool) -> None:
    assert accepted(words(0.0, LEAST_WORD + worse), PHONES) is expected


@pytest.mark.parametrize(("frames", "expected"), [(1, True), (-1, False)])
def test_speech_beside_the_words_is_enough_to_refuse(frames: int, expected: bool) -> None:
    assert accepted(words(0.0, 0.0, 30 + round(100 * LEAST_COVERED) + frames), PHONES) is expected


def test_no_words_are_no_phrase() -> None:
    assert not accepted((SILENCE,), PHONES)
    assert not accepted((), ())
    assert not accepted(words(-50.0, -50.0), ())


def test_phones_may_begin_late() -> None:
    assert accepted(words(0.0, 0.0), PHONES[1:])


def phones(first: float, second: float) -> tuple[Piece, ...]:
    """Of 5 and of 20 frames, so much worse in all than what is heard there."""
    return (
        SILENCE,
        Piece("OW", 60, 65, 5 * FREE + first),
        Piece("P", 65, 85, 20 * FREE + second),
        Piece("SIL", 130, 160, -9_000.0),
    )


@pytest.mark.parametrize(("worse", "expected"), [(1.0, True), (-1.0, False)])
def test_one_phone_that_does_not_fit_is_enough_to_refuse_however_long_it_is(
    worse: float, expected: bool
) -> None:
    assert consistent(phones(0.0, LEAST_PHONE + worse), PHONES) is expected
    assert consistent(phones(5 * LEAST_PHONE_FRAME + worse, 0.0), PHONES) is expected


def test_words_that_cannot_be_aligned_are_refused() -> None:
    assert not consistent((), PHONES)
    assert not consistent((SILENCE,), PHONES)
