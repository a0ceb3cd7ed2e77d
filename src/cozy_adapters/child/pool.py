"""Processes of one program: as many as there is work at once, up to a limit; idle ones wait for the next."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO, Generic, TypeVar

import msgspec

from cozy_adapters.child.ending import gone
from cozy_adapters.child.process import environment
from cozy_domain.errors import LimitError, ProviderUnavailableError

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of an answer: some minutes of sound as base64, or an hour's transcript with its words."""
LAST_WORDS = 300
"""Characters of what a process said before it ended."""

A = TypeVar("A")


class Program(msgspec.Struct, frozen=True):
    """``name`` is the engine's in errors, ``label`` what people call it, at the beginning of a sentence; ``arguments``
    follow ``python -m module``. What ``answers_soon`` is not ended when somebody leaves before its answer: the next
    one waits."""

    name: str
    label: str
    module: str
    arguments: Sequence[str] = ()
    answers_soon: bool = False


class Pool(Generic[A]):
    """At most ``limit`` at once; who comes when all are busy waits, for at most ``wait_s`` seconds."""

    def __init__(self, program: Program, answers: msgspec.json.Decoder[A], limit: int, wait_s: float) -> None:
        self._program = program
        self._answers = answers
        self._wait_s = wait_s
        self._room = asyncio.Semaphore(limit)
        self._idle: list[Child[A]] = []
        self._all: set[Child[A]] = set()
        self._closed = False

    @asynccontextmanager
    async def one(self, first: msgspec.Struct) -> AsyncIterator[tuple["Child[A]", A]]:
        """A process for one piece of work, and its answer to the ``first`` question.

        Raises:
            LimitError: none was free in time.
            ProviderUnavailableError: it does not start, or ends.
        """
        await self._turn()
        try:
            child, answer = await self._begun(first)
            try:
                yield child, answer
            finally:
                await self._keep(child)
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
        for child in tuple(self._all):
            await self._end(child)

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.acquire()
        except TimeoutError:
            raise LimitError(
                f"{self._program.label} has more to do than it can.",
                code="server_overloaded",
                retry_after_s=1.0,
            ) from None

    async def _begun(self, first: msgspec.Struct) -> tuple["Child[A]", A]:
        """An idle process may have died unnoticed: then another is asked."""
        while self._idle:
            child = self._idle.pop()
            with suppress(ProviderUnavailableError):
                return child, await self._asked(child, first)
        child = await self._started()
        return child, await self._asked(child, first)

    async def _asked(self, child: "Child[A]", first: msgspec.Struct) -> A:
        try:
            return await child.ask(first)
        except BaseException:
            await self._keep(child)
            raise

    async def _started(self) -> "Child[A]":
        program = self._program
        if self._closed:
            raise ProviderUnavailableError(f"{program.label} is closed.", provider=program.name)
        said = tempfile.TemporaryFile()  # noqa: SIM115 - the child's for as long as it lives
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                program.module,
                *program.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=said,
                limit=LONGEST_LINE,
                env=environment(),
            )
        except BaseException:
            said.close()
            raise
        child = Child(program, process, self._answers, said)
        self._all.add(child)
        return child

    async def _keep(self, child: "Child[A]") -> None:
        if child.usable and not self._closed:
            self._idle.append(child)
        else:
            await self._end(child)

    async def _end(self, child: "Child[A]") -> None:
        self._all.discard(child)
        child.kill()
        await asyncio.shield(child.ended())


class Child(Generic[A]):
    """One process. Who leaves before the answer leaves it useless, unless answers come soon."""

    def __init__(
        self,
        program: Program,
        process: asyncio.subprocess.Process,
        answers: msgspec.json.Decoder[A],
        said: IO[bytes],
    ) -> None:
        self._program = program
        self._process = process
        self._answers = answers
        self._said = said
        self._unread = 0
        self._broken = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        waits = self._unread == 0 or (self._program.answers_soon and not self._broken)
        return self._process.returncode is None and waits

    async def ask(self, question: msgspec.Struct) -> A:
        """
        Raises:
            ProviderUnavailableError: the process ended.
        """
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None  # noqa: S101, PT018 - narrows for mypy; both are pipes
        self._unread += 1
        try:
            questions.write(line(question))
            await questions.drain()
            while self._unread > 1:  # what somebody asked who left
                await answers.readuntil()
                self._unread -= 1
            answer = self._answers.decode(await answers.readuntil())
        except (OSError, EOFError):
            self._broken = True
            raise self._gone() from None
        self._unread -= 1
        return answer

    def kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def ended(self) -> None:
        await gone(self._process)
        self._said.close()

    def _gone(self) -> ProviderUnavailableError:
        last = self._last_words()
        return ProviderUnavailableError(
            f"{self._program.label} broke off{': ' if last else ''}{last or '.'}",
            provider=self._program.name,
        )

    def _last_words(self) -> str:
        """The last line that it wrote to standard error before it fell silent, without the folders of its arguments."""
        if self._said.closed:
            return ""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        told = next((it.strip() for it in reversed(lines) if it.strip()), "")
        for argument in self._program.arguments:
            told = told.replace(argument, "…")
        return told[:LAST_WORDS]


def line(value: msgspec.Struct) -> bytes:
    """With the end of line; JSON has no other."""
    return _ENCODER.encode(value) + b"\n"


_ENCODER = msgspec.json.Encoder()
