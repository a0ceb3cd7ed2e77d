"""Writes sound files while the sound is being made: what can be sent is there after each piece.

Encoding a second takes 1 to 13 ms of CPU. A voice that is faster than real time delivers minutes at once, so it happens in a
thread, where FFmpeg does not hold the interpreter's lock.
"""

import asyncio
from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
import msgspec
from av.audio.stream import AudioStream

from cozy_adapters.codec.wav import wav_header
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE, AudioFormat, Pcm

INLINE_BYTES = SPEAKING_RATE * SAMPLE_BYTES // 10
"""A tenth of a second is encoded where it is: handing it to a thread would cost more."""


class Container(msgspec.Struct, frozen=True):
    """FFmpeg's names; ``rate`` is what the codec is fed, in hertz."""

    muxer: str
    encoder: str
    rate: int = SPEAKING_RATE
    bit_rate: int | None = None
    options: Mapping[str, str] = {}
    coding: Mapping[str, str] = {}
    """Options of the codec."""


CONTAINERS: Mapping[AudioFormat, Container] = {
    AudioFormat.MP3: Container(
        "mp3", "libmp3lame", bit_rate=64_000, options={"write_xing": "0", "id3v2_version": "0"}
    ),
    AudioFormat.OPUS: Container(
        "ogg", "libopus", rate=48_000, bit_rate=32_000, options={"page_duration": "60000"}
    ),
    AudioFormat.AAC: Container("adts", "aac", bit_rate=64_000),
    AudioFormat.FLAC: Container("flac", "flac"),
}

RECORDING = Container(
    "ogg",
    "libopus",
    rate=16_000,
    bit_rate=24_000,
    options={"page_duration": "1000000"},
    coding={"application": "voip", "vbr": "constrained", "frame_duration": "60", "compression_level": "0"},
)
"""Two hours of it are 20 MB, for 5 ms of CPU a second; the highest complexity takes 16 ms (measured on espeak's voice)."""


class PyAvAudioEncoder:
    """MP3, Ogg Opus, ADTS AAC or FLAC."""

    def __init__(self, container: Container, rate: int = SPEAKING_RATE) -> None:
        """``rate`` is that of the samples."""
        self._rate = rate
        self._written = _Written()
        self._file = av.open(
            self._written, "w", format=container.muxer, options={**container.options, "flush_packets": "1"}
        )
        stream = self._file.add_stream(container.encoder, rate=container.rate, layout="mono")
        self._stream = cast(AudioStream, stream)  # the kind that its name says
        self._stream.codec_context.options = dict(container.coding)
        if container.bit_rate:
            self._stream.bit_rate = container.bit_rate
        self._resampler = av.AudioResampler(
            format=self._stream.codec_context.format, layout="mono", rate=container.rate
        )
        self._position = 0

    async def encode(self, samples: bytes) -> bytes:
        if len(samples) <= INLINE_BYTES:
            return self._encode(samples)
        return await asyncio.to_thread(self._encode, samples)

    async def finish(self) -> bytes:
        return await asyncio.to_thread(self._finish)

    def _encode(self, samples: bytes) -> bytes:
        if samples:
            self._mux(self._frame(samples))
        return self._written.taken()

    def _finish(self) -> bytes:
        self._mux(None)
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._written.taken()

    def _mux(self, frame: av.AudioFrame | None) -> None:
        for it in self._resampler.resample(frame):
            self._file.mux(self._stream.encode(it))

    def _frame(self, samples: bytes) -> av.AudioFrame:
        count = len(samples) // SAMPLE_BYTES
        frame = av.AudioFrame(format="s16", layout="mono", samples=count)
        frame.planes[0].update(samples.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = self._rate
        frame.pts = self._position
        frame.time_base = Fraction(1, self._rate)
        self._position += count
        return frame


async def compressed(sound: Pcm) -> bytes:
    """A recording to be sent on, as Ogg Opus: 3 kB a second, in which nothing is lost that recognisers hear."""
    encoder = PyAvAudioEncoder(RECORDING, sound.rate)
    size = sound.rate * SAMPLE_BYTES * 60
    pieces = [
        await encoder.encode(sound.samples[at : at + size]) for at in range(0, len(sound.samples), size)
    ]
    return b"".join((*pieces, await encoder.finish()))


class WavAudioEncoder:
    """PCM as it is, for WAV behind a header that says that the length is unknown."""

    def __init__(self, *, header: bool) -> None:
        self._header = wav_header() if header else b""

    async def encode(self, samples: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + samples

    async def finish(self) -> bytes:
        return await self.encode(b"")


def encoder_of(kind: AudioFormat) -> PyAvAudioEncoder | WavAudioEncoder:
    if kind in {AudioFormat.WAV, AudioFormat.PCM}:
        return WavAudioEncoder(header=kind is AudioFormat.WAV)
    return PyAvAudioEncoder(CONTAINERS[kind])


class _Written:
    """A file that only grows; FFmpeg may not go back in it."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        return data
