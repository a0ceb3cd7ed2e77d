"""How often a pause inside of a sentence is taken for its end, and how long the end of a whole one is waited for.

Run: ``nox -s bench -- pauses``; about three minutes. ``--sentences 60`` makes it shorter, ``--pauses 5`` longer, ``--json
FILE`` writes the figures, ``--check`` exits 1 when a target is missed.

A person's recorded sentences (`tests/bench/voice/pauses.py`) with a pause of 300 to 700 ms between two words, at any word or
where a phrase ends, are said to real calls, ten sentences each, in virtual time: Silero finds the edges, the shipped profile
and prediction decide. Engines take no time. What recognisers write differs, so they are simulated three ways:

``sensible``  a full stop at the end of the sentence and none in it, as most streaming recognisers set them
``none``      no punctuation at all, as PocketSphinx and most small ones
``always``    a full stop after every stretch of speech, as recognisers that are asked for whole files

``cut``: the turn was committed in the pause. ``end``: milliseconds from the last sound to the commit of whole ones. They are
of the same calls, where sentences with a pause and whole ones come by chance, each call by a caller of his own: what
pauses teach costs whole sentences what it spares the others. ``learning`` are the first calls, before others have taught.
"""

# ruff: noqa: T201 - a bench prints

import argparse
import asyncio
import random
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Literal

import msgspec

from cozy_adapters.inmemory.language_model import saying
from cozy_adapters.silero import SileroVoiceActivity
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm
from cozy_domain.ids import Owner
from cozy_domain.speech.ports import Hearing, HearingFeature, Language
from cozy_domain.speech.transcript import Segment, Transcript
from cozy_domain.voice.policy import DEFAULT
from cozy_domain.voice.public import TurnCommitted
from tests.bench.voice.pauses import Paused, Sentence, sentences
from tests.fixtures.chat import OWNER, ChatUnderTest
from tests.fixtures.clocks import LoopClock
from tests.fixtures.driven_calls import CallUnderTest, VoiceUnderTest, begun
from tests.virtual_time import run

Style = Literal["sensible", "none", "always"]
STYLES: tuple[Style, ...] = ("sensible", "none", "always")
PLACES = ("any word", "phrase")
TURNS = 10
"""Sentences of one call."""
LEARNING = 5
"""Calls, of about six pauses each; for the rest the target holds."""
SLACK_S = 0.05
"""How well the sound's words are known."""
AFTER_S = 4.0
"""From the end of a sentence to the next: the longest wait, and the answer."""
CUT_TARGET = 0.03
END_TARGET_MS = 300.0
PHRASES = re.compile(
    r"and|or|but|because|that|who|which|when|while|if|to|for|from|with|at|in|on|by|of|as|before|after|until|than"
)
"""Words that begin a phrase: people pause before them."""


class Figure(msgspec.Struct, frozen=True):
    """``ends`` in milliseconds."""

    style: str
    where: str
    paused: int
    cut: int
    learning_paused: int
    learning_cut: int
    whole: int
    end_p50: float
    end_p95: float


class Words:
    """What is being said: its words, each with the loop's time at which it has been; ``heard`` of them are understood."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._words: list[tuple[str, float]] = []
        self.heard = 0

    def say(self, item: Paused) -> None:
        now = asyncio.get_running_loop().time()
        times = [
            now + end / HEARING_RATE + (item.pause_s if number > item.after else 0.0)
            for number, end in enumerate(item.sentence.ends, 1)
        ]
        self._words = list(zip(item.sentence.words, times, strict=True))
        self.heard = 0

    def so_far(self) -> int:
        now = asyncio.get_running_loop().time()
        return sum(at <= now + SLACK_S for _, at in self._words)

    def text(self, first: int, end: int) -> str:
        """Of a stretch, as the recogniser writes it."""
        words = " ".join(it for it, _ in self._words[first:end])
        bare = re.sub(r"[.,!?]+$", "", words)
        match self._style:
            case "none":
                return re.sub(r"[.,!?]", "", words)
            case "always":
                return words if not words or words[-1] in "!?" else f"{bare}."
            case "sensible":
                return words


class ToldSpeechToText:
    """Understands what it was told is said, at once."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def features(self) -> frozenset[HearingFeature]:
        return frozenset({HearingFeature.PARTIALS})

    def languages(self) -> frozenset[Language] | None:
        return None

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        raise NotImplementedError

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator["ToldUtterance"]:
        yield ToldUtterance(self._words, hearing)


class ToldUtterance:
    def __init__(self, words: Words, hearing: Hearing) -> None:
        self._words = words
        self._first = words.heard
        self._hearing = hearing

    async def feed(self, samples: bytes) -> str:
        return self._words.text(self._first, self._words.so_far())

    async def finish(self) -> Transcript:
        self._words.heard = max(self._first, self._words.so_far())
        text = self._words.text(self._first, self._words.heard)
        return Transcript(text, self._hearing.language, segments=(Segment(text, 0, 1),))


