"""What the socket costs that sound is transcribed over: streams at once, spoken in real time, with a recogniser that needs
no time.

Run: ``nox -s bench -- listen [--streams 20] [--rounds 3] [--json]``. The server is a process of its own
(``cozy dev --simulate 0/0/0``) with the detector as it is. A first result is timed from the client's sending of the 20 ms
that let the detector know that somebody speaks (found by running it beforehand); a last one from the sending of those after
which it was silent for long enough. The floor is the same recogniser and the same detector, called directly.

Exits 1 when the median of the first results is more than 20 ms above the floor.
"""

# ruff: noqa: T201 - a bench prints

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec
from websockets.asyncio.client import connect

from cozy_adapters.codec.frames import resampled
from cozy_adapters.espeak.speaker import EspeakTextToSpeech
from cozy_adapters.inmemory.simulated import SimulatedSpeechToText
from cozy_adapters.silero import SileroVoiceActivity
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.speech.detection import Detection, DetectionPolicy, SpeechStarted, step
from cozy_domain.speech.ports import WINDOW, Hearing, Voicing
from tests.fixtures.server import server_process

FRAME = HEARING_RATE // 50
"""Samples of 20 ms."""
WINDOW_BYTES = WINDOW * SAMPLE_BYTES
SENTENCES = ("It is raining in Vienna.", "Nobody knows why the trams are late.", "Good evening, everybody.")
PAUSE_S = 1.0
BUDGET_MS = 20.0


class Scene(msgspec.Struct, frozen=True):
    """``starts`` and ``ends``: the frame with whose last sample the detector knows; ``floor_ms`` of each window."""

    sound: bytes
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    floor_ms: tuple[float, ...]


class Figures(msgspec.Struct, frozen=True):
    """Milliseconds; ``cpu_percent`` of one core, for all streams together."""

    streams: int
    floor_p50: float
    first_p50: float
    first_p95: float
    first_max: float
    last_p50: float
    last_p95: float
    last_max: float
    results: int
    cpu_percent: float
    memory_mb_each: float


async def scene() -> Scene:
    """Sentences with pauses between them, and what the detector makes of them."""
    voice = EspeakTextToSpeech()
    pause = bytes(round(PAUSE_S * HEARING_RATE) * SAMPLE_BYTES)
    sound = pause
    for sentence in SENTENCES:
        async with voice.speak(sentence, Voicing()) as pieces:
            said = b"".join([it.samples async for it in pieces])
        sound += resampled(said, SPEAKING_RATE, HEARING_RATE) + pause
    await voice.aclose()
    return await judged(sound)


async def judged(sound: bytes) -> Scene:
    detector = SileroVoiceActivity()
    await detector.aopen()
    stream, state = detector.open(), Detection()
    starts: list[int] = []
    ends: list[int] = []
    floor: list[float] = []
    async with SimulatedSpeechToText(0.0).listen(Hearing()) as heard:
        for at in range(0, len(sound) - WINDOW_BYTES, WINDOW_BYTES):
            window = sound[at : at + WINDOW_BYTES]
            began = time.perf_counter()
            state, edges = step(state, await stream.probability(window), DetectionPolicy())
            await heard.feed(window)
            floor.append((time.perf_counter() - began) * 1_000)
            for edge in edges:
                frame = (at // SAMPLE_BYTES + WINDOW - 1) // FRAME
                (starts if isinstance(edge, SpeechStarted) else ends).append(frame)
    await detector.aclose()
    assert len(starts) == len(ends) == len(SENTENCES)
    return Scene(sound, tuple(starts), tuple(ends), tuple(floor))


async def stream(url: str, it: Scene, begin_s: float) -> tuple[list[float], list[float]]:
    """Speaks in real time; milliseconds to each first result and each last one."""
    sent: list[float] = []
    first: list[float] = []
    last: list[float] = []
    async with connect(url, proxy=None, compression=None) as socket:

        async def read() -> None:
            fresh = True
            async for message in socket:
                now = time.perf_counter()
                kind = msgspec.json.decode(message)["type"]
                if kind == "transcript" and fresh:
                    first.append((now - sent[it.starts[len(first)]]) * 1_000)
                    fresh = False
                elif kind == "transcript_final":
                    last.append((now - sent[it.ends[len(last)]]) * 1_000)
                    fresh = True
                elif kind == "done":
                    return
                elif kind == "error":
                    raise RuntimeError(message)

        await socket.send('{"type":"start"}')
        reading = asyncio.create_task(read())
        loop = asyncio.get_running_loop()
        begin = loop.time() + begin_s
        for at in range(0, len(it.sound), FRAME * SAMPLE_BYTES):
            await asyncio.sleep(max(0.0, begin + at / SAMPLE_BYTES / HEARING_RATE - loop.time()))
            sent.append(time.perf_counter())
            await socket.send(it.sound[at : at + FRAME * SAMPLE_BYTES])
        await socket.send('{"type":"stop"}')
        await reading
    return first, last


async def measured(streams: int, rounds: int) -> Figures:
    told = await scene()
    with tempfile.TemporaryDirectory() as folder:
        async with server_process("dev", "--port", "0", "--simulate", "0/0/0", folder=Path(folder)) as server:
            url = f"ws{server.url.removeprefix('http')}/v1/audio/transcriptions/stream"
            await stream(url, told, 0.0)
            pid = server.process.pid
            memory, cpu, began = resident_mb(pid), cpu_s(pid), time.perf_counter()
            first: list[float] = []
            last: list[float] = []
            for _ in range(rounds):
                got = await asyncio.gather(
                    *(stream(url, told, number / streams * PAUSE_S) for number in range(streams))
                )
                first += [ms for it, _ in got for ms in it]
                last += [ms for _, it in got for ms in it]
            spent = (cpu_s(pid) - cpu) / (time.perf_counter() - began) * 100
            memory = (resident_mb(pid) - memory) / streams
    assert len(first) == len(last) == streams * rounds * len(SENTENCES)
    return Figures(
        streams,
        median(told.floor_ms),
        *summed(first),
        *summed(last),
        len(last),
        spent,
        memory,
    )


def summed(values: Sequence[float]) -> tuple[float, float, float]:
    return median(values), quantiles(values, n=20, method="inclusive")[-1], max(values)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = asyncio.run(measured(asked.streams, asked.rounds))
    if asked.json:
        print(msgspec.json.encode(found).decode())
    else:
        print(f"{found.streams} streams at once, {found.results} utterances; ms      p50    p95    max")
        print(f"detector and recogniser called directly, a window      {found.floor_p50:7.2f}")
        print(f"first result {found.first_p50:48.1f} {found.first_p95:6.1f} {found.first_max:6.1f}")
        print(f"last result  {found.last_p50:48.1f} {found.last_p95:6.1f} {found.last_max:6.1f}")
        print(
            f"CPU of the server: {found.cpu_percent:.0f} % of a core; {found.memory_mb_each:.2f} MB more a stream"
        )
    return int(found.first_p50 - found.floor_p50 > BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main())
