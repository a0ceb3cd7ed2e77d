"""What callers say: a person's recorded prompts (Debian's `asterisk-core-sounds-en-wav`, one studio voice), as Opus."""

import subprocess
import tempfile
from pathlib import Path

import msgspec

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_adapters.codec.frames import OpusEncoder
from cozy_adapters.inmemory.speech import pcm16
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, Upload

PACKAGE = "asterisk-core-sounds-en-wav"
SENTENCE = "vm-nobodyavail"
"""Nobody is available to take your call at the moment: 2.5 s, without a pause inside."""
BEGINNING = "hello-world"
"""Cut to `BEGINNING_S`: simulated recognisers understand less than a second as a sentence that goes on, and
hear half of one more around it."""
BEGINNING_S = 0.5
LOUD = 655
"""2 % of full scale: where a prompt begins and ends; its noise stays below."""
FRAME = SPEAKING_RATE // 50


class Phrase(msgspec.Struct, frozen=True):
    """A packet for each 20 ms; the last one holds the last sound."""

    packets: tuple[bytes, ...]


class Phrases(msgspec.Struct, frozen=True):
    """``beginning`` is a sentence that stops in the middle."""

    sentence: Phrase
    beginning: Phrase
    silence: bytes


async def recorded() -> Phrases:
    codec = PyAvAudioCodec()
    sounds = []
    for name, data in zip((SENTENCE, BEGINNING), _files(SENTENCE, BEGINNING), strict=True):
        sound = await codec.decode(Upload(data, f"{name}.wav"))
        sounds.append(_trimmed(codec.resampler(HEARING_RATE, SPEAKING_RATE).decode(sound.samples)))
    await codec.aclose()
    beginning = sounds[1][: round(BEGINNING_S * SPEAKING_RATE) * SAMPLE_BYTES]
    silence = phrase_of(bytes(FRAME * SAMPLE_BYTES * 10)).packets[-1]
    return Phrases(phrase_of(sounds[0]), phrase_of(_trimmed(beginning)), silence)


def phrase_of(samples: bytes) -> Phrase:
    """``samples`` are PCM16 at `SPEAKING_RATE`."""
    encoder = OpusEncoder()
    size = FRAME * SAMPLE_BYTES
    whole = samples + bytes(-len(samples) % size)
    return Phrase(tuple(encoder.encode(whole[at : at + size]) for at in range(0, len(whole), size)))


def _files(*names: str) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True, capture_output=True)
        (package,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg", "-x", package, folder], check=True)
        files = {it.stem: it for it in Path(folder).rglob("*.wav")}
        return [files[name].read_bytes() for name in names]


def _trimmed(samples: bytes) -> bytes:
    """From the first loud sample to the last."""
    values = pcm16(samples)
    loud = [at for at, value in enumerate(values) if abs(value) > LOUD]
    return samples[loud[0] * SAMPLE_BYTES : (loud[-1] + 1) * SAMPLE_BYTES]
