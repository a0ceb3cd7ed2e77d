"""Ids belong to their callers; candidates belong to their ids; whoever reads along reads everything."""

import asyncio
from contextlib import closing

import pytest

from cozy_domain.access.caller import Caller
from cozy_domain.errors import LimitError
from cozy_server.fastrtc.lines import AWAITED_S, CANDIDATES, MOST_AWAITING, REMEMBERED_NS, Lines, name_of
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
    with closing(outputs.reader()) as reader:
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
    with closing(outputs.reader()) as reader:
        assert reader.take() == [b"first"]
        for number in range(MOST_KEPT + 5):
            outputs.add(b"%d" % number)
        assert reader.take() == [b"%d" % it for it in range(5, MOST_KEPT + 5)]
        assert reader.take() == []


@pytest.mark.virtual_time
async def test_a_reader_waits_no_longer_than_it_says() -> None:
    outputs = Outputs()
    with closing(outputs.reader()) as reader:
        assert await reader.wait(15)
        assert asyncio.get_running_loop().time() == 15


def test_a_call_has_so_many_readers_at_once() -> None:
    outputs = Outputs()
    readers = [outputs.reader() for _ in range(MOST_READERS)]
    with pytest.raises(LimitError):
        outputs.reader()
    readers[0].close()
    readers[0].close()
    outputs.reader()
    with pytest.raises(LimitError):
        outputs.reader()


@pytest.mark.virtual_time
async def test_a_line_is_awaited_until_it_is_opened_and_no_longer_than_some_seconds() -> None:
    lines = Lines(SkippingClock())
    coming = asyncio.create_task(lines.awaited(ANNA, "abc"))
    theirs = asyncio.create_task(lines.awaited(BEN, "abc"))
    await asyncio.sleep(1)
    assert lines.awaiting == 2
    line = lines.claim(ANNA, "abc", None)
    assert await coming is line
    assert not theirs.done()
    assert await theirs is None
    assert asyncio.get_running_loop().time() == AWAITED_S
    assert lines.awaiting == 0


async def test_a_line_that_has_ended_is_not_awaited_until_it_is_forgotten_or_opened_again() -> None:
    clock = SkippingClock()
    lines = Lines(clock)
    lines.release(lines.claim(ANNA, "abc", None))
    assert await lines.awaited(ANNA, "abc") is None
    again = lines.claim(ANNA, "abc", None)
    assert await lines.awaited(ANNA, "abc") is again
    lines.release(again)
    clock.skip(REMEMBERED_NS / 1e9)
    waiting = asyncio.create_task(lines.awaited(ANNA, "abc"))
    await asyncio.sleep(0)
    assert lines.awaiting == 1
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert lines.awaiting == 0


@pytest.mark.virtual_time
async def test_only_so_many_wait_for_lines() -> None:
    lines = Lines(SkippingClock())
    waiting = [asyncio.create_task(lines.awaited(ANNA, str(it))) for it in range(MOST_AWAITING)]
    await asyncio.sleep(0)
    assert await lines.awaited(BEN, "abc") is None
    assert asyncio.get_running_loop().time() == 0
    assert await asyncio.gather(*waiting) == [None] * MOST_AWAITING
