"""``EspeakTextToSpeech``: the `TextToSpeech` port, over processes that speak."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from cozy_adapters.child.ending import end
from cozy_adapters.child.process import environment
from cozy_adapters.espeak.voices import OPENAI_VOICES, rate_of, readable, voice_of
from cozy_adapters.espeak.wire import (
    ANSWERS,
    LENGTH_BYTES,
    Answer,
    List,
    Listed,
    Order,
    Question,
    Spoken,
    framed,
)
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import LimitError, ProviderRefusedError, ProviderUnavailableError
from cozy_domain.speech.ports import Mark, Sound, Voicing

NAME = "espeak"
WORKER = "cozy_adapters.espeak.worker"
AT_ONCE = 2
PATIENCE_S = 5.0
"""How long a text waits for a process; longer than this the machine has too much to say."""
OWED_S = 1.0
"""How long an answer that nobody waits for any more may take, before its process counts as stuck: a sentence takes 0.2 s."""
PIECE_BYTES = SPEAKING_RATE // 5 * SAMPLE_BYTES
"""Of a piece that is handed out: 0.2 s."""


class EspeakTextToSpeech:
    """English and Mandarin by default, and every voice that the library lists. ``at_once`` texts are spoken at the same
    time, each by a process that stays for the next, 38 MB each; others wait."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = PATIENCE_S) -> None:
        self._wait_s = wait_s
        self._at_once = at_once
        self._room = asyncio.Semaphore(at_once)
        self._idle: list[_Mouth] = []
        """The last one is asked first."""
        self._listed: tuple[str, ...] = ()

    async def aopen(self) -> None:
        """Starts all processes now, instead of for the first texts: that takes 0.2 s, and much longer on a busy machine."""
        await self._voices()
        while len(self._idle) < self._at_once:
            self._idle.append(_Mouth(await _start()))

    async def aclose(self) -> None:
        while self._idle:
            await end(self._idle.pop().process)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that are idle."""
        return tuple(it.process.pid for it in self._idle)

    async def voices(self) -> tuple[str, ...]:
        return (*OPENAI_VOICES, *await self._voices())

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        order = Order(readable(text), voice_of(voicing, text, await self._voices()), rate_of(voicing.speed))
        spoken = await self._ask(order)
        sounds = _pieces(spoken if isinstance(spoken, Spoken) else Spoken(b"", ()))
        try:
            yield sounds
        finally:
            await sounds.aclose()

    async def _voices(self) -> tuple[str, ...]:
        if not self._listed:
            listed = await self._ask(List())
            self._listed = listed.voices if isinstance(listed, Listed) else ()
        return self._listed

    async def _ask(self, question: Question) -> Answer:
        """
        Raises:
            LimitError: no process was free in time; that is no fault of the voice.
            ProviderRefusedError: the library crashes on this text.
            ProviderUnavailableError: the library does not start.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.acquire()
        except TimeoutError:
            raise LimitError(
                "The offline voice has more to say than it can.", code="server_overloaded", retry_after_s=1.0
            ) from None
        try:
            # Its state comes from the texts before: what crashed a used process may not crash a new one.
            return await self._answer(question, self._idle.pop() if self._idle else None) or await self._last(
                question
            )
        finally:
            self._room.release()

    async def _last(self, question: Question) -> Answer:
        answer = await self._answer(question, None)
        if answer:
            return answer
        if isinstance(question, List):
            raise ProviderUnavailableError(
                "The offline voice does not start.",
                provider=NAME,
                hint="pip install --force-reinstall espeakng-loader, or configure speech.tts.",
            )
        raise ProviderRefusedError(
            "The offline voice cannot speak this text.", provider=NAME, code="invalid_value", param="input"
        )

    async def _answer(self, question: Question, mouth: "_Mouth | None") -> Answer | None:
        """None when the process died of it. One that is left in the middle of an answer goes to the end of the queue, and
        whoever gets it waits for that answer first; a new one would take longer to start."""
        mouth = mouth or _Mouth(await _start())
        dead = False
        try:
            return await mouth.asked(question)
        except (asyncio.IncompleteReadError, OSError):
            dead = True
            return None
        finally:
            if dead or mouth.owed > 1:
                await end(mouth.process)
            else:
                self._idle.insert(0 if mouth.owed else len(self._idle), mouth)


class _Mouth:
    """A process, and how many answers of it nobody has read."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.owed = 0
        self._length: int | None = None
        """Of the answer that comes, once that is known."""

    async def asked(self, question: Question) -> Answer:
        """
        Raises:
            OSError, asyncio.IncompleteReadError: the process died, or is stuck with what was asked before.
        """
        questions = self.process.stdin
        if questions is None:
            raise OSError("a process without pipes")
        questions.write(framed(question))
        self.owed += 1
        await questions.drain()
        async with asyncio.timeout(OWED_S):  # a TimeoutError is an OSError
            while self.owed > 1:
                await self._read()
        answer: Answer = ANSWERS.decode(await self._read())
        return answer

    async def _read(self) -> bytes:
        """The next answer. Who is cancelled here has read nothing, or its length."""
        answers = self.process.stdout
        if answers is None:
            raise OSError("a process without pipes")
        if self._length is None:
            self._length = int.from_bytes(await answers.readexactly(LENGTH_BYTES), "big")
        read = await answers.readexactly(self._length)
        self._length = None
        self.owed -= 1
        return read


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        WORKER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(),
    )


async def _pieces(spoken: Spoken) -> AsyncGenerator[Sound]:
    for at in range(0, len(spoken.samples), PIECE_BYTES):
        begin, end = at // SAMPLE_BYTES, (at + PIECE_BYTES) // SAMPLE_BYTES
        marks = tuple(Mark(it.index, it.sample) for it in spoken.marks if begin <= it.sample < end)
        yield Sound(spoken.samples[at : at + PIECE_BYTES], marks)
