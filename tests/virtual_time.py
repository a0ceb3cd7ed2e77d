"""A loop whose clock jumps to the next timer, so that waiting in a test takes no wall time.

What lives here: `VirtualClockLoop`, a normal selector loop with two differences. `loop.time()` is an integer count of
nanoseconds that only moves when nothing is ready, and then exactly to the next timer; and a loop with neither ready
callbacks, timers nor outside work in sight says so at once instead of hanging. `asyncio.sleep`, `asyncio.timeout`,
`call_later` and everything built on them follow.

What does not: sockets are polled, never waited for, so a test with real I/O belongs on the real loop. Work in threads
(`run_in_executor`, `to_thread`) is waited for in real time while the virtual clock stands still.

Mark an async test with `@pytest.mark.virtual_time`; `tests/conftest.py` runs it here. Elsewhere: `run(coroutine)`.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NS = 1_000_000_000
THREAD_PATIENCE_S = (
    60.0  # a thread that has not answered by then hangs; the slowest honest one here takes under 5 s
)


class StuckError(AssertionError):
    """Every task waits for something that can never come: no timer, no thread, nothing ready."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls instead of waiting, and moves the loop's clock by what the wait would have been."""

    loop: "VirtualClockLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self.loop.threads_at_work:
            found = super().select(THREAD_PATIENCE_S)
            if not found:
                raise StuckError(f"a thread has been at work for {THREAD_PATIENCE_S} s")
            return found
        self.loop.jump()
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """See the module. `now_ns` is the exact time; `time()` is the same in seconds, starting at 0."""

    now_ns: int
    threads_at_work: int

    def __init__(self) -> None:
        self.now_ns = 0
        self.threads_at_work = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-9  # timers less than this apart are due together

    def time(self) -> float:
        return self.now_ns / NS

    def jump(self) -> None:
        """Move the clock to the earliest timer."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not timers:
            waiting = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
            raise StuckError(f"nothing can happen any more; waiting: {waiting or 'nobody'}")
        self.now_ns = max(self.now_ns, round(timers[0].when() * NS))

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As ever, but time stands still until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self.threads_at_work += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own
        """As ever; waiting for the threads to end is no virtual time either."""
        self.threads_at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads_at_work -= 1

    def _thread_done(self, _: object) -> None:
        self.threads_at_work -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`, run on a fresh virtual-time loop."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
