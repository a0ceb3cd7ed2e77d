"""Sound to text, a file at once. (Sound that is still coming: ``listen``.)"""

import asyncio
from collections.abc import Collection

import msgspec

from cozy_domain.audio import Pcm, Upload
from cozy_domain.errors import LimitError, ProviderError, ProviderTimeoutError
from cozy_domain.routing.switchover import Named, Switchover, is_worth_another
from cozy_domain.speech.ability import able
from cozy_domain.speech.ports import AudioCodec, Hearing, SpeechToText
from cozy_domain.speech.transcript import Transcript


class TranscribingDeadlines(msgspec.Struct, frozen=True):
    """Seconds for a file: this much, and ``per_second`` for each second of it."""

    file_s: float = 30.0
    per_second: float = 1.0


DEADLINES = TranscribingDeadlines()


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
    ) -> None:
        self._codec = codec
        self._recognisers = recognisers
        self._deadlines = deadlines

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of its recognisers, the first one first."""
        return tuple(it.name for it in self._recognisers.engines)

    async def file(self, upload: Upload, hearing: Hearing, *, wanted: str | None = None) -> Heard:
        """What is said in ``upload``. ``wanted`` names the recogniser to ask first.

        Raises:
            InputError: ``invalid_audio`` or ``audio_too_long``; ``unsupported_value``: nobody here can do what is asked.
            LimitError: those who could hear it have too much to hear.
            ProviderError: nobody could hear it.
        """
        engines = self._recognisers.engines
        if not engines:  # a file is not decoded for nobody
            raise self._recognisers.none_left()
        names = able(engines, hearing)
        sound = await self._codec.decode(upload)
        transcript, by = await self._first_that_hears(names, sound, hearing, wanted)
        return Heard(transcript, len(sound), by)

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