async def said(call: CallUnderTest, words: Words, item: Paused) -> float | None:
    """Says it; milliseconds from its end to the commit, None when it was taken for more than one turn."""
    before = len(call.told(TurnCommitted))
    sound = item.sound
    words.say(item)
    call.line.caller.say(sound)
    await call.quiet(len(sound) / SAMPLE_BYTES / HEARING_RATE)
    ended = asyncio.get_running_loop().time()
    await call.until(TurnCommitted, before + 1)
    await call.quiet(ended + AFTER_S - asyncio.get_running_loop().time())
    commits = [at for at, it in call.events if isinstance(it, TurnCommitted)][before:]
    return (commits[0] - ended) * 1_000 if len(commits) == 1 else None


async def measure(items: list[Paused], style: Style) -> list[float | None]:
    words = Words(style)
    detector = SileroVoiceActivity()
    await detector.aopen()
    voice = VoiceUnderTest(
        chat=ChatUnderTest(clock=LoopClock()), recognisers=[ToldSpeechToText(words)], detector=detector
    )
    found = list[float | None]()
    async with voice.running(*[saying("All right.")] * (4 * len(items))) as calling:
        for at in range(0, len(items), TURNS):
            caller = Owner(OWNER.account, f"caller {at // TURNS}")
            call = await begun(calling, owner=caller, session=None)
            await call.quiet(3.5)
            for item in items[at : at + TURNS]:
                found.append(await said(call, words, item))
            await call.hang_up()
    await detector.aclose()
    return found


async def main(spoken: list[Sentence], each: int) -> list[Figure]:
    figures = []
    for style in STYLES:
        chance = random.Random(5)
        items = [("whole", Paused(it, len(it.words), 0.0)) for it in spoken]
        for where in PLACES:
            paused = [_paused(it, where, chance) for it in spoken for _ in range(each)]
            items += [(where, it) for it in paused if it is not None]
        chance.shuffle(items)
        results = await measure([it for _, it in items], style)
        of = list(zip(items, results, strict=True))
        ends = [it for (where, _), it in of if where == "whole" and it is not None]
        for where in PLACES:
            first, later = (
                [it for (at, _), it in part if at == where]
                for part in (of[: LEARNING * TURNS], of[LEARNING * TURNS :])
            )
            figures.append(
                Figure(
                    style,
                    where,
                    len(later),
                    later.count(None),
                    len(first),
                    first.count(None),
                    len(ends),
                    median(ends),
                    quantiles(ends, n=20)[-1],
                )
            )
            print(figures[-1], file=sys.stderr)
        for (where, it), result in of:
            if result is None:
                print(f"  cut: {' | '.join(it.parts)} ({where}, {it.pause_s:.2f} s)", file=sys.stderr)
    return figures


def measured(limit: int, each: int) -> list[Figure]:
    """With so many sentences, and pauses in each of them."""
    return run(main(asyncio.run(sentences())[:limit], each))


def _paused(sentence: Sentence, where: str, chance: random.Random) -> Paused | None:
    words = sentence.words
    places = [
        at for at in range(1, len(words)) if where == "any word" or PHRASES.fullmatch(words[at].lower())
    ]
    return Paused(sentence, chance.choice(places), chance.uniform(0.3, 0.7)) if places else None


def table(figures: list[Figure]) -> str:
    return "\n".join(
        (
            "| full stops | pause at | cut off | of | % | in the first calls | whole sentence in the same calls, "
            "last sound → commit p50 / p95 ms |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {it.style} | {it.where} | {it.cut} | {it.paused} | {it.cut / max(it.paused, 1) * 100:.1f} | "
                f"{it.learning_cut}/{it.learning_paused} | "
                f"{it.end_p50:.0f} / {it.end_p95:.0f} |"
                for it in figures
            ),
        )
    )


def missed(figures: list[Figure]) -> list[str]:
    found = []
    for style in STYLES:
        of = [it for it in figures if it.style == style]
        cut, paused = sum(it.cut for it in of), sum(it.paused for it in of)
        if cut > CUT_TARGET * paused:
            found.append(f"{cut} of {paused} cut off ({style})")
    return found + [
        f"a whole sentence ends after {it.end_p50:.0f} ms"
        for it in figures
        if it.style == "sensible" and it.end_p50 > END_TARGET_MS
    ]


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--sentences", type=int, default=1_000)
    asked.add_argument("--pauses", type=int, default=3, help="for each sentence, at each kind of place")
    asked.add_argument("--json", type=Path)
    asked.add_argument("--check", action="store_true")
    given = asked.parse_args()
    result = measured(given.sentences, given.pauses)
    print(f"profile: {DEFAULT.endpointing}\n")
    print(table(result))
    if given.json:
        given.json.write_bytes(msgspec.json.encode(result))
    if given.check and (failures := missed(result)):
        sys.exit("; ".join(failures))
