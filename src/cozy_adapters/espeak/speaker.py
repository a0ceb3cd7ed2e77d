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
PIECE_BYTES = SPEAKING_RATE // 5 * SAMPLE_BYTES
"""Of a piece that is handed out: 0.2 s."""


class EspeakTextToSpeech:
    """English and Mandarin by default, and every voice that the library lists. ``at_once`` texts are spoken at the same
    time, each by a process that stays for the next; others wait."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = PATIENCE_S) -> None:
        self._wait_s = wait_s
        self._room = asyncio.Semaphore(at_once)
        self._idle: list[asyncio.subprocess.Process] = []
        self._listed: tuple[str, ...] = ()

    async def aopen(self) -> None:
        """Starts one process now instead of for the first text."""
        await self._voices()

    async def aclose(self) -> None:
        while self._idle:
            await end(self._idle.pop())

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

    async def _answer(self, question: Question, process: asyncio.subprocess.Process | None) -> Answer | None:
        """None when the process died of it. One that is left in the middle of an answer is of no more use."""
        process = process or await _start()
        answered = False
        try:
            answer = await _asked(process, question)
            answered = True
        except (asyncio.IncompleteReadError, OSError):
            return None
        finally:
            if answered:
                self._idle.append(process)
            else:
                await end(process)
        return answer


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


async def _asked(process: asyncio.subprocess.Process, question: Question) -> Answer:
    if process.stdin is None or process.stdout is None:
        raise OSError("a process without pipes")
    process.stdin.write(framed(question))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
    answer: Answer = ANSWERS.decode(await process.stdout.readexactly(length))
    return answer


async def _pieces(spoken: Spoken) -> AsyncGenerator[Sound]:
    for at in range(0, len(spoken.samples), PIECE_BYTES):
        begin, end = at // SAMPLE_BYTES, (at + PIECE_BYTES) // SAMPLE_BYTES
        marks = tuple(Mark(it.index, it.sample) for it in spoken.marks if begin <= it.sample < end)
        yield Sound(spoken.samples[at : at + PIECE_BYTES], marks)
