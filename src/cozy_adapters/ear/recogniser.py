"""``LocalSpeechToText``: the `SpeechToText` port, over a program that hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import msgspec

from cozy_adapters.child.pool import Child, Pool, Program
from cozy_adapters.ear.wire import ANSWERS, Answer, Begin, Feed, Finish, Heard, Partial, Unusable
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm
from cozy_domain.errors import ProviderMalformedError, ProviderRefusedError, ProviderUnavailableError
from cozy_domain.speech.ports import Hearing, HearingFeature, Language
from cozy_domain.speech.stretches import stretches
from cozy_domain.speech.transcript import Segment, Transcript, Word, joined, shifted

PATIENCE_S = 20.0
"""How long an utterance waits for a process; a use case gives a recogniser 30 s for a file, and more for a long one."""
PIECE_BYTES = HEARING_RATE * SAMPLE_BYTES
"""Of one question: a second."""


class Abilities(msgspec.Struct, frozen=True):
    """Of one model. ``cuts``: it takes 30 s at once, so longer recordings are cut where they are quiet."""

    features: frozenset[HearingFeature] = frozenset()
    languages: frozenset[Language] | None = None
    cuts: bool = False


class LocalSpeechToText:
    """One model. ``at_once`` utterances are heard at the same time, each by a process that holds the model and stays for the
    next; others wait, for at most ``wait_s`` seconds."""

    def __init__(
        self, program: Program, abilities: Abilities, at_once: int = 1, wait_s: float = PATIENCE_S
    ) -> None:
        self._program = program
        self._abilities = abilities
        self._pool: Pool[Answer] = Pool(program, ANSWERS, at_once, wait_s)

    def features(self) -> frozenset[HearingFeature]:
        return self._abilities.features

    def languages(self) -> frozenset[Language] | None:
        return self._abilities.languages

    async def aopen(self) -> None:
        """Loads the model now instead of for the first utterance.

        Raises:
            ProviderUnavailableError: it cannot be loaded.
        """
        async with self._listening(Hearing(), live=False):
            pass

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        parts = []
        for start, end in stretches(sound) if self._abilities.cuts else [(0, len(sound))]:
            samples = sound.samples[start * SAMPLE_BYTES : end * SAMPLE_BYTES]
            async with self._listening(hearing, live=False) as utterance:
                for at in range(0, len(samples), PIECE_BYTES):
                    await utterance.feed(samples[at : at + PIECE_BYTES])
                parts.append(shifted(await utterance.finish(), start))
        return joined(tuple(parts))

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator["LocalUtterance"]:
        async with self._listening(hearing, live=True) as utterance:
            yield utterance

    @asynccontextmanager
    async def _listening(self, hearing: Hearing, *, live: bool) -> AsyncIterator["LocalUtterance"]:
        self._check(hearing)
        async with self._pool.one(Begin(hearing, live)) as (child, begun):
            if isinstance(begun, Unusable):
                raise ProviderUnavailableError(
                    f"{self._program.label} cannot load its model: {self._told(begun.reason)}",
                    provider=self._program.name,
                    code="not_configured",
                )
            yield LocalUtterance(child, hearing, self._program)

    def _check(self, hearing: Hearing) -> None:
        known, label = self._abilities.languages, self._program.label
        language = (hearing.language or "").partition("-")[0].lower()
        if language and known is not None and language not in known:
            raise self._refused(f"{label} does not hear '{hearing.language}'.", "language")
        if hearing.translate and HearingFeature.TRANSLATION not in self._abilities.features:
            raise self._refused(f"{label} does not translate.", "translate")

    def _refused(self, message: str, param: str) -> ProviderRefusedError:
        return ProviderRefusedError(
            message, provider=self._program.name, code="unsupported_value", param=param
        )

    def _told(self, reason: str) -> str:
        for argument in self._program.arguments:
            reason = reason.replace(argument, "…")
        return reason


class LocalUtterance:
    """Tells what it hears so far, where the model has partial results."""

    def __init__(self, child: Child[Answer], hearing: Hearing, program: Program) -> None:
        self._child = child
        self._hearing = hearing
        self._program = program
        self._fed = 0

    async def feed(self, samples: bytes) -> str:
        self._fed += len(samples) // SAMPLE_BYTES
        answer = await self._child.ask(Feed(samples))
        return answer.text if isinstance(answer, Partial) else self._odd(answer)

    async def finish(self) -> Transcript:
        answer = await self._child.ask(Finish())
        if not isinstance(answer, Heard):
            self._odd(answer)
        text = answer.text.strip()
        words = tuple(
            Word(it.text.strip(), self._within(it.start), self._within(it.end)) for it in answer.words
        )
        segments = tuple(
            Segment(it.text.strip(), self._within(it.start), self._within(it.end), it.logprob, it.silence)
            for it in answer.segments
        )
        whole = (Segment(text, 0, self._fed),) if text else ()
        return Transcript(text, answer.language, words if self._hearing.word_times else (), segments or whole)

    def _within(self, sample: int) -> int:
        return max(0, min(sample, self._fed))

    def _odd(self, answer: Answer) -> NoReturn:
        raise ProviderMalformedError(
            f"{self._program.label}'s process answered '{type(answer).__name__}'.",
            provider=self._program.name,
        )
