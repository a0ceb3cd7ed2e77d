"""libopus itself, without FFmpeg around it: what a live call asks fifty times a second in each direction.

Through PyAV a packet passes a resampler that only counts samples, a filter graph and several objects. Straight from the
library it is decoded to the rate that is wanted, for three quarters of the CPU, and encoded for half (measured with 50 calls
on 2 cores: 27 and 29 us where PyAV and a filter took 37 and 61). The library is called with Python's lock held: changing
threads twice takes longer than what it does.

It is the copy that PyAV has brought and loaded anyway, else the system's. `LIBRARY` is None where there is neither; whoever
uses this has a way through PyAV then.
"""

import ctypes
import sys
from pathlib import Path

import av

from cozy_domain.audio import SAMPLE_BYTES
from cozy_domain.errors import InputError

PLACES = (("..", "av.libs", "*opus*"), (".dylibs", ".", "*opus*"))
"""Where the wheels of PyAV keep what they bring: Linux and Windows, and macOS; from its package."""
NAMES = ("libopus.so.0", "libopus.0.dylib", "opus.dll")
"""The system's."""

MONO = 1
LONGEST_PACKET_MS = 120
"""RFC 6716, section 3.2.5."""
LARGEST_PACKET = 1_500
"""Bytes for 20 ms, far beyond any bit rate that is asked for."""

# opus_defines.h of libopus 1.5.
_OK = 0
_RESTRICTED_LOWDELAY = 2_051
_SET_BITRATE = 4_002
_SET_COMPLEXITY = 4_010
_SET_VBR_CONSTRAINT = 4_020


def _loaded() -> ctypes.PyDLL | None:
    """The library reads and writes 16-bit samples as this machine has them, and ours are little-endian."""
    if sys.byteorder != "little":
        return None
    package = Path(av.__file__).parent
    brought = [str(it) for folder, within, name in PLACES for it in package.glob(f"{folder}/{within}/{name}")]
    for name in (*brought, *NAMES):
        try:
            library = ctypes.PyDLL(name)
            _declare(library)
        except (OSError, AttributeError):
            continue
        return library
    return None


def _declare(library: ctypes.PyDLL) -> None:
    """``AttributeError`` if it is another library."""
    state, number = ctypes.c_void_p, ctypes.c_int32
    library.opus_decoder_get_size.argtypes = [number]
    library.opus_decoder_init.argtypes = [state, number, number]
    library.opus_decode.argtypes = [state, ctypes.c_char_p, number, state, number, number]
    library.opus_encoder_get_size.argtypes = [number]
    library.opus_encoder_init.argtypes = [state, number, number, number]
    library.opus_encoder_ctl.argtypes = [state, number]  # and one more: it takes any number of arguments
    library.opus_encode.argtypes = [state, ctypes.c_char_p, number, state, number]


LIBRARY = _loaded()


class Decoder:
    """Packets of one sender to PCM16 mono at ``rate``: 8, 12, 16, 24 or 48 kHz; what that cannot hold is left out."""

    def __init__(self, library: ctypes.PyDLL, rate: int) -> None:
        self._state = ctypes.create_string_buffer(library.opus_decoder_get_size(MONO))
        if library.opus_decoder_init(self._state, rate, MONO) != _OK:
            raise ValueError(f"Opus has no rate of {rate} Hz")
        self._decode = library.opus_decode
        self._most = rate * LONGEST_PACKET_MS // 1_000
        self._sound = ctypes.create_string_buffer(self._most * SAMPLE_BYTES)
        self._decoded = memoryview(self._sound)

    def decode(self, packet: bytes) -> bytes:
        """
        Raises:
            InputError: ``invalid_audio``; the packets after it are decoded all the same.
        """
        # Without a packet the library makes up for a lost one.
        samples = self._decode(self._state, packet, len(packet), self._sound, self._most, 0) if packet else 0
        if samples <= 0:
            raise not_opus()
        return self._decoded[: samples * SAMPLE_BYTES].tobytes()


class Encoder:
    """PCM16 mono at ``rate`` to packets of 20 ms, without look-ahead (CELT) and at the lowest complexity."""

    def __init__(self, library: ctypes.PyDLL, rate: int, bit_rate: int) -> None:
        self._state = ctypes.create_string_buffer(library.opus_encoder_get_size(MONO))
        if library.opus_encoder_init(self._state, rate, MONO, _RESTRICTED_LOWDELAY) != _OK:
            raise ValueError(f"Opus has no rate of {rate} Hz")
        for setting, value in ((_SET_BITRATE, bit_rate), (_SET_COMPLEXITY, 0), (_SET_VBR_CONSTRAINT, 0)):
            if library.opus_encoder_ctl(self._state, setting, ctypes.c_int32(value)) != _OK:
                raise ValueError(f"Opus refuses {value} for setting {setting}")
        self._encode = library.opus_encode
        self._frame = rate // 50
        self._packet = ctypes.create_string_buffer(LARGEST_PACKET)
        self._encoded = memoryview(self._packet)

    def encode(self, samples: bytes) -> bytes:
        """One packet of exactly 20 ms of sound."""
        if len(samples) != self._frame * SAMPLE_BYTES:
            raise ValueError(f"{len(samples)} bytes are not 20 ms")
        size = self._encode(self._state, samples, self._frame, self._packet, LARGEST_PACKET)
        if size <= 0:
            raise RuntimeError(f"Opus encodes no frame ({size})")
        return self._encoded[:size].tobytes()


def not_opus() -> InputError:
    return InputError(
        "This is no packet of Opus.", code="invalid_audio", hint="Send the payload of one Opus packet."
    )
