"""The rule of a limit: what is admitted, and what is told about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.access.limits import (
    MINUTE_US,
    Admission,
    Bucket,
    Claim,
    Limit,
    Standing,
    admission,
    fits,
    share,
    used_us,
)

LIMITS = st.builds(Limit, requests=st.integers(1, 50), window_us=st.integers(1, 10 * MINUTE_US))


def admitted_of(limit: Limit, times: list[int]) -> list[int]:
    """Those of ``times`` at which a request is admitted, by one bucket."""
    full_at = None
    found = []
    for now in times:
        used = used_us(full_at, limit, now)
        if fits(used, limit):
            full_at = now + used + limit.interval_us
            found.append(now)
    return found


def test_a_new_bucket_is_full() -> None:
    assert used_us(None, Limit(3), 12) == 0


def test_a_bucket_is_full_from_its_time_on() -> None:
    assert used_us(1_000, Limit(3), 999) == 1
    assert used_us(1_000, Limit(3), 1_000) == 0
    assert used_us(1_000, Limit(3), 5_000) == 0


def test_a_clock_that_was_set_back_shuts_nobody_out_for_longer_than_a_window() -> None:
    limit = Limit(60)
    assert used_us(10**15, limit, 0) == limit.capacity_us == MINUTE_US


def test_a_minutes_requests_may_come_at_once_and_then_one_in_each_interval() -> None:
    assert len(admitted_of(Limit(60), [0] * 100)) == 60
    assert admitted_of(Limit(60), [0] * 60 + [999_999, 1_000_000, 1_000_001])[60:] == [1_000_000]


def test_an_interval_is_rounded_up() -> None:
    assert Limit(7, 10).interval_us == 2
    assert Limit(5, 10).interval_us == 2


@given(limit=LIMITS, gaps=st.lists(st.integers(0, MINUTE_US), max_size=200))
def test_in_no_span_is_more_admitted_than_a_full_bucket_and_what_filled_it(
    limit: Limit, gaps: list[int]
) -> None:
    now, times = 0, []
    for gap in gaps:
        now += gap % (2 * limit.interval_us)
        times.append(now)
    found = admitted_of(limit, times)
    for count in range(1, len(found) + 1):
        for begin, end in zip(found, found[count - 1 :], strict=False):
            assert count <= limit.requests + (end - begin) // limit.interval_us


@given(limit=LIMITS)
def test_who_keeps_the_pace_is_never_refused(limit: Limit) -> None:
    times = [number * limit.interval_us for number in range(3 * limit.requests)]
    assert admitted_of(limit, times) == times


def test_an_admission_tells_what_is_left() -> None:
    claim = Claim("a", Limit(60))
    found = admission((claim,), (2_500_000,), admitted=True)
    assert found == Admission(True, (Standing("a", claim.limit, 57, 2_500_000),))


def test_a_refusal_tells_when_to_come_back() -> None:
    claim = Claim("a", Limit(60))
    found = admission((claim,), (MINUTE_US - 250_000,), admitted=False)
    assert found.standings == (Standing("a", claim.limit, 0, MINUTE_US - 250_000, 750_000),)


def test_a_bucket_that_did_not_refuse_tells_no_time() -> None:
    claims = (Claim("a", Limit(60)), Claim("b", Limit(60)))
    found = admission(claims, (MINUTE_US, 0), admitted=False)
    assert [it.retry_after_us for it in found.standings] == [1_000_000, 0]


def test_each_claim_needs_its_bucket() -> None:
    with pytest.raises(ValueError, match="shorter"):
        admission((Claim("a", Limit(1)),), (), admitted=True)


def test_the_tightest_is_the_one_with_the_least_in_it() -> None:
    claims = (Claim("much", Limit(100)), Claim("little", Limit(60)))
    assert admission(claims, (0, 0), admitted=True).tightest.key == "little"


def test_the_tightest_is_the_one_that_refuses_longest() -> None:
    claims = (Claim("short", Limit(100)), Claim("long", Limit(1)), Claim("open", Limit(1)))
    found = admission(claims, (MINUTE_US, MINUTE_US, 0), admitted=False)
    assert found.tightest.key == "long"


def test_a_processes_share_is_at_least_one() -> None:
    assert share(Limit(60), 4) == Limit(15)
    assert share(Limit(60), 1) == Limit(60)
    assert share(Limit(3), 4) == Limit(1)


@given(limit=LIMITS, gaps=st.lists(st.integers(0, MINUTE_US), max_size=60))
def test_a_bucket_of_ones_own_admits_by_the_same_rule(limit: Limit, gaps: list[int]) -> None:
    bucket, now, times = Bucket(limit), 0, []
    for gap in gaps:
        now += gap
        times.append(now)
    assert [it for it in times if bucket.admits(it)] == admitted_of(limit, times)
