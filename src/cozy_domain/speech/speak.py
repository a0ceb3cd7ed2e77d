"""A text to a stream of sound, piece by piece, so that the first sentence sounds while the others are still to come.

A voice that fails before a piece has made a sound is replaced by the next one for that piece and those that follow; in the
middle of a piece what was heard cannot be taken back, so the failure is the caller's to see.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from cozy_domain.audio import SAMPLE_BYTES
from cozy_domain.errors import CozyError, LimitError, ProviderError, ProviderTimeoutError
from cozy_domain.routing.switchover import Named, Switchover, is_worth_another
from cozy_domain.speech.ports import Mark, Sound, TextToSpeech, Voicing
from cozy_domain.speech.segments import Piece, pieces

AHEAD = 64
"""Sounds that may wait for a slow listener; voices make them in pieces of a tenth of a second or so."""

TEXTS_AT_ONCE = 32
"""Offline, two processes make them in turn, a sentence in up to 0.2 s: the last of so many waits some 3 s."""
RETRY_S = 1.0


class SpeakingDeadlines(msgspec.Struct, frozen=True):
    """Seconds: to the first sound of a piece, and between two sounds."""

    first_sound_s: float = 10.0
    between_s: float = 20.0


DEADLINES = SpeakingDeadlines()


class Speaking:
    """Asks voices. One for the whole process."""

    def __init__(
        self,
        voices: Switchover[TextToSpeech],
        deadlines: SpeakingDeadlines = DEADLINES,
        texts_at_once: int = TEXTS_AT_ONCE,
    ) -> None:
        self._voices = voices
        self._deadlines = deadlines
        self._texts_at_once = texts_at_once
        self._speakers: set[asyncio.Task[None]] = set()

    @property
    def engines(self) -> tuple[Named[TextToSpeech], ...]:
        """In the order in which they are asked."""
        return self._voices.engines

    @asynccontextmanager
    async def sound(
        self, text: str, voicing: Voicing, *, wanted: str | None = None
    ) -> AsyncIterator[AsyncIterator[Sound]]:
        """``text`` as sound; marks count characters of the whole text and samples from its beginning. ``wanted`` names the
        voice engine to ask first. Leaving the context stops the synthesis at once.

        Raises:
            LimitError: ``server_overloaded``: as many texts are being made into sound as may be at once.
            InputError: ``unknown_voice``; from the iterator.
            ProviderError: nobody could speak; from the iterator.
        """
        if sum(not it.done() for it in self._speakers) >= self._texts_at_once:
            raise LimitError(
                "The server speaks as many texts as it can at once.",
                code="server_overloaded",
                retry_after_s=RETRY_S,
            )
        speech = _Speech(self._voices, self._deadlines, voicing, wanted)
        speaker = asyncio.create_task(speech.run(text))
        self._speakers.add(speaker)
        speaker.add_done_callback(self._speakers.discard)
        try:
            yield speech
        finally:
            speaker.cancel()
            await asyncio.wait((speaker,))


class _Speech:
    """One text being spoken. ``run`` fills it from one task, iterating empties it from another."""

    def __init__(
        self,
        voices: Switchover[TextToSpeech],
        deadlines: SpeakingDeadlines,
        voicing: Voicing,
        wanted: str | None,
    ) -> None:
        self._voices = voices
        self._deadlines = deadlines
        self._voicing = voicing
        self._wanted = wanted
        self._samples = 0
        self._waiting: asyncio.Queue[Sound | Exception] = asyncio.Queue(AHEAD)

    def __aiter__(self) -> AsyncIterator[Sound]:
        return self

    async def __anext__(self) -> Sound:
        match await self._waiting.get():
            case Sound() as sound:
                return sound
            case error:
                await self._waiting.put(error)  # who asks again hears the same
                raise error

    async def run(self, text: str) -> None:
        try:
            for piece in pieces(text):
                if piece.text.strip():
                    await self._speak(piece)
        except CozyError as error:
            await self._waiting.put(error)
        except Exception as error:  # noqa: BLE001  the listener must not wait for ever; it raises where it is read
            await self._waiting.put(error)
        else:
            await self._waiting.put(StopAsyncIteration())

    async def _speak(self, piece: Piece) -> None:
        last: ProviderError | None = None
        for voice in self._voices.candidates(self._wanted):
            before = self._samples
            try:
                with self._voices.trying(voice):
                    await self._speak_with(voice, piece)
            except ProviderError as error:
                if self._samples > before or not is_worth_another(error):
                    raise
                last = error
            else:
                self._wanted = voice.name  # one text, one voice, as long as it lasts
                return
        raise last or self._voices.none_left()

    async def _speak_with(self, voice: Named[TextToSpeech], piece: Piece) -> None:
        before = self._samples
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._deadlines.first_sound_s) as patience:
                async with voice.engine.speak(piece.text, self._voicing) as sounds:
                    async for sound in sounds:
                        patience.reschedule(None)  # a slow listener is not the voice's fault
                        await self._waiting.put(_placed(sound, piece.start, before))
                        self._samples += len(sound.samples) // SAMPLE_BYTES
                        patience.reschedule(now() + self._deadlines.between_s)
        except TimeoutError:
            raise ProviderTimeoutError(
                f"The voice '{voice.name}' fell silent.", provider=voice.name
            ) from None


def _placed(sound: Sound, index: int, sample: int) -> Sound:
    """A piece's sound where it stands in the whole."""
    marks = tuple(Mark(it.index + index, it.sample + sample) for it in sound.marks)
    return Sound(sound.samples, marks) if marks else sound
