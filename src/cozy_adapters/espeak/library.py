"""The library. Its state is global and outlives a text, so everything that matters is set before each. Interface:
``speak_lib.h`` of espeak-ng 1.52."""

import ctypes
from collections.abc import Mapping
from typing import Any

import espeakng_loader

from cozy_adapters.codec.frames import resampled
from cozy_adapters.espeak.wire import Mark, Order, Spoken
from cozy_domain.audio import SPEAKING_RATE

SYNCHRONOUS = 2
NO_EXIT = 0x8000
UTF8 = 1
RATE, VOLUME, PITCH, RANGE, WORD_GAP = 1, 2, 3, 4, 7
PARAMETERS: Mapping[int, int] = {VOLUME: 100, PITCH: 50, RANGE: 50, WORD_GAP: 0}
"""The library's own defaults."""
WORD = 1
LIST_TERMINATED = 0
BUFFER_MS = 60
"""It hands out sound in pieces of this length."""


class Event(ctypes.Structure):
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


class Voice(ctypes.Structure):
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


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


class Library:
    """``voices`` are the languages of all voices, with the identifier under which the library finds each."""

    def __init__(self) -> None:
        self._c = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate: int = self._c.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data, NO_EXIT)
        self._c.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(Voice))
        self.voices = self._listed()

    def spoken(self, order: Order) -> Spoken:
        """All of the text; nothing in a voice that is none."""
        sound = bytearray()
        words: list[Mark] = []

        def hear(samples: Any, count: int, events: Any) -> int:
            sound.extend(ctypes.string_at(samples, count * 2) if count else b"")
            at = 0
            while events[at].type != LIST_TERMINATED:
                if events[at].type == WORD:
                    sample = events[at].sample * SPEAKING_RATE // self._rate
                    words.append(Mark(events[at].text_position - 1, sample))
                at += 1
            return 0

        language, plus, variant = order.voice.partition("+")
        self._c.espeak_SetVoiceByName(self.voices.get(language, b"") + (plus + variant).encode())
        for parameter, value in (*PARAMETERS.items(), (RATE, order.rate)):
            self._c.espeak_SetParameter(parameter, value, 0)
        callback = Callback(hear)
        self._c.espeak_SetSynthCallback(callback)
        text = order.text.encode()
        self._c.espeak_Synth(text + b"\0", len(text) + 1, 0, 1, 0, UTF8, None, None)
        return Spoken(resampled(bytes(sound), self._rate, SPEAKING_RATE), tuple(words))

    def _listed(self) -> Mapping[str, bytes]:
        found = self._c.espeak_ListVoices(None)
        voices: dict[str, bytes] = {}
        at = 0
        while found[at]:
            voice = found[at].contents
            voices.setdefault(voice.languages[1:].decode(errors="replace").lower(), voice.identifier)
            at += 1
        return voices
