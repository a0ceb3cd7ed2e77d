"""``PyAvAudioCodec``: the `AudioCodec` port."""

import asyncio
import sys

import msgspec

from cozy_adapters.child.ending import end
from cozy_adapters.child.process import environment
from cozy_adapters.codec import sandbox
from cozy_adapters.codec.encoding import PyAvAudioEncoder, WavAudioEncoder, encoder_of
from cozy_adapters.codec.frames import OpusDecoder, Resampler
from cozy_adapters.codec.sandbox import REFUSED, TOO_LONG, Orders
from cozy_adapters.codec.sniffing import described
from cozy_domain.audio import HEARING_RATE, AudioFormat, Pcm, Upload
from cozy_domain.errors import InputError


class DecodeLimits(msgspec.Struct, frozen=True):
    """Of one file: ``longest_s`` seconds of sound; real time to decode it, ``wall_s`` and ``wall_s_per_megabyte``; ``cpu_s``
    seconds of work; ``memory_bytes`` of address space. ``at_once`` files are decoded at the same time, others wait."""

    longest_s: int = 7_200
    wall_s: float = 5.0
    wall_s_per_megabyte: float = 3.0
    cpu_s: int = 60
    memory_bytes: int = 1_500_000_000
    at_once: int = 2


class PyAvAudioCodec:
    """Decodes every file in a process of its own that serves no other. One is kept waiting, started and imported, so that
    a file does not wait for Python."""

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self._limits = limits or DecodeLimits()
        self._room = asyncio.Semaphore(self._limits.at_once)
        self._spare: asyncio.Task[asyncio.subprocess.Process] | None = None
        self._unused: set[asyncio.Task[asyncio.subprocess.Process]] = set()

    async def decode(self, upload: Upload) -> Pcm:
        if not upload.data:
            raise _invalid("is empty")
        obvious = described(upload.data)
        if obvious:
            raise _invalid(f"is {obvious}, not sound")
        async with self._room:
            return await self._decoded(upload.data)

    def encoder(self, kind: AudioFormat) -> PyAvAudioEncoder | WavAudioEncoder:
        return encoder_of(kind)

    def opus(self) -> OpusDecoder:
        return OpusDecoder()

    def resampler(self, rate: int, wanted: int = HEARING_RATE) -> Resampler:
        return Resampler(rate, wanted)

    async def aclose(self) -> None:
        """Ends the processes that nobody needed."""
        spare, self._spare = self._spare, None
        for starting in (*self._unused, *((spare,) if spare else ())):
            await end(await starting)
        self._unused.clear()

    async def _decoded(self, data: bytes) -> Pcm:
        process = await self._process()
        patience = self._limits.wall_s + self._limits.wall_s_per_megabyte * len(data) / 1_000_000
        try:
            async with asyncio.timeout(patience):
                out, errors = await process.communicate(data)
        except TimeoutError:
            raise _invalid(f"took longer than {patience:g} s to decode") from None
        finally:
            await end(process)
        if process.returncode == 0:
            return Pcm(out)
        raise self._refusal(process.returncode, errors)

    async def _process(self) -> asyncio.subprocess.Process:
        """One that nobody else has; another is started for who comes next."""
        spare: asyncio.Task[asyncio.subprocess.Process] | None
        if self._unused:
            spare = self._unused.pop()
        else:
            spare, self._spare = self._spare, asyncio.create_task(self._start())
        if spare is None:
            return await self._start()
        try:
            process = await asyncio.shield(spare)
        except asyncio.CancelledError:
            self._unused.add(spare)  # it may still be starting
            raise
        return process if process.returncode is None else await self._start()  # it may have been killed

    def _refusal(self, status: int | None, errors: bytes) -> InputError:
        if status == TOO_LONG:
            return InputError(
                f"The file holds more than {self._limits.longest_s} s of sound, or far more than its size allows.",
                code="audio_too_long",
                param="file",
                hint="Cut it into pieces.",
            )
        if status == REFUSED:
            return _invalid(errors.decode(errors="replace").strip())
        return _invalid("took more time or memory to decode than is allowed, or broke the decoder")

    async def _start(self) -> asyncio.subprocess.Process:
        orders = Orders(
            rate=HEARING_RATE,
            samples=HEARING_RATE * self._limits.longest_s,
            cpu_s=self._limits.cpu_s,
            memory_bytes=self._limits.memory_bytes,
        )
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            sandbox.__name__,
            msgspec.json.encode(orders).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )


def _invalid(reason: str) -> InputError:
    return InputError(
        f"The file {reason}.",
        code="invalid_audio",
        param="file",
        hint="Send MP3, WAV, M4A, MP4, WebM, OGG, FLAC or AAC.",
    )
