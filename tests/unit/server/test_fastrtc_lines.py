"""Ids belong to their callers; candidates belong to their ids; whoever reads along reads everything."""

import asyncio
from contextlib import ExitStack

import pytest

from cozy_domain.access.caller import Caller
from cozy_server.fastrtc.lines import CANDIDATES, REMEMBERED_NS, Lines, name_of
from cozy_server.fastrtc.outputs import MOST_KEPT, MOST_READERS, Outputs
from cozy_server.fastrtc.refusals import EXISTS, RefusedError
from tests.fixtures.clocks import SkippingClock

ANNA = Caller("anna")
BEN = Caller("ben")


def test_an_id_is_found_by_its_caller_alone() -> None:
    lines = Lines(SkippingClock())
    line = lines.claim(ANNA, "abc", None)
    assert lines.find(ANNA, "abc") is line
    assert lines.find(BEN, "abc") is None
    theirs = lines.claim(BEN, "abc", None)
    assert theirs.name != line.name
    assert len(lines) == 2


def test_names_of_different_callers_never_meet() -> None:
    assert name_of("a/b", "c") != name_of("a", "b/c")


def test_an_open_id_is_not_given_twice() -> None:
    lines = Lines(SkippingClock())
    line = lines.claim(ANNA, "abc", None)
    with pytest.raises(RefusedError) as refusal:
        lines.claim(ANNA, "abc", None)
    assert refusal.value.refusal.meta == {"error": EXISTS}
    lines.release(line)
    lines.release(line)
    assert len(lines) == 0
    assert lines.claim(ANNA, "abc", None) is not line


def test_releasing_an_old_line_leaves_the_new_one_of_that_id() -> None:
    lines = Lines(SkippingClock())
    old = lines.claim(ANNA, "abc", None)
    lines.release(old)
    new = lines.claim(ANNA, "abc", None)
    lines.release(old)
    assert lines.find(ANNA, "abc") is new


def test_a_named_person_finds_only_his_own() -> None:
    lines = Lines(SkippingClock())
    line = lines.claim(ANNA, "abc", "mei")
    assert lines.find(ANNA, "abc", "mei") is line
    assert lines.find(ANNA, "abc") is line
    assert lines.find(ANNA, "abc", "lin") is None


def test_the_first_request_of_an_id_counts_and_the_next_ones_belong_to_it() -> None:
    clock = SkippingClock()
    lines = Lines(clock)
    assert not lines.belongs("anna", "abc")
    assert all(lines.belongs("anna", "abc") for _ in range(CANDIDATES - 1))
    assert not lines.belongs("anna", "abc")
    assert not lines.belongs("ben", "abc")
    clock.skip(REMEMBERED_NS / 1e9)
    assert not lines.belongs("anna", "abc")
    assert lines.belongs("anna", "abc")


def test_an_offers_candidates_belong_to_it() -> None:
    lines = Lines(SkippingClock())
    lines.claim(ANNA, "abc", None)
    assert lines.belongs("anna", "abc")


async def read_to_the_end(outputs: Outputs) -> list[bytes]:
    found: list[bytes] = []
    with outputs.reader() as reader:
        while await reader.wait(10):
            found += reader.take()
        return found + reader.take()


async def test_every_reader_reads_everything_until_the_end() -> None:
    outputs = Outputs()
    outputs.add(b"1")
    readers = [asyncio.create_task(read_to_the_end(outputs)) for _ in range(2)]
    await asyncio.sleep(0)
    outputs.add(b"2")
    outputs.close()
    assert await asyncio.gather(*readers) == [[b"1", b"2"], [b"1", b"2"]]
    assert await read_to_the_end(outputs) == [b"1", b"2"]


def test_a_slow_reader_misses_what_was_forgotten_and_nothing_twice() -> None:
    outputs = Outputs()
    outputs.add(b"first")
    with outputs.reader() as reader:
        assert reader.take() == [b"first"]
        for number in range(MOST_KEPT + 5):
            outputs.add(b"%d" % number)
        assert reader.take() == [b"%d" % it for it in range(5, MOST_KEPT + 5)]
        assert reader.take() == []


@pytest.mark.virtual_time
async def test_a_reader_waits_no_longer_than_it_says() -> None:
    outputs = Outputs()
    with outputs.reader() as reader:
        assert await reader.wait(15)
        assert asyncio.get_running_loop().time() == 15


def test_a_call_has_so_many_readers_at_once() -> None:
    outputs = Outputs()
    with ExitStack() as stack:
        for _ in range(MOST_READERS):
            stack.enter_context(outputs.reader())
        full = outputs.full
    assert (full, outputs.full) == (True, False)
