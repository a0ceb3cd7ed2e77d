"""Decodes one file and ends: a program of its own (``python -m cozy_adapters.codec.sandbox``), because the file is untrusted
and FFmpeg is a million lines of C.

The file is its standard input, up to the end; PCM16 mono at the rate of its orders comes out of its standard output as it is
decoded. If there is no sound to be had it ends with `REFUSED` and says why on standard error, in one line. Its limits of
time, memory and files are set before it reads a byte; whoever started it holds the limit of real time.
"""

import io
import sys
from collections.abc import Iterator
from typing import BinaryIO

import av
import msgspec
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

REFUSED = 3
"""Exit status: the reason stands on standard error."""
TOO_LONG = 4
"""Exit status: the sound is longer than allowed; what came out is its beginning."""

CONTAINERS = "wav,mp3,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,flac,aac"
"""FFmpeg's demuxers that may be tried; among those left out are all that open other files: playlists, concat, SDP."""
CODECS = frozenset({"mp3", "mp3float", "aac", "flac", "vorbis", "opus", "libopus", "alac"})
"""Decoders that may be used, beside those of plain PCM."""
FREE_S = 120
"""Seconds of sound that a file of any size may hold."""
LEAST_BYTES_A_SECOND = 500
"""Who holds more than `FREE_S` and has fewer bytes than this for each further second was made to hurt: Opus needs 750 at
its lowest bit rate (RFC 6716, section 2.1.1)."""


class Orders(msgspec.Struct, frozen=True):
    """``cpu_s`` seconds, ``memory_bytes`` of address space, ``rate`` in hertz, at most ``samples`` of it."""

    rate: int
    samples: int
    cpu_s: int
    memory_bytes: int


class RefusedError(Exception):
    """The file holds no sound that we read; the message says why."""


def main() -> int:
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    restrict(orders)
    try:
        return decode(sys.stdin.buffer.read(), orders, sys.stdout.buffer)
    except RefusedError as refusal:
        reason = str(refusal)
    except MemoryError:
        reason = "needs too much memory to decode"
    sys.stderr.write(reason)
    return REFUSED


def restrict(orders: Orders) -> None:
    """Binds this process, where the platform can."""
    try:
        import resource  # not on Windows
    except ModuleNotFoundError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (orders.cpu_s, orders.cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (orders.memory_bytes, orders.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode(data: bytes, orders: Orders, out: BinaryIO) -> int:
    """Writes the sound of ``data``; the exit status.

    Raises:
        RefusedError: there is none.
    """
    allowed = min(orders.samples, orders.rate * (FREE_S + len(data) // LEAST_BYTES_A_SECOND))
    room = allowed
    for piece in sound(data, orders.rate):
        out.write(piece[: room * 2])
        room -= len(piece) // 2
        if room < 0:
            return TOO_LONG
    if room == allowed:
        raise RefusedError("has no sound in it")
    return 0


def sound(data: bytes, rate: int) -> Iterator[bytes]:
    """PCM16 mono, piece by piece; a broken stretch is left out.

    Raises:
        RefusedError: nothing in ``data`` can be decoded.
    """
    options = {"format_whitelist": CONTAINERS, "probesize": "1000000", "analyzeduration": "5000000"}
    try:
        container = av.open(io.BytesIO(data), "r", options=options)
    except (FFmpegError, ValueError, OverflowError):
        raise RefusedError("is in no format that we read, or broken at its beginning") from None
    with container:
        yield from _resampled(_frames(container, _stream(container)), rate)


def _stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise RefusedError("has no sound in it")
    stream = container.streams.audio[0]
    name = stream.codec_context.name
    if name not in CODECS and not name.startswith("pcm_"):
        raise RefusedError(f"holds sound in a format that we do not read ({name[:40]})")
    stream.codec_context.thread_count = 1
    return stream


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError):  # the end, or what a cut file has instead of one
            return
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, av.AudioFrame):
                yield frame


def _resampled(frames: Iterator[av.AudioFrame], rate: int) -> Iterator[bytes]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    shape = None
    for frame in frames:
        frame.pts = None  # lies about time would be filled with silence
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape not in {None, now}:  # a stream may change in the middle
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        shape = now
        for it in resampler.resample(frame):
            yield _samples(it)
    if shape:
        for it in resampler.resample(None):
            yield _samples(it)


def _samples(frame: av.AudioFrame) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * 2]  # planes are padded


if __name__ == "__main__":
    sys.exit(main())
