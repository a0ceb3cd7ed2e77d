"""A page that does not say its rate is heard at the one that it sends."""

import pytest

from cozy_server.fastrtc.socket_peer import SURPLUS_NS
from cozy_server.fastrtc.tempo import EARLY_NS, GAP_NS, KNOWN, SETTLE_NS, SURE_NS, Tempo

PIECE = 2_048
"""Samples: a browser's ScriptProcessor of FastRTC's pages."""
SECOND_NS = 1_000_000_000


def sent(rate: int, *, to_ns: int, late_ns: int = 0, from_ns: int = 0) -> list[tuple[int, int]]:
    """Pieces of a microphone, each when it is full; of the first ``late_ns`` all at once."""
    length = PIECE * SECOND_NS // rate
    return [(max(at, from_ns + late_ns), PIECE) for at in range(from_ns + length, to_ns, length)]


def changes(tempo: Tempo, pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When, in ms, and to what."""
    return [(at // 1_000_000, tempo.rate) for at, samples in pieces if tempo.came(samples, at)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
def test_what_was_assumed_or_comes_slower_stays(rate: int) -> None:
    tempo = Tempo(24_000)
    assert changes(tempo, sent(rate, to_ns=20 * SECOND_NS)) == []
    assert tempo.rate == 24_000


@pytest.mark.parametrize("late_ns", [0, 100_000_000, SETTLE_NS])
def test_the_rate_of_a_browser_is_noticed_within_a_second_and_what_waited_does_not_deceive(
    late_ns: int,
) -> None:
    ((at_ms, rate),) = changes(Tempo(24_000), sent(48_000, to_ns=20 * SECOND_NS, late_ns=late_ns))
    assert rate == 48_000
    assert at_ms < 1_000 + late_ns // 1_000_000


def test_the_two_rates_of_browsers_are_told_apart_when_there_was_time() -> None:
    first, second = changes(Tempo(24_000), sent(44_100, to_ns=20 * SECOND_NS))
    assert first[1] == 48_000
    assert second[1] == 44_100
    assert SURE_NS // 1_000_000 <= second[0] - first[0] < SURE_NS // 1_000_000 + 500


def test_a_file_that_is_sent_at_once_tells_nothing() -> None:
    assert changes(Tempo(24_000), [(number, PIECE) for number in range(1_000)]) == []


def test_sound_that_comes_three_times_too_fast_tells_nothing() -> None:
    pieces = [(at * 2 // 3, samples) for at, samples in sent(48_000, to_ns=20 * SECOND_NS)]
    assert changes(Tempo(24_000), pieces) == []


def test_a_network_that_only_caught_up_is_found_out_when_there_was_time() -> None:
    turn_ns = SETTLE_NS + EARLY_NS[0] + 150_000_000
    caught_up = sent(48_000, to_ns=turn_ns)
    after = sent(24_000, from_ns=turn_ns, to_ns=20 * SECOND_NS)
    assert [rate for _, rate in changes(Tempo(24_000), caught_up + after)] == [48_000, 24_000]


def test_a_page_that_pauses_stays_at_what_was_noticed() -> None:
    pieces = [it for it in sent(48_000, to_ns=20 * SECOND_NS) if not 2 * SECOND_NS < it[0] < 4 * SECOND_NS]
    assert [rate for _, rate in changes(Tempo(24_000), pieces)] == [48_000]


@pytest.mark.parametrize("assumed", [44_100, 48_000])
def test_the_rate_of_a_browser_is_believed_where_the_operator_names_it(assumed: int) -> None:
    assert changes(Tempo(assumed), sent(48_000, to_ns=20 * SECOND_NS)) == []


def test_twice_the_rate_is_looked_at_before_it_is_read_slower() -> None:
    waited_ns, twice = SETTLE_NS, max(KNOWN) / 24_000
    looked_ns = SETTLE_NS + EARLY_NS[-1]
    assert twice * (waited_ns + looked_ns) - looked_ns < SURPLUS_NS


@pytest.mark.parametrize("begins_ms", range(0, 1_000, 50))
@pytest.mark.parametrize("lasts_ms", [150, 300, 500, 1_000, 2_000])
def test_a_network_that_stalls_and_makes_up_for_it_tells_nothing(begins_ms: int, lasts_ms: int) -> None:
    begins, ends = begins_ms * 1_000_000, (begins_ms + lasts_ms) * 1_000_000
    pieces = [
        (ends if begins <= at < ends else at, samples) for at, samples in sent(24_000, to_ns=20 * SECOND_NS)
    ]
    assert changes(Tempo(24_000), pieces) == []


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("begins_ms", range(0, 1_000, 50))
@pytest.mark.parametrize("lasts_ms", [100, 200])
def test_a_browser_is_noticed_though_its_network_stutters(rate: int, begins_ms: int, lasts_ms: int) -> None:
    begins, ends = begins_ms * 1_000_000, (begins_ms + lasts_ms) * 1_000_000
    pieces = [
        (ends if begins <= at < ends else at, samples) for at, samples in sent(rate, to_ns=20 * SECOND_NS)
    ]
    tempo = Tempo(24_000)
    assert changes(tempo, pieces)
    assert tempo.rate == rate


def test_a_first_piece_long_before_the_others_does_not_count() -> None:
    """Nor does a clock that stands still between two pieces."""
    late = [(at + 2 * SECOND_NS, samples) for at, samples in sent(24_000, to_ns=20 * SECOND_NS)]
    tempo = Tempo(24_000)
    assert changes(tempo, [(0, PIECE), late[0], *late]) == []
    assert changes(Tempo(24_000), [(0, PIECE), *((GAP_NS + SECOND_NS, PIECE),) * 3]) == []


def test_a_rate_that_no_browser_has_is_taken_for_the_nearest_and_looked_at_again() -> None:
    turn_ns = 12 * SECOND_NS
    odd = sent(38_000, to_ns=turn_ns)
    after = sent(48_000, from_ns=turn_ns, to_ns=40 * SECOND_NS)
    rates = [rate for _, rate in changes(Tempo(24_000), odd + after)]
    assert (rates[:2], rates[-1]) == ([48_000, 44_100], 48_000)
