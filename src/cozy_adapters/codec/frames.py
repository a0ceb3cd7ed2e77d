"""Sound that is decoded already, at another rate; and packets of live streams."""

import ctypes
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError

from cozy_adapters.codec import libopus
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError

LOWEST_RATE = 8_000
HIGHEST_RATE = 48_000


class Resampler:
    """PCM16 mono of another rate. Half a sample at the end of a packet waits for its other half."""

    def __init__(self, rate: int, wanted: int = HEARING_RATE) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InputError(
                f"A rate of {rate} Hz is outside {LOWEST_RATE} to {HIGHEST_RATE}.",
                code="invalid_value",
                param="rate",
            )
        self._rate = rate
        self._wanted = wanted
        self._half = b""
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=wanted)

    def decode(self, packet: bytes) -> bytes:
        samples = self._half + packet
        whole = len(samples) - len(samples) % SAMPLE_BYTES
        self._half = samples[whole:]
        if self._rate == self._wanted or not whole:
            return samples[:whole]
        return _pcm(self._resampler, _frame(samples[:whole], self._rate))


class OpusDecoder:
    """Opus packets (RFC 6716), one after the other, to PCM16 mono at `HEARING_RATE`."""

    def __init__(self, library: ctypes.PyDLL | None = libopus.LIBRARY) -> None:
        self._codec = libopus.Decoder(library, HEARING_RATE) if library else _FFmpegDecoder()

    def decode(self, packet: bytes) -> bytes:
        """
        Raises:
            InputError: ``invalid_audio``.
        """
        return self._codec.decode(packet)


class OpusEncoder:
    """Opus packets of 20 ms, from as much PCM16 mono at `SPEAKING_RATE` each.

    The cheapest way that speech still sounds good (measured through FFmpeg on 2 cores, CPU of one frame): complexity 0
    without look-ahead (CELT) costs 46 us at 32 kbit/s, complexity 5 93 us, the mode for telephony 164 us at 28 kbit/s. The
    codec takes 24 kHz as it is, so that nothing is resampled.
    """

    BIT_RATE = 32_000

    def __init__(self, library: ctypes.PyDLL | None = libopus.LIBRARY) -> None:
        rate, bits = SPEAKING_RATE, self.BIT_RATE
        self._codec = libopus.Encoder(library, rate, bits) if library else _FFmpegEncoder(rate, bits)

    def encode(self, samples: bytes) -> bytes:
        return self._codec.encode(samples)


class _FFmpegDecoder:
    """Where libopus is not found on its own."""

    def __init__(self) -> None:
        self._codec = AudioCodecContext.create("libopus", "r")
        self._codec.sample_rate = 48_000
        self._codec.layout = "mono"
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=HEARING_RATE)

    def decode(self, packet: bytes) -> bytes:
        if not packet:
            raise libopus.not_opus()
        try:
            frames = self._codec.decode(av.Packet(packet))
        except FFmpegError:
            raise libopus.not_opus() from None
        return b"".join(_pcm(self._resampler, frame) for frame in frames)


class _FFmpegEncoder:
    """The same packets."""

    def __init__(self, rate: int, bit_rate: int) -> None:
        self._codec = AudioCodecContext.create("libopus", "w")
        self._codec.sample_rate = rate
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.bit_rate = bit_rate
        self._codec.time_base = Fraction(1, rate)
        self._codec.options = {"application": "lowdelay", "compression_level": "0", "frame_duration": "20"}

    def encode(self, samples: bytes) -> bytes:
        (packet,) = self._codec.encode(_frame(samples, self._codec.sample_rate))
        return bytes(packet)


def resampled(samples: bytes, rate: int, wanted: int) -> bytes:
    """The whole of a PCM16 mono sound at the ``wanted`` rate."""
    if rate == wanted or not samples:
        return samples
    resampler = av.AudioResampler(format="s16", layout="mono", rate=wanted)
    return _pcm(resampler, _frame(samples, rate)) + _pcm(resampler, None)


def _frame(samples: bytes, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // SAMPLE_BYTES)
    frame.planes[0].update(samples.ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate = rate
    return frame


def _pcm(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> bytes:
    if frame:
        frame.pts = None
    return b"".join(bytes(it.planes[0])[: it.samples * SAMPLE_BYTES] for it in resampler.resample(frame))
