"""A person's voice: the prompts that Debian packages for Asterisk (one studio voice, 8 kHz), fetched by the test.

``pytest -s`` prints the figures of docs/reference/speech.md.
"""

# ruff: noqa: T201 - its figures are read

import gzip
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_adapters.inmemory.speech import pcm16
from cozy_adapters.pocketsphinx.phrases import normal
from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText
from cozy_adapters.silero import SileroVoiceActivity
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Pcm, Upload
from cozy_domain.errors import ProviderRefusedError
from cozy_domain.speech.detection import (
    Detection,
    DetectionPolicy,
    Edge,
    finish,
    step,
)
from cozy_domain.speech.ports import WINDOW, Hearing, VoiceActivityStream

PACKAGES = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en")
PAUSE = bytes(2 * HEARING_RATE * SAMPLE_BYTES)
WINDOW_BYTES = WINDOW * SAMPLE_BYTES
LOUD = 655
"""2 % of full scale: where a prompt begins and ends; its noise stays below."""
PHRASES = 60
EVERY = 3
"""One prompt of so many is used; that takes two minutes."""


class Prompt:
    def __init__(self, name: str, text: str, sound: Pcm) -> None:
        self.name = name
        self.text = text
        self.sound = sound


_decoded: dict[str, Prompt] = {}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[str, Path]]:
    """Each prompt's text and file, those without words (tones, silence) and with digits left out."""
    folder = tmp_path_factory.mktemp("prompts")
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    lines = gzip.decompress(next(folder.rglob("core-sounds-en.txt.gz")).read_bytes()).decode(errors="replace")
    files = {it.stem: it for it in folder.rglob("*.wav")}
    texts = dict(re.findall(r"^([\w-]+): ([^\d\[\](\n]+)$", lines, re.MULTILINE))
    return {name: (text, files[name]) for name, text in texts.items() if name in files}


@pytest.fixture
async def prompts(recordings: Mapping[str, tuple[str, Path]]) -> Sequence[Prompt]:
    codec = PyAvAudioCodec()
    for name, (text, file) in sorted(recordings.items())[::EVERY]:
        if name not in _decoded:
            sound = await codec.decode(Upload(file.read_bytes(), file.name))
            _decoded[name] = Prompt(name, text, sound)
    await codec.aclose()
    return list(_decoded.values())


@pytest.fixture
async def recogniser() -> AsyncIterator[PocketsphinxSpeechToText]:
    recogniser = PocketsphinxSpeechToText()
    yield recogniser
    await recogniser.aclose()


async def test_silero_finds_where_a_person_begins_and_ends(prompts: Sequence[Prompt]) -> None:
    silero = SileroVoiceActivity()
    onsets, offsets = [], []
    missed = []
    for prompt in prompts:
        start, end = sounding(prompt.sound)
        edges = await edges_of(silero.open(), PAUSE + prompt.sound.samples + PAUSE)
        before = len(PAUSE) // SAMPLE_BYTES
        if not edges:
            missed.append(prompt.name)
            continue
        onsets.append(milliseconds(edges[0].sample - before - start))
        offsets.append(milliseconds(edges[-1].sample - before - end))
    await silero.aclose()
    print(f"\n{len(prompts)} prompts, missed {missed}")
    for name, errors in (("onset", onsets), ("offset", offsets)):
        print(f"{name} error, ms: median {at(errors, 0.5)}, p5 {at(errors, 0.05)}, p95 {at(errors, 0.95)}")
    assert len(missed) <= len(prompts) // 100
    assert abs(at(onsets, 0.5)) <= 30
    assert at(onsets, 0.95) <= 130
    assert abs(at(offsets, 0.5)) <= 120
    assert at(offsets, 0.95) <= 250


async def test_the_offline_recogniser_s_word_error_rate_on_a_person(
    prompts: Sequence[Prompt], recogniser: PocketsphinxSpeechToText
) -> None:
    wrong = words = 0
    for prompt in prompts:
        said = normal(prompt.text).split()
        heard = normal((await recogniser.transcribe(prompt.sound, Hearing())).text).split()
        wrong += distance(said, heard)
        words += len(said)
    print(f"\nfree speech: word error rate {wrong / words:.0%} of {words} words in {len(prompts)} prompts")
    assert wrong / words < 1.1  # useless on a telephone, and documented so: docs/reference/speech.md


async def test_held_to_phrases_it_knows_them_and_refuses_others_of_the_same_person(
    prompts: Sequence[Prompt], recogniser: PocketsphinxSpeechToText
) -> None:
    short = [it for it in prompts if 2 <= len(normal(it.text).split()) <= 10 and await known(recogniser, it)]
    inside, outside = short[0::2][:PHRASES], short[1::2][:PHRASES]
    hearing = Hearing(phrases=tuple(it.text for it in inside))
    right = [(await recogniser.transcribe(it.sound, hearing)).text for it in inside]
    forms = {normal(it.text) for it in inside}
    others = [it for it in outside if normal(it.text) not in forms]
    accepted = [it.text for it in others if (await recogniser.transcribe(it.sound, hearing)).text]
    correct = sum(normal(heard) == normal(it.text) for heard, it in zip(right, inside, strict=True))
    print(f"\nphrases: {correct} of {len(inside)} right, {len(right) - correct - right.count('')} mistaken;")
    print(f"others: {len(accepted)} of {len(others)} accepted")
    assert correct >= len(inside) * 0.55
    assert len(accepted) <= len(others) * 0.1


async def known(recogniser: PocketsphinxSpeechToText, prompt: Prompt) -> bool:
    """Whether all its words are in the dictionary."""
    try:
        await recogniser.transcribe(Pcm(bytes(3_200)), Hearing(phrases=(prompt.text,)))
    except ProviderRefusedError:
        return False
    return True


async def edges_of(stream: VoiceActivityStream, sound: bytes) -> list[Edge]:
    policy = DetectionPolicy(prefix=0)
    state = Detection()
    found: list[Edge] = []
    for begin in range(0, len(sound), WINDOW_BYTES):
        probability = await stream.probability(sound[begin : begin + WINDOW_BYTES].ljust(WINDOW_BYTES, b"\0"))
        state, edges = step(state, probability, policy)
        found += edges
    found += finish(state)
    return found


def sounding(sound: Pcm) -> tuple[int, int]:
    loud = [place for place, it in enumerate(pcm16(sound.samples)) if abs(it) > LOUD]
    return loud[0], loud[-1] + 1


def milliseconds(samples: int) -> float:
    return samples * 1_000 / HEARING_RATE


def at(values: Sequence[float], part: float) -> int:
    return round(sorted(values)[int(part * (len(values) - 1))])


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words to insert, delete or replace (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row = row, [number]
        for place, other in enumerate(heard, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (word != other)))
    return row[-1]
