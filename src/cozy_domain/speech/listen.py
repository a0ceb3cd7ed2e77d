"""Sound that is still coming, to text: utterance by utterance, while it is being spoken.

A detector finds where somebody speaks. Each utterance is heard by a recogniser in a task of its own, from a little before
its first sound on, and finished when the detector says that it is over; finishing takes a moment in which the next
utterance may begin. Results come out in the order spoken. A recogniser that fails loses nothing: an utterance's sound is
kept until it is understood, and others are asked for the whole of it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from cozy_domain.audio import SAMPLE_BYTES, Pcm
from cozy_domain.errors import LimitError, ProviderError, ProviderTimeoutError
from cozy_domain.routing.switchover import Named, Switchover, is_worth_another
from cozy_domain.speech.ability import able
from cozy_domain.speech.detection import Detection, DetectionPolicy, SpeechEnded, SpeechStarted, finish, step
from cozy_domain.speech.ports import WINDOW, Hearing, SpeechToText, VoiceActivity, VoiceActivityStream
from cozy_domain.speech.transcribe import Transcribing
from cozy_domain.speech.transcript import Transcript, shifted

WINDOW_BYTES = WINDOW * SAMPLE_BYTES
UNREAD = 256
"""Events that may wait for their reader; then the sound waits too."""
UNFINISHED = 4
"""Utterances that may be with recognisers at once; then the sound waits."""
RECOGNISER_S = 10.0
"""A recogniser's answer to a piece of sound, and to the end of an utterance."""

T = TypeVar("T")


class Partial(msgspec.Struct, frozen=True):
    """What was understood so far of the utterance that began at ``start``; it may still change."""

    text: str
    start: int


class Final(msgspec.Struct, frozen=True):
    """What was said from ``start`` to ``end``; empty when nothing was understood. Positions count from the stream's
    beginning."""

    transcript: Transcript
    start: int
    end: int


ListeningEvent = SpeechStarted | SpeechEnded | Partial | Final


class Listening:
    """Hears streams. One for the whole process."""

    def __init__(
        self, activity: VoiceActivity, recognisers: Switchover[SpeechToText], transcribing: Transcribing
    ) -> None:
        self._activity = activity
        self._recognisers = recognisers
        self._transcribing = transcribing

    @property
    def engines(self) -> tuple[Named[SpeechToText], ...]:
        """In the order in which they are asked."""
        return self._recognisers.engines

    def microphone(self) -> VoiceActivityStream:
        """A new one, from silence: for who finds the edges of speech himself."""
        return self._activity.open()

    def hearers(self, hearing: Hearing, wanted: str | None = None) -> "Hearers":
        """For who finds the edges of speech himself. ``wanted`` names the recogniser to ask first.

        Raises:
            InputError: ``unsupported_value``: nobody here can do what is asked, or hears the language.
            ProviderUnavailableError: ``not_configured``: there is no recogniser.
        """
        if not self._recognisers.engines:
            raise self._recognisers.none_left()
        names = able(self._recognisers.engines, hearing)  # before anybody speaks for nobody
        return Hearers(self._recognisers, self._transcribing, hearing, names, wanted)

    @asynccontextmanager
    async def to(
        self,
        sound: AsyncIterator[bytes],
        hearing: Hearing,
        policy: DetectionPolicy | None = None,
        *,
        wanted: str | None = None,
    ) -> AsyncIterator[AsyncIterator[ListeningEvent]]:
        """Events, until ``sound`` (PCM16 at `HEARING_RATE`, pieces of any length) ends and all of it is understood.
        ``wanted`` names the recogniser to ask first. Leaving the context ends everything at once.

        Raises:
            InputError: ``unsupported_value``: nobody here can do what is asked, or hears the language; on entering.
            ProviderUnavailableError: ``not_configured``: there is no recogniser; on entering.
            LimitError: those who could hear it have too much to hear; from the iterator.
            ProviderError: nobody could hear it; from the iterator.
            Exception: whatever ``sound`` raises; from the iterator.
        """
        ear = _Ear(self.microphone(), policy or DetectionPolicy(), self.hearers(hearing, wanted))
        listener = asyncio.create_task(ear.run(sound))
        try:
            yield ear
        finally:
            listener.cancel()
            await asyncio.wait((listener,))


