"""The virtual-time loop itself: exact, fast, and loud when nothing can happen any more."""

import asyncio
import time

import pytest

from tests.virtual_time import StuckError, VirtualClockLoop, run

HOUR_S = 3600


def virtual_loop() -> VirtualClockLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    return loop


@pytest.mark.virtual_time
async def test_sleeping_an_hour_takes_no_wall_time_and_exactly_an_hour_of_loop_time() -> None:
    started = time.perf_counter()
    await asyncio.sleep(HOUR_S)
    assert virtual_loop().time() == HOUR_S
    assert time.perf_counter() - started < 1


@pytest.mark.virtual_time
async def test_many_small_sleeps_add_up_to_the_nanosecond() -> None:
    for _ in range(1000):
        await asyncio.sleep(0.1)
    assert virtual_loop().now_ns == 100 * 1_000_000_000


@pytest.mark.virtual_time
async def test_a_deadline_passes_at_its_exact_time() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await asyncio.sleep(HOUR_S)
    assert virtual_loop().now_ns == 500_000_000


@pytest.mark.virtual_time
async def test_waits_at_once_take_as_long_as_the_longest() -> None:
    woken: list[float] = []

    async def nap(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(virtual_loop().time())

    await asyncio.gather(nap(0.5), nap(0.3), nap(0.4))
    assert woken == [0.3, 0.4, 0.5]


@pytest.mark.virtual_time
async def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    virtual_loop().call_later(HOUR_S, lambda: None).cancel()
    await asyncio.sleep(1)
    assert virtual_loop().time() == 1


@pytest.mark.virtual_time
async def test_time_stands_still_while_a_thread_works() -> None:
    async def slow_thread() -> float:
        await asyncio.to_thread(time.sleep, 0.05)
        return virtual_loop().time()

    async with asyncio.timeout(0.01):
        assert await slow_thread() == 0


async def test_an_unmarked_test_runs_on_the_real_loop() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualClockLoop)


def test_a_loop_where_nothing_can_happen_says_who_waits() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.create_task(asyncio.Event().wait(), name="the forgotten one")

    with pytest.raises(StuckError, match="the forgotten one"):
        run(wait_for_nothing())


def test_run_gives_the_result_and_closes_the_threads() -> None:
    assert run(asyncio.to_thread(lambda: 7)) == 7
