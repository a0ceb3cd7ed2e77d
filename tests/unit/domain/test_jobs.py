"""When a job runs."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.jobs import (
    FIRST_RETRY,
    LONGEST_RETRY,
    MAX_ATTEMPTS,
    Job,
    JobDemand,
    debounced,
    failed,
    is_due,
    job_id,
    leased,
    merged,
    retry_at,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOB = Job(UUID(int=1), "learn", "s", NOW, NOW + timedelta(minutes=10), "queued")

moments = st.integers(0, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))


def after(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(moments, moments, moments, moments)
def test_a_demand_never_makes_a_job_earlier_nor_later_than_its_end(
    run_after: datetime, max_at: datetime, wanted: datetime, by: datetime
) -> None:
    queued = replace(JOB, run_after=min(run_after, max_at), max_at=max_at)
    pushed = debounced(queued, JobDemand("learn", "s", wanted, by))
    assert queued.run_after <= pushed <= max_at
    assert pushed in (queued.run_after, wanted, max_at)


def test_a_demand_moves_a_job_to_the_time_it_asks_for() -> None:
    assert debounced(JOB, JobDemand("learn", "s", after(60), after(9_999))) == after(60)
    assert debounced(JOB, JobDemand("learn", "s", after(700), after(9_999))) == after(600)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (7, 1920)])
def test_each_retry_waits_twice_as_long(attempts: int, seconds: int) -> None:
    assert retry_at(NOW, attempts) == after(seconds)


def test_the_last_attempt_is_followed_by_none() -> None:
    assert retry_at(NOW, MAX_ATTEMPTS - 1) is not None
    assert retry_at(NOW, MAX_ATTEMPTS) is None
    assert retry_at(NOW, MAX_ATTEMPTS + 5) is None


@given(st.integers(1, MAX_ATTEMPTS - 1))
def test_a_retry_waits_between_the_shortest_and_the_longest_time(attempts: int) -> None:
    again = retry_at(NOW, attempts)
    assert again is not None
    assert FIRST_RETRY <= again - NOW <= LONGEST_RETRY


def test_a_queued_job_is_due_from_its_time_on() -> None:
    assert not is_due(replace(JOB, run_after=after(1)), NOW)
    assert is_due(JOB, NOW)


def test_a_leased_job_is_due_when_its_lease_has_run_out() -> None:
    held = leased(JOB, after(60))
    assert not is_due(held, after(59))
    assert is_due(held, after(60))


def test_a_parked_job_is_never_due() -> None:
    parked = failed(JOB, "code", None)
    assert not is_due(parked, after(10_000_000))


def test_only_a_lost_lease_counts_as_an_attempt() -> None:
    held = leased(JOB, after(60))
    assert (held.state, held.lease_until, held.attempts) == ("leased", after(60), 0)
    assert leased(held, after(120)).attempts == 1


def test_a_failed_job_is_queued_again_and_cannot_be_pulled_forward() -> None:
    again = failed(leased(JOB, after(60)), "code", after(900))
    assert (again.state, again.attempts, again.reason, again.lease_until) == ("queued", 1, "code", None)
    assert (again.run_after, again.max_at) == (after(900), after(900))
    assert debounced(again, JobDemand("learn", "s", after(1), after(2))) == after(900)


def test_a_failed_job_keeps_an_end_that_is_later() -> None:
    assert failed(JOB, "code", after(30)).max_at == JOB.max_at


def test_a_parked_job_keeps_its_times() -> None:
    parked = failed(leased(JOB, after(60)), "code", None)
    assert (parked.state, parked.attempts, parked.reason, parked.lease_until) == ("parked", 1, "code", None)
    assert (parked.run_after, parked.max_at) == (JOB.run_after, JOB.max_at)


def test_two_jobs_of_a_key_become_one_with_the_later_times() -> None:
    newer = replace(JOB, id=UUID(int=2), run_after=after(20), max_at=after(800))
    both = merged(newer, failed(JOB, "code", after(30)))
    assert (both.id, both.state) == (newer.id, "queued")
    assert (both.run_after, both.max_at, both.attempts, both.reason) == (after(30), after(800), 1, "code")
    late = merged(replace(newer, run_after=after(50)), failed(JOB, "code", after(30)))
    assert late.run_after == after(50)


def test_a_jobs_id_depends_on_its_turn_and_its_key() -> None:
    wanted = JobDemand("learn", "s", NOW, NOW)
    same = job_id(UUID(int=1), wanted)
    assert job_id(UUID(int=1), replace(wanted, run_after=after(5))) == same
    others = [
        job_id(UUID(int=2), wanted),
        job_id(UUID(int=1), replace(wanted, key="t")),
        job_id(UUID(int=1), replace(wanted, kind="forget")),
    ]
    assert len({same, *others}) == 4