class Stretch:
    """One stretch of speech, from the sample ``start`` on: filled from one side while the other reads."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end: int | None = None
        self._sound = bytearray()
        self._read = 0
        self._news = asyncio.Event()

    def add(self, samples: bytes) -> None:
        self._sound += samples
        self._news.set()

    def close(self, end: int) -> None:
        self.end = end
        self._news.set()

    async def unread(self) -> bytes:
        """The sound since the last call, once there is some; empty when it is over."""
        while self._read == len(self._sound) and self.end is None:
            self._news.clear()
            await self._news.wait()
        piece = bytes(memoryview(self._sound)[self._read :])
        self._read += len(piece)
        return piece

    async def whole(self) -> Pcm:
        """All of it, once it is over."""
        while await self.unread():
            pass
        return Pcm(bytes(self._sound))


class Hearers:
    """Who hears the utterances of one stream, and how; made by ``Listening.hearers``."""

    def __init__(
        self,
        recognisers: Switchover[SpeechToText],
        transcribing: Transcribing,
        hearing: Hearing,
        names: Collection[str],
        wanted: str | None,
    ) -> None:
        self._recognisers = recognisers
        self._transcribing = transcribing
        self._hearing = hearing
        self._names = names
        self._wanted = wanted

    async def understood(self, utterance: Stretch, tell: Callable[[str], Awaitable[None]]) -> Transcript:
        """What was said, once it is over. ``tell`` gets what is understood so far, whenever that changes.

        Raises:
            LimitError: those who could hear it have too much to hear.
            ProviderError: nobody could hear it.
        """
        first = next(self._recognisers.candidates(self._wanted, self._names), None)
        if first:
            try:
                with self._recognisers.trying(first):
                    return await self._live(first, utterance, tell)
            except ProviderError as error:
                if not is_worth_another(error):
                    raise
            except LimitError:  # others are asked for it, or the same one again when it is over
                pass
        sound = await utterance.whole()
        whole = replace(self._hearing, partials=False)  # it is over: anybody will do
        return await self._transcribing.again(sound, whole, first.name if first else None)

    async def _live(
        self,
        recogniser: Named[SpeechToText],
        utterance: Stretch,
        tell: Callable[[str], Awaitable[None]],
    ) -> Transcript:
        told = ""
        async with recogniser.engine.listen(self._hearing) as heard:
            while piece := await utterance.unread():
                text = await _soon(heard.feed(piece), recogniser.name)
                if text != told:
                    told = text
                    await tell(text)
            return await _soon(heard.finish(), recogniser.name)


class _Ear:
    """One stream. ``run`` hears it in one task, iterating reads the events in another."""

    def __init__(self, activity: VoiceActivityStream, policy: DetectionPolicy, hearers: Hearers) -> None:
        self._activity = activity
        self._policy = policy
        self._hearers = hearers
        self._detection = Detection()
        self._recent = bytearray()
        self._current: Stretch | None = None
        self._last: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(UNFINISHED)
        self._events: asyncio.Queue[ListeningEvent | Exception] = asyncio.Queue(UNREAD)

    def __aiter__(self) -> AsyncIterator[ListeningEvent]:
        return self

    async def __anext__(self) -> ListeningEvent:
        event = await self._events.get()
        if isinstance(event, Exception):
            await self._events.put(event)  # who asks again hears the same
            raise event
        return event

    async def run(self, sound: AsyncIterator[bytes]) -> None:
        try:
            async with asyncio.TaskGroup() as group, aclosing(_windows(sound)) as windows:
                async for window in windows:
                    await self._hear(window, group)
                for edge in finish(self._detection):
                    await self._note(edge, group)
        except ExceptionGroup as errors:  # whoever reads must not wait for ever; it is raised there
            await self._events.put(errors.exceptions[0])
        else:
            await self._events.put(StopAsyncIteration())

    async def _hear(self, window: bytes, group: asyncio.TaskGroup) -> None:
        probability = await self._activity.probability(window)
        self._detection, edges = step(self._detection, probability, self._policy)
        self._keep(window)
        if self._current:
            self._current.add(window)
        for edge in edges:
            await self._note(edge, group)

    async def _note(self, edge: SpeechStarted | SpeechEnded, group: asyncio.TaskGroup) -> None:
        await self._events.put(edge)
        match edge:
            case SpeechStarted(sample=start):
                await self._room.acquire()
                self._current = Stretch(start)
                self._current.add(self._since(start))
                self._last = group.create_task(self._understand(self._current, self._last))
            case SpeechEnded(sample=end):
                if self._current:
                    self._current.close(end)
                self._current = None

    async def _understand(self, utterance: Stretch, before: asyncio.Task[None] | None) -> None:
        async def tell(text: str) -> None:
            if before is None or before.done():
                await self._events.put(Partial(text, utterance.start))

        try:
            transcript = await self._hearers.understood(utterance, tell)
            if before:
                await asyncio.wait((before,))
            end = utterance.start if utterance.end is None else utterance.end
            await self._events.put(Final(shifted(transcript, utterance.start), utterance.start, end))
        except (LimitError, ProviderError) as error:
            await self._events.put(error)
        finally:
            self._room.release()

    def _keep(self, window: bytes) -> None:
        """What an utterance that begins now may have begun with."""
        self._recent += window
        surplus = len(self._recent) - (self._policy.prefix + self._policy.start + WINDOW) * SAMPLE_BYTES
        if surplus > 0:
            del self._recent[:surplus]

    def _since(self, sample: int) -> bytes:
        missed = (self._detection.position - sample) * SAMPLE_BYTES
        return bytes(self._recent[-missed:])


async def _windows(sound: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The same in windows; silence fills up the last one."""
    rest = b""
    async for piece in sound:
        rest += piece
        whole = len(rest) - len(rest) % WINDOW_BYTES
        for at in range(0, whole, WINDOW_BYTES):
            yield rest[at : at + WINDOW_BYTES]
        rest = rest[whole:]
    if rest:
        yield rest.ljust(WINDOW_BYTES, b"\0")


async def _soon(answer: Awaitable[T], name: str) -> T:
    try:
        async with asyncio.timeout(RECOGNISER_S):
            return await answer
    except TimeoutError:
        raise ProviderTimeoutError(
            f"The recogniser '{name}' did not answer within {RECOGNISER_S:g} s.", provider=name
        ) from None
