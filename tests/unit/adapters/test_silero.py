"""A muted line is told from sound without a look at each sample."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from cozy_adapters.silero import FAINT, faint
from cozy_domain.speech.ports import WINDOW

QUIET = st.integers(-FAINT, FAINT)
LOUD = st.integers(3 * FAINT + 1, 32_767) | st.integers(-32_768, -3 * FAINT - 1)


def window(samples: list[int]) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


@given(st.lists(QUIET, max_size=WINDOW))
@example([-FAINT, FAINT] * (WINDOW // 2))
@example([-FAINT] * WINDOW)
def test_noise_of_the_last_bits_is_faint(samples: list[int]) -> None:
    assert faint(window(samples))


@given(st.lists(QUIET, max_size=WINDOW - 1), LOUD, st.data())
@example([-FAINT] * (WINDOW - 1), 3 * FAINT + 1, None)
def test_one_sample_beyond_is_not(samples: list[int], loud: int, data: st.DataObject | None) -> None:
    place = data.draw(st.integers(0, len(samples))) if data else 0
    assert not faint(window([*samples[:place], loud, *samples[place:]]))
