"""Voices without a network: espeak-ng (GPL-3.0-or-later), loaded at run time from the optional package ``espeakng-loader``.

It sounds like a machine and says so to nobody; what it offers is speech with no key, at a thousandth of real time. The
library has one global state, so one thread speaks for the whole process, a piece at a time; what is asked meanwhile waits
the few milliseconds. Interface: ``speak_lib.h`` of espeak-ng 1.52.
"""

import asyncio
import ctypes
import difflib
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import msgspec

from cozy_adapters.codec.frames import resampled
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError, ProviderUnavailableError
from cozy_domain.speech.ports import Mark, Sound, Voicing

NAME = "espeak"
SYNCHRONOUS = 2
NO_EXIT = 0x8000
UTF8 = 1
RATE = 1
WORD = 1
LIST_TERMINATED = 0
NATURAL_WPM = 175
"""Words a minute at speed 1: the library's own default."""
SLOWEST_WPM, FASTEST_WPM = 80, 450
"""What the library can do; a speed beyond sounds like the nearest of these."""
BUFFER_MS = 60
"""The library hands out sound in pieces of this length, and can be stopped between two of them."""
PIECE_BYTES = SPEAKING_RATE // 5 * SAMPLE_BYTES
"""Of a piece that we hand out: 0.2 s."""

ENGLISH, MANDARIN = "en-us", "cmn"
OPENAI_VOICES: Mapping[str, str] = {
    "alloy": "+f5", "ash": "+m1", "ballad": "+m2", "cedar": "+m3", "coral": "+f1", "echo": "+m4", "fable": "+m5",
    "marin": "+f4", "nova": "+f2", "onyx": "+m7", "sage": "+f3", "shimmer": "+f5", "verse": "+m6",
}  # fmt: skip
"""The names that every OpenAI client sends (platform.openai.com, text-to-speech guide), as variants of a voice."""
_VARIANT = re.compile("[A-Za-z0-9]{0,20}")
_CHINESE = re.compile("[\u4e00-\u9fff]")


class EspeakTextToSpeech:
    """English and Mandarin by default, and every voice that the library lists."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="espeak")

    async def voices(self) -> tuple[str, ...]:
        library = await asyncio.get_running_loop().run_in_executor(self._thread, _loaded)
        return (*OPENAI_VOICES, *library.voices)

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        stop = threading.Event()
        order = Order(text, voice_of(voicing, text), rate_of(voicing.speed))
        try:
            spoken = await asyncio.get_running_loop().run_in_executor(self._thread, _spoken, order, stop)
        finally:
            stop.set()  # who left while it was being made: the thread notices within one of its buffers
        sounds = _pieces(spoken)
        try:
            yield sounds
        finally:
            await sounds.aclose()

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


class Order(msgspec.Struct, frozen=True):
    """What the library is told: ``voice`` is its own name for one, ``rate`` words a minute."""

    text: str
    voice: str
    rate: int


class Spoken(msgspec.Struct, frozen=True):
    """All of it, at `SPEAKING_RATE`."""

    samples: bytes
    marks: tuple[Mark, ...]


def voice_of(voicing: Voicing, text: str) -> str:
    """The library's name for the voice: one of its own, or a variant of the language asked for or else written."""
    if voicing.voice and voicing.voice not in OPENAI_VOICES:
        return voicing.voice
    language = (voicing.language or "").lower()
    chinese = language.startswith("zh") or (not language and _CHINESE.search(text) is not None)
    spoken = MANDARIN if chinese else ENGLISH if language.startswith("en") or not language else language
    return spoken + OPENAI_VOICES.get(voicing.voice or "", "")


def rate_of(speed: float) -> int:
    """Words a minute."""
    return max(SLOWEST_WPM, min(FASTEST_WPM, round(NATURAL_WPM * speed)))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # each with a byte of priority before it
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Library:
    """The library, initialised. Used by one thread only."""

    def __init__(self) -> None:
        import espeakng_loader  # the optional extra

        self._c = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate: int = self._c.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data, NO_EXIT)
        self._c.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._files = dict(sorted(self._listed()))
        self.voices = tuple(self._files)

    def _listed(self) -> Iterator[tuple[str, bytes]]:
        """Each voice's language and file: not every language that is listed is taken for a name (en-gb, fr-fr)."""
        found = self._c.espeak_ListVoices(None)
        at = 0
        while found[at]:
            voice = found[at].contents
            yield voice.languages[1:].decode(errors="replace"), voice.identifier
            at += 1

    def spoken(self, order: Order, stop: threading.Event) -> Spoken:
        sound = bytearray()
        words: list[Mark] = []

        def hear(samples: Any, count: int, events: Any) -> int:
            sound.extend(ctypes.string_at(samples, count * 2) if count else b"")
            at = 0
            while events[at].type != LIST_TERMINATED:
                if events[at].type == WORD:
                    sample = events[at].sample * SPEAKING_RATE // self.rate
                    words.append(Mark(events[at].text_position - 1, sample))
                at += 1
            return int(stop.is_set())

        if not self._has(order.voice) or self._c.espeak_SetVoiceByName(self._file(order.voice)) != 0:
            raise self._unknown(order.voice)
        callback = _Callback(hear)
        self._c.espeak_SetSynthCallback(callback)
        self._c.espeak_SetParameter(RATE, order.rate, 0)
        text = order.text.replace("\0", " ").encode("utf-8", "replace")
        self._c.espeak_Synth(text + b"\0", len(text) + 1, 0, 1, 0, UTF8, None, None)
        return Spoken(resampled(bytes(sound), self.rate, SPEAKING_RATE), tuple(words))

    def _has(self, voice: str) -> bool:
        """The library would take a path for a name."""
        language, _, variant = voice.partition("+")
        return language in self.voices and _VARIANT.fullmatch(variant) is not None

    def _file(self, voice: str) -> bytes:
        language, _, variant = voice.partition("+")
        return self._files[language] + f"+{variant}".encode() * bool(variant)

    def _unknown(self, voice: str) -> InputError:
        close = difflib.get_close_matches(voice, (*OPENAI_VOICES, *self.voices), 3, 0.4)
        return InputError(
            f"There is no voice '{voice[:64]}'.",
            code="unknown_voice",
            param="voice",
            hint=f"Did you mean {' or '.join(close)}?" if close else "For example alloy, nova, en-gb, cmn.",
        )


@cache
def _loaded() -> _Library:
    """
    Raises:
        ProviderUnavailableError: the optional package is not installed, or does not fit this machine.
    """
    try:
        return _Library()
    except (ImportError, OSError, RuntimeError):
        raise ProviderUnavailableError(
            "The offline voice is not installed.",
            provider=NAME,
            code="not_configured",
            hint="pip install espeakng-loader (GPL), or configure speech.tts.",
        ) from None


def _spoken(order: Order, stop: threading.Event) -> Spoken:
    return Spoken(b"", ()) if stop.is_set() else _loaded().spoken(order, stop)


async def _pieces(spoken: Spoken) -> AsyncGenerator[Sound]:
    for at in range(0, len(spoken.samples), PIECE_BYTES):
        begin, end = at // SAMPLE_BYTES, (at + PIECE_BYTES) // SAMPLE_BYTES
        marks = tuple(it for it in spoken.marks if begin <= it.sample < end)
        yield Sound(spoken.samples[at : at + PIECE_BYTES], marks)
