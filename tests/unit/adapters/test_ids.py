"""UUIDv7, as RFC 9562 section 5.7 lays it out."""

import subprocess
import sys
import threading
from itertools import pairwise
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.ids import TimeOrderedIds
from cozy_adapters.inmemory.ids import InMemoryIds

NS_PER_MS = 1_000_000


def at_times(*times_ns: int) -> TimeOrderedIds:
    times = iter(times_ns)
    return TimeOrderedIds(lambda: next(times))


def test_an_id_has_the_version_and_the_variant_of_its_kind() -> None:
    for made in (TimeOrderedIds().new(), InMemoryIds().new()):
        assert (made.version, made.variant) == (7, RFC_4122)


def test_an_id_starts_with_the_milliseconds_since_1970() -> None:
    made = at_times(1_645_557_742_000 * NS_PER_MS).new()  # the moment of RFC 9562, appendix A.6
    assert str(made).startswith("017f22e2-79b0-7000-")


def test_the_fraction_of_the_millisecond_follows() -> None:
    made = at_times(1_645_557_742_000 * NS_PER_MS + NS_PER_MS // 2).new()
    assert str(made).startswith("017f22e2-79b0-7800-")


@given(st.lists(st.integers(10**18, 10**18 + 10**7), min_size=2, max_size=50))
def test_ids_rise_whatever_the_clock_does(times: list[int]) -> None:
    ids = at_times(*times)
    made = [ids.new() for _ in times]
    assert all(one < other for one, other in pairwise(made))


def test_a_clock_that_stands_still_does_not_repeat_ids() -> None:
    ids = TimeOrderedIds(lambda: 10**18)
    made = [ids.new() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert all(one.version == 7 for one in made)


def test_threads_get_different_ids() -> None:
    ids = TimeOrderedIds(lambda: 10**18)
    made: list[UUID] = []
    threads = [threading.Thread(target=lambda: made.extend(ids.new() for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.int >> 64 for one in made}) == 2_000  # the ordered half alone


def test_counted_ids_are_the_same_in_every_run_and_differ_between_spaces() -> None:
    assert InMemoryIds().new() == InMemoryIds().new()
    one, other = InMemoryIds(1), InMemoryIds(2)
    made = [one.new(), one.new(), other.new()]
    assert made == sorted(set(made))


FORKED = """
import os
from cozy_adapters.ids import TimeOrderedIds
ids = TimeOrderedIds(lambda: 10**18)
ids.new()
child = os.fork()
os.write(1, f"{ids.new()}\\n".encode())
if child:
    os.wait()
"""


def test_a_forked_process_makes_ids_of_its_own() -> None:
    told = subprocess.run([sys.executable, "-c", FORKED], stdout=subprocess.PIPE, check=True).stdout
    ours, theirs = told.split()
    assert ours != theirs
