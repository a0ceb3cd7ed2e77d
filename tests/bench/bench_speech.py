"""What files of speech cost, each way and in every format, beside the libraries called directly in the same round.

Run: ``nox -s bench -- speech [--rounds 3] [--json FILE]``; Linux only, three minutes. The server is a process of its own
(``cozy dev``) with its offline voice and recogniser, and the processes that these need; its CPU is that of all of them. The
floor is this process: espeak-ng by ctypes and one PyAV encoder; PyAV's decoder and one PocketSphinx decoder. Streams that
are transcribed while they are spoken: ``nox -s bench -- listen``.

*First byte* is from the request to the first byte of the body; *real time* is the time to the last byte for each second of
sound (less than 1 is faster than it sounds); *CPU* likewise.
"""

# ruff: noqa: T201 - a bench prints

import argparse
import asyncio
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import av
import httpx2
import msgspec
import pocketsphinx

from cozy_adapters.codec.encoding import CONTAINERS
from cozy_adapters.codec.frames import resampled
from cozy_adapters.espeak.library import Library
from cozy_adapters.espeak.voices import NATURAL_WPM
from cozy_adapters.espeak.wire import Order
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, AudioFormat
from tests.fixtures.server import server_process
from tests.fixtures.sounds import encoded

SENTENCE = "Nobody in the harbour knows why the last tram to the lighthouse is late again tonight. "
LONG, SHORT = SENTENCE * 46, SENTENCE * 2
"""Nearly the 4,096 characters that a request may have, and what is heard or said many times at once: some 10 s."""
AT_ONCE = 20
SERVER = {"COZY_MODEL": "offline", "COZY_SPEECH__TRANSCRIPT_S": "600"}
"""On a busy machine the offline recogniser needs longer than the sound lasts."""
TICKS = os.sysconf("SC_CLK_TCK")
VOICE = "en-us+f5"
"""What the offline voice makes of OpenAI's ``alloy``."""


class Row(msgspec.Struct, frozen=True):
    """Milliseconds, and seconds for each second of sound; None where it does not apply."""

    what: str
    first_ms: float | None
    real_time: float
    cpu: float


Measure = Callable[[], Any]


async def main(rounds: int, json_file: str | None) -> None:
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            server_process("dev", "--port", "0", folder=Path(folder), **SERVER) as server,
            httpx2.AsyncClient(base_url=server.url, timeout=600) as client,
        ):
            pid = server.process.pid
            files = {kind: await encoded(kind, _said(SHORT)) for kind in AudioFormat if kind != "pcm"}
            await _spoken(client, "Hello.", "mp3")  # the first request of each kind starts processes
            await _understood(client, files[AudioFormat.WAV])
            for _ in range(rounds):
                async for row in _round(client, pid, files):
                    found.setdefault(row.what, []).append(row)
    rows = [_middle(what, many) for what, many in found.items()]
    print(_table(rows))
    told = msgspec.json.encode({"rounds": rounds, "rows": rows}).decode()
    print(told)
    if json_file:
        await asyncio.to_thread(Path(json_file).write_text, f"{told}\n", encoding="utf-8")


async def _round(client: httpx2.AsyncClient, pid: int, files: Mapping[AudioFormat, bytes]) -> Any:
    for kind in AudioFormat:
        yield _speaking_floor(kind)
        cpu = _cpu(pid)
        first, whole, length = await _spoken(client, LONG, kind)
        yield Row(f"speak {kind}", first * 1_000, whole / length, (_cpu(pid) - cpu) / length)
    cpu, began = _cpu(pid), time.perf_counter()
    many = await asyncio.gather(*(_spoken(client, SHORT, "mp3") for _ in range(AT_ONCE)))
    length, took = sum(it[2] for it in many), time.perf_counter() - began
    last = max(it[0] for it in many)
    yield Row(
        f"speak mp3, {AT_ONCE} at once (last one's first byte)",
        last * 1_000,
        took / length,
        (_cpu(pid) - cpu) / length,
    )
    sound = resampled(_said(SHORT), SPEAKING_RATE, HEARING_RATE)
    length = len(sound) / SAMPLE_BYTES / HEARING_RATE
    yield _hearing_floor(sound, length)
    for kind, data in files.items():
        yield _decoding_floor(kind, data, length)
        cpu = _cpu(pid)
        took = await _understood(client, data)
        yield Row(f"transcribe {kind}", None, took / length, (_cpu(pid) - cpu) / length)


async def _spoken(client: httpx2.AsyncClient, text: str, kind: str) -> tuple[float, float, float]:
    """Seconds to the first byte, to the last, and of sound."""
    asked = {"model": "tts-1", "voice": "alloy", "input": text, "response_format": kind}
    began, first, data = time.perf_counter(), 0.0, bytearray()
    async with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_raw():
            first = first or time.perf_counter() - began
            data += piece
    took = time.perf_counter() - began
    return first, took, _seconds(bytes(data), kind)


