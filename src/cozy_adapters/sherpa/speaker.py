"""``SherpaTextToSpeech``: the `TextToSpeech` port."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from cozy_adapters.child.pool import Pool, Program
from cozy_adapters.codec.frames import resampled
from cozy_adapters.sherpa.folder import SpeakingModel, absolute, voice_in
from cozy_adapters.sherpa.wire import ANSWERS, Answer, Say, Unusable
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError, ProviderUnavailableError
from cozy_domain.speech.ports import Sound, Voicing
from cozy_domain.text import whole

NAME = "sherpa"
PATIENCE_S = 5.0
"""How long a text waits for a process; longer than this the machine has too much to say."""
PIECE_BYTES = SPEAKING_RATE // 5 * SAMPLE_BYTES
"""Of a piece that is handed out: 0.2 s."""
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip
"""The names that every OpenAI client sends (platform.openai.com, text-to-speech guide): the model's voices in turn."""


class SherpaTextToSpeech:
    """The voices of one model, which are numbers; ``at_once`` texts are spoken at the same time, each by a process that
    holds the model and stays for the next. A text is made whole before it sounds: use cases hand out sentences."""

    def __init__(
        self, folder: str, model: SpeakingModel, at_once: int = 1, wait_s: float = PATIENCE_S
    ) -> None:
        self._program = Program(
            NAME, "The voice 'sherpa'", "cozy_adapters.sherpa.mouth", (absolute(folder),), answers_soon=True
        )
        self._model = model
        self._pool: Pool[Answer] = Pool(self._program, ANSWERS, at_once, wait_s)

    async def aopen(self) -> None:
        """Loads the model now instead of for the first text.

        Raises:
            ProviderUnavailableError: it cannot be loaded.
        """
        await self._said(Say())

    async def aclose(self) -> None:
        await self._pool.aclose()

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that wait for the next text."""
        return self._pool.pids

    async def voices(self) -> tuple[str, ...]:
        return (*OPENAI_VOICES, *map(str, range(self._model.speakers)))

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        speaker = speaker_of(voicing.voice, self._model.speakers)
        sounds = _pieces(await self._said(Say(whole(text).replace("\0", " "), speaker, voicing.speed)))
        try:
            yield sounds
        finally:
            await sounds.aclose()

    async def _said(self, order: Say) -> bytes:
        async with self._pool.one(order) as (_, answer):
            if isinstance(answer, Unusable):
                reason = answer.reason
                for argument in self._program.arguments:
                    reason = reason.replace(argument, "…")
                raise ProviderUnavailableError(
                    f"The voice 'sherpa' cannot load its model: {reason}",
                    provider=NAME,
                    code="not_configured",
                )
            return resampled(answer.samples, answer.rate, SPEAKING_RATE)


def voice(folder: str, setting: str) -> SherpaTextToSpeech:
    """The voices of the model in ``folder``; ``setting`` names it in errors.

    Raises:
        ConfigError: there is no voice in it that we can load; with what is missing or not known.
    """
    return SherpaTextToSpeech(folder, voice_in(folder, setting))


def speaker_of(voice: str | None, speakers: int) -> int:
    """
    Raises:
        InputError: ``unknown_voice``.
    """
    if voice is None:
        return 0
    if voice in OPENAI_VOICES:
        return OPENAI_VOICES.index(voice) % speakers
    if voice.isascii() and voice.isdecimal() and int(voice) < speakers:
        return int(voice)
    raise InputError(
        f"There is no voice '{voice[:64]}'.",
        code="unknown_voice",
        param="voice",
        hint=f"0 to {speakers - 1}, or OpenAI's names." if speakers > 1 else "0, or OpenAI's names.",
    )


async def _pieces(samples: bytes) -> AsyncGenerator[Sound]:
    for at in range(0, len(samples), PIECE_BYTES):
        yield Sound(samples[at : at + PIECE_BYTES])
