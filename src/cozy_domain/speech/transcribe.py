"""Sound to text, a file at once. (Sound that is still coming: ``listen``.)"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import msgspec

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm, Upload
from cozy_domain.errors import LimitError, ProviderError, ProviderTimeoutError
from cozy_domain.routing.switchover import Named, Switchover, is_worth_another
from cozy_domain.speech.ability import able
from cozy_domain.speech.ports import AudioCodec, Hearing, SpeechToText
from cozy_domain.speech.stretches import stretches
from cozy_domain.speech.transcript import Transcript, joined, shifted, timed


class TranscribingDeadlines(msgspec.Struct, frozen=True):
    """Seconds for a file: this much, and ``per_second`` for each second of it."""

    file_s: float = 30.0
    per_second: float = 1.0


class DecodingLimits(msgspec.Struct, frozen=True):
    """Of one process. A decoded second is 32 kB, so two hours are 230 MB, and while they are read twice that: at most
    ``at_once`` files are being decoded, and none more is begun while decoded sound of more than ``held_bytes`` is with
    recognisers. So many files may be ``waiting`` for their turn, each for ``wait_s`` seconds."""

    at_once: int = 2
    held_bytes: int = 256_000_000
    waiting: int = 64
    wait_s: float = 30.0


DEADLINES = TranscribingDeadlines()
DECODING = DecodingLimits()
RETRY_S = 5.0
"""A recording of some minutes is understood in that time."""
PIECE_S = 600
"""Seconds that a recogniser is given at once: a failure then costs no more than these, and no provider takes hours."""


class Heard(msgspec.Struct, frozen=True):
    """A file's transcript, its length in samples of `HEARING_RATE`, and which recogniser it was."""

    transcript: Transcript
    samples: int
    by: str


class Transcribing:
    """Asks recognisers. One for the whole process."""

    def __init__(
        self,
        codec: AudioCodec,
        recognisers: Switchover[SpeechToText],
        deadlines: TranscribingDeadlines = DEADLINES,
        decoding: DecodingLimits = DECODING,
    ) -> None:
        self._files = _Files(codec, decoding)
        self._recognisers = recognisers
        self._deadlines = deadlines

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of its recognisers, the first one first."""
        return tuple(it.name for it in self._recognisers.engines)

    async def file(
        self,
        upload: Upload,
        hearing: Hearing,
        *,
        wanted: str | None = None,
        piece_s: int = PIECE_S,
        progress: Callable[[int, int], None] | None = None,
    ) -> Heard:
        """What is said in ``upload``. ``wanted`` names the recogniser to ask first. What is longer than ``piece_s``
        seconds is cut where it is quiet. ``progress`` is told how many samples of how many are understood, first none.

        Raises:
            InputError: ``invalid_audio`` or ``audio_too_long``; ``unsupported_value``: nobody here can do what is asked.
            LimitError: those who could hear it have too much to hear, or too many files wait to be read
                (``server_overloaded``).
            ProviderError: nobody could hear it.
        """
        engines = self._recognisers.engines
        if not engines:  # a file is not decoded for nobody
            raise self._recognisers.none_left()
        names = able(engines, hearing)
        async with self._files.decoded(upload) as sound:
            return await self._heard(names, sound, hearing, wanted, piece_s * HEARING_RATE, progress)

    async def again(self, sound: Pcm, hearing: Hearing, failed: str | None) -> Transcript:
        """What is said in ``sound``, which ``failed`` could not hear: it is asked once more only if nobody else can.

        Raises:
            InputError: ``unsupported_value``: nobody here can do what is asked.
            LimitError: those who could hear it have too much to hear.
            ProviderError: nobody could hear it.
        """
        names = able(self._recognisers.engines, hearing)
        transcript, _ = await self._first_that_hears(names - {failed} or names, sound, hearing, None)
        return transcript

    async def _heard(
        self,
        names: Collection[str],
        sound: Pcm,
        hearing: Hearing,
        wanted: str | None,
        longest: int,
        progress: Callable[[int, int], None] | None,
    ) -> Heard:
        by, parts = "", []
        for start, end in [*stretches(sound, longest)] or [(0, 0)]:
            if progress:
                progress(start, len(sound))
            piece = Pcm(sound.samples[start * SAMPLE_BYTES : end * SAMPLE_BYTES])
            told, by = await self._first_that_hears(names, piece, hearing, by or wanted)
            parts.append(told if len(piece) == len(sound) else shifted(timed(told, len(piece)), start))
        return Heard(parts[0] if len(parts) == 1 else joined(tuple(parts)), len(sound), by)

    async def _first_that_hears(
        self, names: Collection[str], sound: Pcm, hearing: Hearing, wanted: str | None
    ) -> tuple[Transcript, str]:
        last: ProviderError | LimitError | None = None
        for recogniser in self._recognisers.candidates(wanted, names):
            try:
                with self._recognisers.trying(recogniser):
                    return await self._ask(recogniser, sound, hearing), recogniser.name
            except ProviderError as error:
                if not is_worth_another(error):
                    raise
                last = error
            except LimitError as error:
                last = error
        raise last or self._recognisers.none_left()

    async def _ask(self, recogniser: Named[SpeechToText], sound: Pcm, hearing: Hearing) -> Transcript:
        limit = self._deadlines.file_s + self._deadlines.per_second * sound.seconds
        try:
            async with asyncio.timeout(limit):
                return await recogniser.engine.transcribe(sound, hearing)
        except TimeoutError:
            raise ProviderTimeoutError(
                f"The recogniser '{recogniser.name}' needed more than {limit:g} s.", provider=recogniser.name
            ) from None


class _Files:
    """Decodes them in turn, so that their sound does not fill the memory."""

    def __init__(self, codec: AudioCodec, limits: DecodingLimits) -> None:
        self._codec = codec
        self._limits = limits
        self._turn = asyncio.Semaphore(limits.at_once)
        self._waiting = 0
        self._held = 0
        self._shrunk = asyncio.Event()

    @asynccontextmanager
    async def decoded(self, upload: Upload) -> AsyncIterator[Pcm]:
        """
        Raises:
            InputError: ``invalid_audio`` or ``audio_too_long``.
            LimitError: ``server_overloaded``.
        """
        await self._wait()
        try:
            sound = await self._codec.decode(upload)
            self._held += len(sound.samples)
        finally:
            self._turn.release()
        try:
            yield sound
        finally:
            self._held -= len(sound.samples)
            self._shrunk.set()

    async def _wait(self) -> None:
        """Until it is one's turn."""
        if self._waiting >= self._limits.waiting:
            raise _crowded()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._turn.acquire()
                await self._room()
        except TimeoutError:
            raise _crowded() from None
        finally:
            self._waiting -= 1

    async def _room(self) -> None:
        try:
            while self._held > self._limits.held_bytes:
                self._shrunk.clear()
                await self._shrunk.wait()
        except asyncio.CancelledError:
            self._turn.release()
            raise


def _crowded() -> LimitError:
    return LimitError("Too many recordings wait to be read.", code="server_overloaded", retry_after_s=RETRY_S)