async def _understood(client: httpx2.AsyncClient, data: bytes) -> float:
    began = time.perf_counter()
    answer = await client.post("/v1/audio/transcriptions", files={"file": ("speech", data)})
    answer.raise_for_status()
    return time.perf_counter() - began


def _speaking_floor(kind: AudioFormat) -> Row:
    """The same sentences, one by one through one encoder."""
    library = _library()
    began, cpu, first, length = time.perf_counter(), time.process_time(), 0.0, 0
    with _Encoder(kind) as encoder:
        for _ in range(LONG.count(SENTENCE)):
            samples = library.spoken(Order(SENTENCE, VOICE, NATURAL_WPM)).samples
            encoder.add(samples)
            first = first or time.perf_counter() - began
            length += len(samples) // SAMPLE_BYTES
    seconds = length / SPEAKING_RATE
    return Row(
        f"speak {kind}, floor",
        first * 1_000,
        (time.perf_counter() - began) / seconds,
        (time.process_time() - cpu) / seconds,
    )


def _decoding_floor(kind: AudioFormat, data: bytes, length: float) -> Row:
    began, cpu = time.perf_counter(), time.process_time()
    _decoded(data)
    return Row(
        f"decode {kind}, floor",
        None,
        (time.perf_counter() - began) / length,
        (time.process_time() - cpu) / length,
    )


def _hearing_floor(sound: bytes, length: float) -> Row:
    decoder = pocketsphinx.Decoder(loglevel="FATAL")
    began, cpu = time.perf_counter(), time.process_time()
    decoder.start_utt()
    for at in range(0, len(sound), HEARING_RATE * SAMPLE_BYTES):
        decoder.process_raw(sound[at : at + HEARING_RATE * SAMPLE_BYTES])
    decoder.end_utt()
    decoder.hyp()
    return Row(
        "recognise, floor",
        None,
        (time.perf_counter() - began) / length,
        (time.process_time() - cpu) / length,
    )


class _Encoder:
    """PyAV as it comes, into memory."""

    def __init__(self, kind: AudioFormat) -> None:
        self._how = CONTAINERS.get(kind)
        self._data = io.BytesIO()

    def __enter__(self) -> "_Encoder":
        if self._how:
            self._file = av.open(self._data, "w", format=self._how.muxer)
            self._stream: Any = self._file.add_stream(self._how.encoder, rate=self._how.rate, layout="mono")
        return self

    def add(self, samples: bytes) -> None:
        if not self._how:
            self._data.write(samples)
            return
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // SAMPLE_BYTES)
        frame.sample_rate = SPEAKING_RATE
        frame.planes[0].update(samples)
        self._file.mux(self._stream.encode(frame))

    def __exit__(self, *_: object) -> None:
        if self._how:
            self._file.mux(self._stream.encode(None))
            self._file.close()


def _decoded(data: bytes) -> int:
    """How many samples at `HEARING_RATE`."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=HEARING_RATE)
    with av.open(io.BytesIO(data), "r") as file:
        return sum(int(it.samples) for frame in file.decode(audio=0) for it in resampler.resample(frame))


def _seconds(data: bytes, kind: str) -> float:
    samples = len(data) // SAMPLE_BYTES
    return samples / SPEAKING_RATE if kind == "pcm" else _decoded(data) / HEARING_RATE


def _said(text: str) -> bytes:
    return _library().spoken(Order(text, VOICE, NATURAL_WPM)).samples


_LIBRARIES: list[Library] = []


def _library() -> Library:
    """One in a process, as it has global state."""
    if not _LIBRARIES:
        _LIBRARIES.append(Library())
    return _LIBRARIES[0]


def _cpu(pid: int) -> float:
    """Seconds of a process, of those that it started and of those of them that ended (proc(5), stat)."""
    fields = _stat(pid)
    own = sum(int(it) for it in fields[11:15]) / TICKS
    return own + sum(_cpu(child) for child in _children(pid))


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def _stat(pid: int) -> Sequence[str]:
    """From the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _middle(what: str, rows: Sequence[Row]) -> Row:
    firsts = [it.first_ms for it in rows if it.first_ms is not None]
    return Row(
        what,
        round(median(firsts), 2) if firsts else None,
        round(median(it.real_time for it in rows), 5),
        round(median(it.cpu for it in rows), 5),
    )


def _table(rows: Sequence[Row]) -> str:
    lines = ["| | first byte, ms | real time | CPU |", "|---|---|---|---|"]
    for it in rows:
        first = "" if it.first_ms is None else f"{it.first_ms:.1f}"
        lines.append(f"| {it.what} | {first} | {it.real_time:.4f} | {it.cpu:.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("This benchmark asks Linux for the CPU of processes.")
    given = argparse.ArgumentParser(description="What files of speech cost.")
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--json", metavar="FILE")
    options = given.parse_args()
    asyncio.run(main(options.rounds, options.json))
