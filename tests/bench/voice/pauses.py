"""Recorded sentences whose words are known by the sample, and pauses put between them."""

import gzip
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from pocketsphinx import Decoder

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_adapters.inmemory.speech import pcm16
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, Upload
from tests.bench.voice.speech import LOUD, PACKAGE

TEXTS = "asterisk-core-sounds-en"
FEWEST = 4
"""Words of a sentence."""
FRAME = HEARING_RATE // 100


class Sentence(msgspec.Struct, frozen=True):
    """``ends`` are the samples at which its ``words``, written as people write, have been said."""

    name: str
    words: tuple[str, ...]
    ends: tuple[int, ...]
    sound: bytes


class Paused(msgspec.Struct, frozen=True):
    """A sentence that pauses after so many words, for so many seconds."""

    sentence: Sentence
    after: int
    pause_s: float

    @property
    def sound(self) -> bytes:
        at = self.sentence.ends[self.after - 1] * SAMPLE_BYTES
        quiet = bytes(round(self.pause_s * HEARING_RATE) * SAMPLE_BYTES)
        return self.sentence.sound[:at] + quiet + self.sentence.sound[at:]

    @property
    def parts(self) -> tuple[str, str]:
        words = self.sentence.words
        return " ".join(words[: self.after]), " ".join(words[self.after :])


async def sentences() -> list[Sentence]:
    """Prompts that are one sentence of words only, aligned with their text by PocketSphinx; without those that it cannot
    align."""
    codec, found = PyAvAudioCodec(), []
    aligner = _Aligner()
    for name, text, data in _prompts():
        sound = (await codec.decode(Upload(data, f"{name}.wav"))).samples
        values = pcm16(sound)
        loud = [at for at, value in enumerate(values) if abs(value) > LOUD]
        sound = sound[loud[0] * SAMPLE_BYTES : (loud[-1] + 1) * SAMPLE_BYTES]
        words = tuple(text.split())
        ends = aligner.ends(words, sound)
        if ends:
            found.append(Sentence(name, words, ends, sound))
    await codec.aclose()
    return found


def _prompts() -> Iterator[tuple[str, str, bytes]]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        subprocess.run(["apt-get", "download", PACKAGE, TEXTS], cwd=folder, check=True, capture_output=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder], check=True)
        lines = gzip.decompress(next(folder.rglob("core-sounds-en.txt.gz")).read_bytes()).decode(
            errors="replace"
        )
        files = {it.stem: it for it in folder.rglob("*.wav")}
        seen = set[str]()
        for name, line in re.findall(r"^([\w-]+): ([A-Za-z][^\d\[\](*#:;\n]+)$", lines, re.MULTILINE):
            text = line.strip()
            plain = re.sub(r"\W+", " ", text.lower())
            single = not re.search(r"[.!?]\s|\.\.", text)
            if name in files and single and plain not in seen and len(text.split()) >= FEWEST:
                seen.add(plain)
                yield name, text if text[-1] in ".!?" else f"{text}.", files[name].read_bytes()


class _Aligner:
    def __init__(self) -> None:
        self._decoder: Any = Decoder(samprate=HEARING_RATE, loglevel="FATAL")

    def ends(self, words: tuple[str, ...], sound: bytes) -> tuple[int, ...] | None:
        """Samples at which each word ends; None where the words and the sound do not fit."""
        said = [re.sub(r"[^a-z']", "", it.lower().replace("-", "")) for it in words]
        decoder = self._decoder
        if not all(it and decoder.lookup_word(it) for it in said):
            return None
        decoder.set_align_text(" ".join(said))
        decoder.start_utt()
        decoder.process_raw(sound + bytes(HEARING_RATE // 5 * SAMPLE_BYTES), full_utt=True)
        decoder.end_utt()
        found = [it for it in decoder.seg() or () if it.word[0] not in "<[+("]
        if len(found) != len(words):
            return None
        return tuple((it.end_frame + 1) * FRAME for it in found)
