"""``PocketsphinxSpeechToText``: the `SpeechToText` port."""

import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NoReturn

from cozy_adapters.child.pool import Child, Pool, Program
from cozy_adapters.pocketsphinx import wire
from cozy_adapters.pocketsphinx.phrases import normal, spellings
from cozy_adapters.pocketsphinx.wire import Answer, Begin, Begun, Feed, Finish, Heard, Partial
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm
from cozy_domain.errors import ProviderMalformedError, ProviderRefusedError, ProviderUnavailableError
from cozy_domain.speech.ports import Hearing, HearingFeature, Language
from cozy_domain.speech.stretches import stretches
from cozy_domain.speech.transcript import Segment, Transcript, Word, joined, shifted

NAME = "pocketsphinx"
ENGLISH = "en"
AT_ONCE = 2
PATIENCE_S = 20.0
"""How long an utterance waits for a process; a use case gives a recogniser 30 s for a file, and more for a long one."""
PROGRAM = Program(NAME, "The offline recogniser", "cozy_adapters.pocketsphinx.worker")
CAUTION = "PocketSphinx, offline, of demo quality: of free speech it gets most words wrong."
PIECE_BYTES = HEARING_RATE * SAMPLE_BYTES
"""Of one question: a second."""
NAMED = 10
"""Words that a refusal names."""


class PocketsphinxSpeechToText:
    """English, and that badly (docs/reference/speech.md); held to ``Hearing.phrases`` it says which of them was said, in the
    phrase's own spelling, or nothing. ``at_once`` utterances are heard at the same time, each by a process of 120 MB
    that stays for the next; others wait, for at most ``wait_s`` seconds."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = PATIENCE_S) -> None:
        self._workers: Pool[Answer] = Pool(PROGRAM, wire.ANSWERS, at_once, wait_s)

    async def aopen(self) -> None:
        """Starts one process now instead of for the first utterance, which would wait a second or two for it."""
        async with self._listening(Hearing(language=ENGLISH), live=True) as utterance:
            await utterance.finish()

    def features(self) -> frozenset[HearingFeature]:
        return frozenset({HearingFeature.WORD_TIMES, HearingFeature.PARTIALS})

    def languages(self) -> frozenset[Language]:
        return frozenset({ENGLISH})

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        """A recording of more than 30 s is cut where it is quiet; each stretch is one phrase then."""
        parts = []
        for start, end in stretches(sound):
            samples = sound.samples[start * SAMPLE_BYTES : end * SAMPLE_BYTES]
            async with self._listening(hearing, live=False) as utterance:
                for at in range(0, len(samples), PIECE_BYTES):
                    await utterance.feed(samples[at : at + PIECE_BYTES])
                parts.append(shifted(await utterance.finish(), start))
        return joined(tuple(parts))

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator["PocketsphinxUtterance"]:
        async with self._listening(hearing, live=True) as utterance:
            yield utterance

    async def aclose(self) -> None:
        await self._workers.aclose()

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that wait for the next utterance."""
        return self._workers.pids

    @asynccontextmanager
    async def _listening(self, hearing: Hearing, *, live: bool) -> AsyncIterator["PocketsphinxUtterance"]:
        _check(hearing)
        spelled = spellings(hearing.phrases)
        async with self._workers.one(Begin(tuple(spelled), live)) as (worker, begun):
            if isinstance(begun, Begun) and begun.unknown:
                raise _unknown(begun.unknown)
            yield PocketsphinxUtterance(worker, hearing, spelled)


class PocketsphinxUtterance:
    """Tells what it hears so far."""

    def __init__(self, worker: Child[Answer], hearing: Hearing, spelled: Mapping[str, str]) -> None:
        self._worker = worker
        self._hearing = hearing
        self._spelled = spelled
        self._fed = 0

    async def feed(self, samples: bytes) -> str:
        self._fed += len(samples) // SAMPLE_BYTES
        answer = await self._worker.ask(Feed(samples))
        return answer.text if isinstance(answer, Partial) else _odd(answer)

    async def finish(self) -> Transcript:
        answer = await self._worker.ask(Finish())
        if not isinstance(answer, Heard):
            _odd(answer)
        if not answer.text:
            return Transcript("", ENGLISH, caution=self._caution)
        text = self._spelled.get(answer.text, answer.text)
        words = tuple(Word(it.text, min(it.start, self._fed), min(it.end, self._fed)) for it in answer.words)
        segment = Segment(text, words[0].start if words else 0, words[-1].end if words else self._fed)
        told = words if self._hearing.word_times else ()
        return Transcript(text, ENGLISH, told, (segment,), caution=self._caution)

    @property
    def _caution(self) -> str:
        return "" if self._hearing.phrases else CAUTION


def installed() -> bool:
    """Whether the library is there; nothing is imported."""
    return importlib.util.find_spec("pocketsphinx") is not None


def _check(hearing: Hearing) -> None:
    """
    Raises:
        ProviderUnavailableError: ``not_configured``: the library is not installed.
        ProviderRefusedError: ``unsupported_value``: a language other than English, a translation, a phrase without a word.
    """
    if not installed():
        raise ProviderUnavailableError(
            "The offline recogniser is not installed.",
            provider=NAME,
            code="not_configured",
            hint="pip install 'cozy-engine[speech]', or configure speech.stt.",
        )
    language = (hearing.language or ENGLISH).lower().partition("-")[0]
    if language != ENGLISH:
        raise _refused(f"The offline recogniser hears English only, not '{hearing.language}'.", "language")
    if hearing.translate:
        raise _refused("The offline recogniser does not translate.", "translate")
    if not all(map(normal, hearing.phrases)):
        raise _refused("A phrase has no word in it.", "phrases")


def _unknown(words: tuple[str, ...]) -> ProviderRefusedError:
    named = ", ".join(f"'{it[:40]}'" for it in words[:NAMED])
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return _refused(f"The offline recogniser does not know the words {named}{more}.", "phrases")


def _refused(message: str, param: str) -> ProviderRefusedError:
    return ProviderRefusedError(
        message,
        provider=NAME,
        code="unsupported_value",
        param=param,
        hint="Write English words, numbers too, or configure another recogniser in speech.stt.",
    )


def _odd(answer: Answer) -> NoReturn:
    raise ProviderMalformedError(
        f"The offline recogniser's process answered '{type(answer).__name__}'.", provider=NAME
    )
