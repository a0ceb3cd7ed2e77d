"""Packets in any order become sound without holes, and no delay remains."""

from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.voice.incoming import (
    CALM_NS,
    CATCH_UP_NS,
    DISORDERLY_NS,
    HELD,
    LONGEST_FILL,
    MS,
    QUIET_STEP,
    RESTART_AHEAD,
    RESTART_BEHIND,
    RTP_RATE,
    SECOND,
    UNEVEN_NS,
    Incoming,
    Missing,
    Piece,
    opus_ticks,
)

TICKS = 960
FRAME_NS = 20 * MS
SPEECH = b"\xf8"
"""The first byte of a packet of one CELT frame of 20 ms; a number follows."""
DTX = b"\x08"
"""The first byte of a packet of one SILK frame of 20 ms, which is all there is of it."""


def packet(number: int) -> bytes:
    return SPEECH + number.to_bytes(4, "big")


def send(line: Incoming, number: int, at_ns: int, first: int = 0, start: int = 0) -> list[Piece]:
    """The packet of this number, of a sender whose first one has the sequence ``first`` and the timestamp ``start``."""
    timestamp = (start + number * TICKS) % (1 << 32)
    return line.arrived((first + number) % (1 << 16), timestamp, packet(number), at_ns)


def heard(pieces: list[Piece]) -> list[int]:
    """Numbers of the packets; a hole is minus its length in packets."""
    return [
        -(piece.ticks // TICKS) if isinstance(piece, Missing) else int.from_bytes(piece[1:], "big")
        for piece in pieces
    ]


def due_of(line: Incoming) -> int | None:
    """As it is now, whatever it was when a type checker last looked."""
    return line.due_ns


def calm(count: int = 50) -> tuple[Incoming, int]:
    """A line on which ``count`` packets came in order, and when the next one is due."""
    line = Incoming()
    for number in range(count):
        assert heard(send(line, number, number * FRAME_NS)) == [number]
    return line, count * FRAME_NS


def test_a_packet_in_order_is_passed_on_at_once() -> None:
    line, _ = calm()
    assert line.due_ns is None


def test_a_hole_is_given_up_between_40_and_60_ms_and_nothing_lags_after_it() -> None:
    line, at = calm(50)
    assert send(line, 51, at + FRAME_NS) == []
    assert line.due_ns == at + FRAME_NS + line.patience_ns
    assert CALM_NS <= line.patience_ns <= UNEVEN_NS
    assert send(line, 52, at + 2 * FRAME_NS) == []
    assert line.waited(line.due_ns - 1) == []
    assert heard(line.waited(line.due_ns)) == [-1, 51, 52]
    assert due_of(line) is None
    assert heard(send(line, 53, at + 5 * FRAME_NS)) == [53]
    assert line.given_up == 1


def test_several_lost_in_a_row_cost_one_wait() -> None:
    line, at = calm(50)
    assert send(line, 55, at) == []
    assert heard(line.waited(at + UNEVEN_NS)) == [-5, 55]
    assert line.given_up == 5


def test_two_holes_are_each_waited_for() -> None:
    line, at = calm(50)
    assert send(line, 51, at) == []
    assert send(line, 53, at + 30 * MS) == []
    assert heard(line.waited(at + UNEVEN_NS)) == [-1, 51]
    assert line.due_ns == at + 30 * MS + line.patience_ns
    assert heard(line.waited(at + 30 * MS + UNEVEN_NS)) == [-1, 53]


def test_packets_that_changed_places_are_put_in_order_without_a_hole() -> None:
    line, at = calm(50)
    assert send(line, 51, at) == []
    assert heard(send(line, 50, at + 5 * MS)) == [50, 51]
    assert (line.due_ns, line.given_up) == (None, 0)


def test_a_repeated_packet_is_heard_once_whether_it_waits_or_is_gone() -> None:
    line, at = calm(50)
    assert send(line, 49, at) == []
    assert send(line, 51, at) == []
    assert send(line, 51, at) == []
    assert line.repeated == 2
    assert heard(send(line, 50, at)) == [50, 51]


def test_a_line_that_is_uneven_has_more_patience_up_to_60_ms() -> None:
    line = Incoming()
    for number in range(100):
        send(line, number, number * FRAME_NS + (number % 2) * 15 * MS)
    assert line.patience_ns == UNEVEN_NS


def test_packets_that_come_after_all_earn_patience_which_is_forgotten() -> None:
    line, at = calm(50)
    send(line, 51, at)
    line.waited(at + 60 * MS)
    assert send(line, 50, at + 90 * MS) == []
    assert line.late == 1
    assert line.patience_ns == 90 * MS
    send(line, 53, at + 100 * MS)
    line.waited(at + 300 * MS)
    send(line, 52, at + 400 * MS)
    assert line.patience_ns == DISORDERLY_NS
    for number in range(54, 54 + 2_000):
        send(line, number, at + number * FRAME_NS)
    assert line.patience_ns <= UNEVEN_NS


@given(first=st.integers(0, 65_535), start=st.integers(0, (1 << 32) - 1))
def test_sequence_and_timestamp_may_start_anywhere_and_wrap(first: int, start: int) -> None:
    line = Incoming()
    said: list[int] = []
    for number in range(200):
        if number % 50 != 49:
            said += heard(send(line, number * 400, number * 400 * FRAME_NS, first, start))
            said += heard(line.waited(number * 400 * FRAME_NS + UNEVEN_NS))
    assert [it for it in said if it >= 0] == [number * 400 for number in range(200) if number % 50 != 49]


@given(
    fates=st.lists(st.tuples(st.booleans(), st.integers(0, 150), st.booleans()), min_size=1, max_size=60),
    first=st.sampled_from([0, 65_500]),
)
def test_whatever_the_line_does_samples_count_the_time_and_no_lag_remains(
    fates: list[tuple[bool, int, bool]], first: int
) -> None:
    """Each packet may be lost, be late by up to 150 ms, and come twice. Whoever is called when ``due_ns`` says so hears the
    packets in order, each at most once, and a hole for each other."""
    arrivals = [(0, 0), *((len(fates) + 1 + it, (len(fates) + 20 + it) * FRAME_NS) for it in range(20))]
    for number, (lost, late_ms, twice) in enumerate(fates, 1):
        if not lost:
            arrivals += [(number, number * FRAME_NS + late_ms * MS)] * (2 if twice else 1)
    line, pieces = Incoming(), list[Piece]()
    for number, at_ns in sorted(arrivals, key=lambda it: it[1]):
        while line.due_ns is not None and line.due_ns <= at_ns:
            due = line.due_ns
            pieces += line.waited(due)
            assert due_of(line) != due, "would be called again and again"
        now = send(line, number, at_ns, first)
        pieces += now
        if number > len(fates) + 1 + DISORDERLY_NS // FRAME_NS:
            assert heard(now) == [number], "lags behind"
        assert line.due_ns is None or at_ns < line.due_ns <= at_ns + DISORDERLY_NS
    numbers = [it for it in heard(pieces) if it >= 0]
    assert numbers == sorted(set(numbers))
    ticks = sum(it.ticks if isinstance(it, Missing) else opus_ticks(it) for it in pieces)
    assert ticks == (len(fates) + 21) * TICKS


def test_a_hole_of_more_than_a_second_is_a_pause_and_counts_as_one() -> None:
    line, at = calm(50)
    assert line.arrived(50, 49 * TICKS + 10 * RTP_RATE, packet(50), at + 10 * SECOND) == [
        Missing(LONGEST_FILL),
        packet(50),
    ]


def test_silence_that_was_not_sent_is_filled_at_once() -> None:
    line, at = calm(50)
    assert line.arrived(50, 50 * TICKS + 1_920, packet(50), at) == [Missing(1_920), packet(50)]


def test_a_clock_that_goes_back_leaves_no_hole() -> None:
    line, at = calm(50)
    assert line.arrived(50, 0, packet(50), at) == [packet(50)]


def test_a_sender_that_is_quiet_is_heard_to_be_quiet_while_it_is() -> None:
    line, at = calm(50)
    assert line.arrived(50, 50 * TICKS, DTX, at) == [DTX]
    made_up = 0
    while line.due_ns is not None and line.due_ns <= at + 5 * SECOND:
        due = line.due_ns
        pieces = line.waited(due)
        assert pieces == [Missing(QUIET_STEP)]
        made_up += QUIET_STEP
        assert made_up * SECOND // RTP_RATE <= due - at
    assert made_up == LONGEST_FILL


def test_speech_after_quiet_comes_at_once_and_time_stays_right() -> None:
    line, at = calm(50)
    line.arrived(50, 50 * TICKS, DTX, at)
    assert line.waited(at + 110 * MS) == [Missing(QUIET_STEP)] * 2
    spoken = line.arrived(51, 50 * TICKS + 120 * 48, packet(51), at + 121 * MS)
    assert spoken == [Missing(120 * 48 - TICKS - 2 * QUIET_STEP), packet(51)]
    assert line.due_ns is None


def test_the_line_of_a_sender_that_starts_anew_goes_on() -> None:
    line, at = calm(50)
    jump = 50 + RESTART_AHEAD
    assert send(line, jump, at) == []
    assert heard(send(line, jump + 1, at + FRAME_NS)) == [jump + 1]
    back = jump + 1 - RESTART_BEHIND - 50
    assert send(line, back, at + 2 * FRAME_NS) == []
    assert heard(send(line, back + 1, at + 3 * FRAME_NS)) == [back + 1]
    assert line.due_ns is None


def test_what_waited_is_heard_before_a_new_start() -> None:
    line, at = calm(50)
    send(line, 51, at)
    send(line, 9_000, at)
    assert heard(send(line, 9_001, at)) == [-1, 51, 9_001]


def test_a_single_stray_packet_changes_nothing() -> None:
    line, at = calm(50)
    assert send(line, 20_000, at) == []
    assert heard(send(line, 50, at)) == [50]
    assert heard(send(line, 51, at)) == [51]


def test_who_sends_faster_than_anybody_speaks_is_refused_beyond_two_seconds() -> None:
    line = Incoming()
    passed = sum(len(send(line, number, 0)) for number in range(1_000))
    assert passed == 101
    assert line.refused == 899
    assert heard(line.waited(SECOND)) == []


def test_after_a_standstill_what_was_held_up_is_heard() -> None:
    line, at = calm(50)
    later = at + 10 * SECOND
    assert sum(len(send(line, number, later)) for number in range(50, 550)) == 500
    for number in range(550, 600):
        assert heard(send(line, number, later + (number - 549) * FRAME_NS)) == [number]


def test_an_hour_of_silence_buys_no_hour_of_flood() -> None:
    line, at = calm(50)
    later = at + 3_600 * SECOND
    passed = sum(len(send(line, number, later)) for number in range(50, 10_000))
    assert passed * FRAME_NS <= CATCH_UP_NS + 3 * SECOND


def test_behind_a_hole_no_more_is_held_than_a_second_and_a_bit() -> None:
    line, at = calm(50)
    for number in range(51, 51 + HELD):
        assert send(line, number, at) == []
    assert heard(send(line, 51 + HELD, at)) == [-1, *range(51, 52 + HELD)]


def test_an_empty_packet_keeps_its_place() -> None:
    line, at = calm(50)
    assert line.arrived(50, 50 * TICKS, b"", at) == []
    assert heard(send(line, 51, at)) == [-1, 51]


def test_the_length_of_an_opus_packet_is_read_from_its_first_bytes() -> None:
    def first(configuration: int, code: int) -> bytes:
        return bytes([configuration << 3 | code])

    assert [opus_ticks(first(it, 0)) for it in (0, 1, 2, 3)] == [480, 960, 1_920, 2_880]
    assert [opus_ticks(first(it, 0)) for it in (12, 13, 14, 15)] == [480, 960, 480, 960]
    assert [opus_ticks(first(it, 0)) for it in (16, 17, 18, 19)] == [120, 240, 480, 960]
    assert [opus_ticks(first(31, it)) for it in (1, 2)] == [1_920, 1_920]
    assert opus_ticks(first(31, 3) + b"\x83") == 2_880
    assert opus_ticks(first(3, 3) + b"\x02") == 5_760
    assert opus_ticks(first(3, 3) + b"\x03") == 0
    assert opus_ticks(first(31, 3)) == 0
    assert opus_ticks(b"") == 0
