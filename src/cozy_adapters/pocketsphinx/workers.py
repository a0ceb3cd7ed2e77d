"""The processes that hear: as many as there are utterances at once, up to a limit; idle ones wait for the next."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from cozy_adapters.child import environment
from cozy_adapters.pocketsphinx import wire
from cozy_adapters.pocketsphinx.wire import Answer, Question
from cozy_domain.errors import LimitError, ProviderUnavailableError

NAME = "pocketsphinx"
PATIENCE_S = 20.0
"""How long an utterance waits for a process; a use case gives a recogniser 30 s for a file, and more for a long one."""
LONGEST_LINE = 4 * 1024 * 1024
"""Bytes of an answer: an utterance of half an hour, with its words."""


class Workers:
    """At most ``limit`` at once; who comes when all are busy waits, for at most ``wait_s`` seconds."""

    def __init__(self, limit: int, wait_s: float = PATIENCE_S) -> None:
        self._wait_s = wait_s
        self._room = asyncio.Semaphore(limit)
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._closed = False

    @asynccontextmanager
    async def one(self, first: Question) -> AsyncIterator[tuple["Worker", Answer]]:
        """A worker for one utterance, and its answer to the ``first`` question.

        Raises:
            LimitError: no process was free in time.
            ProviderUnavailableError: the process does not start, or ends.
        """
        await self._turn()
        try:
            worker, answer = await self._begun(first)
            try:
                yield worker, answer
            finally:
                await self._keep(worker)
        finally:
            self._room.release()

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that are idle."""
        return tuple(it.pid for it in self._idle)

    async def aclose(self) -> None:
        """Ends all, also those at work."""
        self._closed = True
        self._idle.clear()
        for worker in tuple(self._all):
            await self._end(worker)

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.acquire()
        except TimeoutError:
            raise LimitError(
                "The offline recogniser has more to hear than it can.",
                code="server_overloaded",
                retry_after_s=1.0,
            ) from None

    async def _begun(self, first: Question) -> tuple["Worker", Answer]:
        """An idle process may have died unnoticed: then another is asked."""
        while self._idle:
            worker = self._idle.pop()
            with suppress(ProviderUnavailableError):
                return worker, await self._asked(worker, first)
        worker = await self._started()
        return worker, await self._asked(worker, first)

    async def _asked(self, worker: "Worker", first: Question) -> Answer:
        try:
            return await worker.ask(first)
        except BaseException:
            await self._end(worker)
            raise

    async def _started(self) -> "Worker":
        if self._closed:
            raise ProviderUnavailableError("The offline recogniser is closed.", provider=NAME)
        worker = Worker(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cozy_adapters.pocketsphinx.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=LONGEST_LINE,
                env=environment(),  # no key of a provider
            )
        )
        self._all.add(worker)
        return worker

    async def _keep(self, worker: "Worker") -> None:
        if worker.usable and not self._closed:
            self._idle.append(worker)
        else:
            await self._end(worker)

    async def _end(self, worker: "Worker") -> None:
        self._all.discard(worker)
        worker.kill()
        await asyncio.shield(worker.ended())


class Worker:
    """One process. Who leaves before the answer leaves it useless."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        return self._process.returncode is None and not self._asked

    async def ask(self, question: Question) -> Answer:
        """
        Raises:
            ProviderUnavailableError: the process ended.
        """
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None  # noqa: S101, PT018 - narrows for mypy; both are pipes
        self._asked = True
        try:
            questions.write(wire.line(question))
            await questions.drain()
            answer = wire.ANSWERS.decode(await answers.readuntil())
        except (OSError, EOFError):
            raise ProviderUnavailableError("The offline recogniser's process ended.", provider=NAME) from None
        self._asked = False
        return answer

    def kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def ended(self) -> None:
        await self._process.wait()
