"""Conversations over WebRTC with simulated engines: how soon a reply begins and stops, and what a call costs.

Run: ``nox -s bench -- voice``; about fifteen minutes. ``--calls 1,10``, ``--delays 0/0/0``, ``--losses 0`` and ``--turns 3``
measure less; ``--json FILE`` writes the JSON there too, with the figures of earlier runs, so that the whole can be measured
in parts; ``--check`` exits 1 when a target is missed.

The load generator is this process, the server another one (``cozy dev --simulate``), over loopback with real Opus; callers
say a person's recorded sentences, each for an owner of his own, and their key's limits are on, set high. All times are the
caller's, on one clock: ``last word`` is the packet with the last sound of a sentence, ``first packet`` the first one of the
reply that can be heard (above -50 dBFS). ``endpointing`` and ``engine`` are the server's own account of the same turn
(``turn.latency``). A caller talks over every third reply: from his first packet to the last one that can be heard. Every
fourth sentence stops in the middle, and its reply is counted apart. CPU is the server's; what the callers and everything
else on the machine took stands after it. Beside it, in the same run, the floor: a bare aiortc echo with as many lines
(`bench_webrtc`). Losses, in both directions, are measured with ten calls; ``drift`` is how much later the last third of the
replies begin than the first. ``onset → pause`` is read from the server's recordings, with up to ten calls, as writing them
costs. At the end, how many sentences with pauses inside are cut off (`bench_pauses`).

``--hold 10`` does something else: it raises the calls until they take 80 % of a core, and holds seven tenths of them for ten
minutes: who is dropped then, and what is late?

``--engines offline`` calls ``cozy dev`` as it is without a key, PocketSphinx and espeak-ng: with 1, 2, 4, 8 … calls at once,
until a turn is not answered within three seconds.
"""

# ruff: noqa: T201 - a bench prints

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import isnan, nan
from pathlib import Path
from statistics import median, quantiles

import httpx2
import msgspec
import uvloop

from cozy_domain.voice.policy import DEFAULT, VoiceProfile
from tests.bench import bench_pauses, bench_webrtc
from tests.bench.machine import HERTZ, Others
from tests.bench.voice.speech import PACKAGE, Phrases, recorded
from tests.bench.voice.talker import Talker
from tests.fixtures.calls import until
from tests.fixtures.server import command, server_process

DELAYS = ("0/0/0", "150/250/150")
LOSSES = (0.0, 0.02, 0.05, 0.2)
ANSWER_S = 12.0
GREETING_S = 4.0
"""After so long a greeting has begun, if there is one; and calls are guarded from interruptions at their beginning."""
SILENT_S = 0.6
OVERLAPS_S = (1.2, 0.35)
"""Into a reply, every other caller begins to talk over it. After the first of them its number has been said."""
APART_MS = 150.0
"""What the server's stages, summed, and the caller's own clock may differ by: the way there and back, with its buffers."""
LOSSY_CALLS = 10
DRIFT_MS = 40.0
PAUSED_MS = 100.0
ENDPOINTING_MS = 300.0
"""Of whole sentences, while callers talk over replies early and late: interruptions teach nothing wrong."""
OFFLINE = (1, 2, 4, 8, 16, 32, 64)
OFFLINE_TURNS = 4
SOON_MS = 3_000.0
"""Later than that nobody calls it a conversation."""
FLOOR_S = 6.0
FULL_PERCENT = 80.0
HELD = 0.7
RAMP = range(20, 101, 10)
HELD_LAG_MS = 20.0
"""At 99 %, while calls are held."""
HELD_ENGINE_MS = 300.0


class Turns(msgspec.Struct):
    """Milliseconds."""

    first: list[float] = []
    unfinished: list[float] = []
    stopped: list[float] = []
    endpointing: list[float] = []
    engine: list[float] = []
    asked: int = 0
    answered: int = 0
    wrong: int = 0
    uneven: int = 0
    """Turns whose stages do not add up to what the caller's clock says."""
    paused: list[float] = []
    """From the onset of speech over a reply to the order to pause it."""


class Figure(msgspec.Struct, frozen=True):
    delays: str
    calls: int
    loss: float
    asked: int
    answered: int
    wrong: int
    uneven: int
    first_p50: float
    first_p95: float
    unfinished_p50: float
    endpointing_p50: float
    engine_p50: float
    engine_p95: float
    stopped_p50: float
    stopped_p95: float
    cpu_percent: float
    call_ms: float
    """Of CPU, for each second of each call."""
    idle_percent: float
    rss_mb: float
    lag_p50: float
    lag_p99: float
    load_percent: float
    """Of one core, that the callers took."""
    others_percent: float
    """That everything else on the machine took."""
    floor_percent: float = nan
    floor_share: float = nan
    """Of the packets that the floor should have sent back."""
    endpointing_p95: float = nan
    paused_p50: float = nan
    paused_p95: float = nan
    drift_ms: float = nan
    dropped: int = 0
    """Lines that were gone before the callers hung up."""
    seconds: float = nan
    """That the conversations took."""

    @property
    def key(self) -> tuple[str, int, float]:
        return self.delays, self.calls, self.loss


class Report(msgspec.Struct, frozen=True):
    """``pauses`` is empty where they were not measured."""

    date: str
    cores: int
    profile: VoiceProfile
    figures: list[Figure]
    pauses: list[bench_pauses.Figure] = []


class Server(msgspec.Struct, frozen=True):
    url: str
    key: str
    pid: int
    folder: Path

    def pauses_ms(self) -> list[float]:
        """Of all calls so far that were recorded: how long after an onset of speech a reply was paused. Those in the first
        moments of a reply, which wait for its guard, are no part of it."""
        found = []
        for file in self.folder.glob("*.jsonl"):
            for line in file.read_bytes().splitlines():
                taken = json.loads(line)
                event = taken.get("event", {})
                ordered = [it["type"] for it in taken.get("actions", ())]
                if event.get("type") == "vad.speech_started" and "playout.pause" in ordered:
                    found.append((event["at"] - event["onset"]) / 1e6)
        return found

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1_024


@asynccontextmanager
async def server(*arguments: str, recorded: bool = False) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        limits = {
            "COZY_LIMITS__OWNER_PER_MINUTE": "100000",
            "COZY_LIMITS__ADDRESS_PER_MINUTE": "100000",
            "COZY_LIMITS__SERVING_ACCOUNT_PER_MINUTE": "100000",
            "COZY_VOICE__CALLS_AT_ONCE": "1000",
            "COZY_VOICE__CALLS_PER_OWNER": "3",
            "COZY_VOICE__BUSY_PERCENT": "100",
        }
        recordings = folder / "recordings"
        if recorded:
            limits["COZY_VOICE__RECORDINGS"] = str(recordings)
        async with server_process("dev", *arguments, "--port", "0", folder=folder, **limits) as running:
            _, out, _ = await command("keys", "create", "bench", "--serves-many", "--json", folder=folder)
            yield Server(running.url, json.loads(out)["key"], running.process.pid, recordings)


async def connected(
    served: Server, client: httpx2.AsyncClient, phrases: Phrases, count: int, loss: float
) -> list[Talker]:
    async def one(number: int) -> Talker:
        talker = Talker(phrases.silence, loss)

        async def offered(sdp: str) -> str:
            wish = {"user_id": f"caller-{number}"}
            body = {"sdp": sdp, "type": "offer", "webrtc_id": f"caller{number}", "cozy": wish}
            answered = (await client.post("/webrtc/offer", json=body)).json()
            if "sdp" not in answered:
                raise RuntimeError(answered)
            return str(answered["sdp"])

        await talker.call(offered)
        return talker

    return [await one(number) for number in range(count)]


class Asked(msgspec.Struct, frozen=True):
    """A turn that was answered: its ``number``, where its events begin, and what the caller's clock says."""

    number: int
    told: int
    waited_ms: float
    numbered: bool
    """So much of the reply was said that its number is in it."""
    whole: bool
    """The sentence was not left in the middle."""


async def converse(
    talker: Talker, phrases: Phrases, turns: int, kept: Turns, overlap_s: float = OVERLAPS_S[0]
) -> None:
    """So many turns; every third reply is talked over by the next sentence, every fourth sentence is not ended."""
    overlapped: Asked | None = None
    for number in range(1, turns + 1):
        whole = number % 4 != 2
        began, ended = await talker.mouth.say(phrases.sentence if whole else phrases.beginning)
        told = talker.told_by(ended)
        kept.asked += 1
        if overlapped is not None:
            last = talker.last_loud_before_gap(began)
            if last is not None:
                kept.stopped.append(max(0.0, last - began) * 1_000)
            _account(talker, overlapped, kept)
        overlapped = None
        if not await _comes(lambda at=ended, since=told: _answer(talker, at, since) is not None):
            continue
        heard = _answer(talker, ended, told)
        assert heard is not None
        kept.answered += 1
        waited = (heard - ended) * 1_000
        (kept.first if whole else kept.unfinished).append(waited)
        if number % 3 == 0 and number < turns:
            await until(lambda at=heard: time.monotonic() - at > overlap_s)  # type: ignore[misc]
            overlapped = Asked(number, told, waited, overlap_s == OVERLAPS_S[0], whole)
        else:
            await _comes(lambda: talker.silent_for() > SILENT_S)
            await _comes(lambda since=told: bool(talker.told("response.done", since)))
            _account(talker, Asked(number, told, waited, True, whole), kept)


def _answer(talker: Talker, ended: float, told: int) -> float | None:
    """When the reply to what was said until ``ended`` began: a sound that is no tail of another, and announced."""
    return talker.first_sound_after(ended) if talker.told("output_audio_buffer.started", told) else None


def _account(talker: Talker, asked: Asked, kept: Turns) -> None:
    """What the server tells of the turn: that its reply has ended, which one it was, and what took how long."""
    begun = talker.told("output_audio_buffer.started", asked.told)[0][1]["response_id"]
    done = [it for _, it in talker.told("response.done", asked.told) if it["response_id"] == begun]
    kept.wrong += not done or (asked.numbered and f"answer {asked.number}" not in str(done[-1]["text"]))
    latencies = [it for _, it in talker.told("turn.latency", asked.told) if it["response_id"] == begun]
    if not latencies:
        kept.uneven += 1
    for it in latencies:
        stages = {stage["name"]: float(stage["ms"]) for stage in it["stages"]}
        kept.uneven += abs(sum(stages.values()) - asked.waited_ms) > APART_MS
        if asked.whole:
            kept.endpointing.append(stages.pop("endpointing"))
            kept.engine.append(sum(stages.values()))


async def _comes(condition: object) -> bool:
    try:
        await until(condition, ANSWER_S)  # type: ignore[arg-type]
    except AssertionError:
        return False
    return True


async def lag(client: httpx2.AsyncClient, kept: list[float]) -> None:
    """How long the server's loop lets a request wait that needs next to nothing."""
    while True:
        began = time.monotonic()
        await client.get("/livez")
        kept.append((time.monotonic() - began) * 1_000)
        await asyncio.sleep(0.1)


async def measure(delays: str, calls: int, turns: int, phrases: Phrases, loss: float = 0.0) -> Figure:
    async with (
        server("--simulate", delays, recorded=calls <= LOSSY_CALLS) as served,
        httpx2.AsyncClient(
            base_url=served.url, timeout=60, headers={"Authorization": f"Bearer {served.key}"}
        ) as client,
    ):
        talkers = await connected(served, client, phrases, calls, loss)
        await asyncio.sleep(GREETING_S)
        for it in talkers:
            await _comes(lambda talker=it: talker.silent_for() > 2 * SILENT_S)
        idle = await _idle(served)
        kept, waits = Turns(), list[float]()
        watching = asyncio.create_task(lag(client, waits))
        cpu, began, others = served.cpu_s(), time.monotonic(), Others()

        async def begin(talker: Talker, number: int) -> None:
            await asyncio.sleep(number * 4.0 / calls)
            await converse(talker, phrases, turns, kept, OVERLAPS_S[number % len(OVERLAPS_S)])

        await asyncio.gather(*(begin(it, number) for number, it in enumerate(talkers)))
        cpu, took = served.cpu_s() - cpu, time.monotonic() - began
        load, rest = others.mine_s() / took * 100, others.percent(cpu)
        rss = served.rss_mb()
        watching.cancel()
        dropped = sum(it.connection.connectionState != "connected" for it in talkers)
        await asyncio.gather(*(it.hang_up() for it in talkers))
        kept.paused = served.pauses_ms()
    return Figure(
        delays, calls, loss, kept.asked, kept.answered, kept.wrong, kept.uneven,
        *_p(kept.first), _p(kept.unfinished)[0], _p(kept.endpointing)[0], *_p(kept.engine), *_p(kept.stopped),
        cpu / took * 100, cpu / took / calls * 1_000, idle / calls, rss, *_p(waits, 100), load, rest,
        endpointing_p95=_p(kept.endpointing)[1], paused_p50=_p(kept.paused)[0], paused_p95=_p(kept.paused)[1],
        drift_ms=_drift(kept.first), dropped=dropped, seconds=took,
    )  # fmt: skip


async def _idle(served: Server) -> float:
    """Per cent of a core while nobody speaks."""
    cpu, began = served.cpu_s(), time.monotonic()
    await asyncio.sleep(3.0)
    return (served.cpu_s() - cpu) / (time.monotonic() - began) * 100


def _p(values: list[float], parts: int = 20) -> tuple[float, float]:
    """Median, and the last of so many parts."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (nan, nan)
    return median(values), quantiles(values, n=parts)[-1]


def _drift(values: list[float]) -> float:
    """By how much the last third of them, in the order of time, is later than the first."""
    third = len(values) // 3
    return median(values[-third:]) - median(values[:third]) if third else nan


async def floored(figure: Figure) -> Figure:
    """With what a bare echo of as many lines costs."""
    floor = await bench_webrtc.cost("bare", "echo", figure.calls, FLOOR_S)
    share = floor.frames_a_second / 50 * connected_share(floor.came_back)
    return msgspec.structs.replace(figure, floor_percent=floor.cpu_percent, floor_share=share)


def connected_share(came_back: str) -> float:
    connected, _, asked = came_back.partition("/")
    return int(connected) / int(asked)


def table(figures: list[Figure]) -> str:
    rows = [
        f"| {it.delays} | {it.calls} | {it.loss * 100:.0f} | {it.answered}/{it.asked} | {it.wrong} | {it.dropped} | "
        f"{it.first_p50:.0f} / {it.first_p95:.0f} | {it.unfinished_p50:.0f} | "
        f"{it.endpointing_p50:.0f} / {it.endpointing_p95:.0f} | {it.engine_p50:.0f} / {it.engine_p95:.0f} | "
        f"{it.stopped_p50:.0f} / {it.stopped_p95:.0f} | {it.paused_p50:.0f} / {it.paused_p95:.0f} | "
        f"{it.drift_ms:.0f} | {it.cpu_percent:.0f} | {it.call_ms:.1f} | "
        f"{it.idle_percent:.2f} | {it.rss_mb:.0f} | {it.lag_p50:.0f} / {it.lag_p99:.0f} | "
        f"{it.load_percent:.0f} | {it.others_percent:.0f} | {_floor(it)} |"
        for it in figures
    ]
    return "\n".join(
        (
            "| STT/LLM/TTS ms | calls | loss % | answered | wrong | dropped | last word → first packet p50 / p95 | "
            "unfinished | endpointing p50 / p95 | engine p50 / p95 | talked over → silent p50 / p95 | "
            "onset → pause p50 / p95 | drift | CPU % | CPU ms per s of call | "
            "idle call % | RSS MB | lag p50 / p99 | callers' CPU % | other CPU % | floor: CPU %, sent back |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
        )
    )


def _floor(figure: Figure) -> str:
    if isnan(figure.floor_percent):
        return ""
    return f"{figure.floor_percent:.0f}, {figure.floor_share * 100:.0f} %"


def missed(figures: list[Figure]) -> list[str]:
    """Targets of the issue, at 50 calls and at no delay; loss against none with as many calls."""
    found = []
    for it in figures:
        if it.key == (DELAYS[0], 50, 0.0):
            checks = (
                (it.answered < it.asked, f"{it.answered} of {it.asked} turns answered"),
                (
                    it.first_p50 > 300 or it.first_p95 > 400,
                    f"first packet after {it.first_p50:.0f} / {it.first_p95:.0f} ms",
                ),
                (it.engine_p50 > 40, f"engine {it.engine_p50:.0f} ms"),
                (it.stopped_p95 > 200, f"silent after {it.stopped_p95:.0f} ms"),
                (it.cpu_percent > 70, f"{it.cpu_percent:.0f} % of a core"),
                (it.idle_percent > 1, f"an idle call costs {it.idle_percent:.2f} %"),
            )
            found += [told for wrong, told in checks if wrong]
        none = [other for other in figures if other.key == (it.delays, it.calls, 0.0)]
        if it.loss == LOSSES[1] and none and it.first_p50 > none[0].first_p50 + 40:
            found.append(f"2 % loss costs {it.first_p50 - none[0].first_p50:.0f} ms")
        if it.loss == LOSSES[1] and it.drift_ms > DRIFT_MS:
            found.append(f"with 2 % loss the last replies begin {it.drift_ms:.0f} ms later than the first")
        if it.paused_p95 > PAUSED_MS:
            found.append(f"{it.calls} calls: paused {it.paused_p95:.0f} ms after the onset")
        if it.loss == 0 and it.endpointing_p95 > ENDPOINTING_MS:
            found.append(f"{it.calls} calls: endpointing {it.endpointing_p95:.0f} ms where callers interrupt")
        if it.dropped:
            found.append(f"{it.calls} calls: {it.dropped} lines lost")
        if it.wrong or (it.uneven and not it.loss):
            found.append(f"{it.wrong} wrong answers, {it.uneven} latencies that do not add up")
    return found


def missed_while_held(figure: Figure) -> list[str]:
    """At the calls that take about 56 % of a core, for as long as they are held."""
    checks = (
        (
            figure.dropped or figure.answered < figure.asked,
            f"{figure.dropped} lines lost, {figure.answered} of {figure.asked} turns answered",
        ),
        (figure.engine_p95 > HELD_ENGINE_MS, f"engine {figure.engine_p95:.0f} ms"),
        (figure.lag_p99 > HELD_LAG_MS, f"loop late by {figure.lag_p99:.0f} ms"),
    )
    return [told for wrong, told in checks if wrong]


async def main(
    counts: list[int], delays: list[str], losses: list[float], turns: int, keep: Callable[[Figure], None]
) -> None:
    phrases = await recorded()
    for times in delays:
        for count in counts if 0.0 in losses else ():
            keep(await floored(await measure(times, count, turns, phrases)))
    for loss in losses:
        if loss:
            keep(await measure(delays[0], LOSSY_CALLS, turns, phrases, loss))


async def hold(minutes: float, keep: Callable[[Figure], None]) -> Figure:
    """Seven tenths of the calls that make the server full, for so long."""
    phrases = await recorded()
    for count in RAMP:
        turns = 3
        full = await measure(DELAYS[0], count, turns, phrases)
        keep(full)
        if full.cpu_percent >= FULL_PERCENT:
            break
    held = round(full.calls * HELD)
    return await measure(DELAYS[0], held, round(minutes * 60 * turns / full.seconds), phrases)


async def offline(most: int) -> int:
    """How many calls at once are all answered soon; prints what each number of them took."""
    phrases = await recorded()
    held = 0
    for count in OFFLINE:
        if count > most:
            break
        others = Others()
        waits, asked, server_s = await _offline(count, phrases)
        late = sum(it > SOON_MS for it in waits)
        print(
            f"{count} calls: {len(waits)} of {asked} turns answered, after {_p(waits)[0]:.0f} / {_p(waits)[1]:.0f} ms "
            f"(p50 / p95), {late} of them later than {SOON_MS:.0f} ms; "
            f"CPU: the server {server_s:.0f} s, all else, recognisers too, {others.percent(server_s):.0f} % of a core",
            flush=True,
        )
        if late or len(waits) < asked:
            break
        held = count
    return held


async def _offline(count: int, phrases: Phrases) -> tuple[list[float], int, float]:
    """Milliseconds to the first packets of the answers, how many there should have been, and the server's CPU seconds."""
    waits, asked = list[float](), 0
    async with (
        server() as served,
        httpx2.AsyncClient(
            base_url=served.url, timeout=60, headers={"Authorization": f"Bearer {served.key}"}
        ) as client,
    ):
        talkers = await connected(served, client, phrases, count, 0.0)
        await asyncio.sleep(GREETING_S)
        await _comes(lambda: talkers[0].silent_for() > 2 * SILENT_S)
        await _answered(talkers[0], phrases)  # whatever is loaded when it is needed is there now

        async def talk(talker: Talker, number: int) -> None:
            nonlocal asked
            await asyncio.sleep(number * 4.0 / count)
            for _ in range(OFFLINE_TURNS):
                await _comes(lambda: talker.silent_for() > 2 * SILENT_S)
                asked += 1
                if (wait := await _answered(talker, phrases)) is not None:
                    waits.append(wait)

        await asyncio.gather(*(talk(it, number) for number, it in enumerate(talkers)))
        await asyncio.gather(*(it.hang_up() for it in talkers))
        spent_s = served.cpu_s()
    return waits, asked, spent_s


async def _answered(talker: Talker, phrases: Phrases) -> float | None:
    """Milliseconds from the last word to the first packet of the answer."""
    _, ended = await talker.mouth.say(phrases.sentence)
    await _comes(lambda: talker.first_loud_after(ended) is not None)
    heard = talker.first_loud_after(ended)
    return None if heard is None else (heard - ended) * 1_000


def kept_in(file: Path | None) -> dict[tuple[str, int, float], Figure]:
    """What was measured before."""
    if file is None or not file.exists():
        return {}
    kept = json.loads(file.read_bytes())["figures"]
    known = [{name: nan if value is None else value for name, value in it.items()} for it in kept]
    return {it.key: it for it in msgspec.convert(known, list[Figure])}


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--engines", choices=("simulated", "offline"), default="simulated")
    asked.add_argument(
        "--calls", default="1,10,25,50,75", help="with offline engines: at most the last of them"
    )
    asked.add_argument("--delays", default=",".join(DELAYS))
    asked.add_argument("--losses", default="0,2,5,20", help="in per cent; 0 is every number of calls")
    asked.add_argument("--turns", type=int, default=4)
    asked.add_argument("--sentences", type=int, default=60, help="with a pause inside")
    asked.add_argument("--hold", type=float, metavar="MINUTES")
    asked.add_argument("--json", type=Path)
    asked.add_argument("--check", action="store_true")
    given = asked.parse_args()
    counts = [int(it) for it in given.calls.split(",")]
    if given.engines == "offline":
        print(f"{uvloop.run(offline(counts[-1]))} calls at once")
        sys.exit()
    result = kept_in(given.json)

    def report(pauses: list[bench_pauses.Figure]) -> bytes:
        date = datetime.now(UTC).date().isoformat()
        return msgspec.json.encode(Report(date, os.cpu_count() or 1, DEFAULT, list(result.values()), pauses))

    def keep(figure: Figure) -> None:
        result[figure.key] = figure
        print(figure, file=sys.stderr)
        if given.json:
            given.json.write_bytes(report([]))

    failures = []
    if given.hold:
        held = uvloop.run(hold(given.hold, keep))
        keep(held)
        failures += missed_while_held(held)
    else:
        losses = [float(it) / 100 for it in given.losses.split(",")]
        uvloop.run(main(counts, given.delays.split(","), losses, given.turns, keep))
        failures += missed(list(result.values()))
    print(f"speech: {PACKAGE}; {os.cpu_count()} cores\n")
    print(table(list(result.values())))
    paused = bench_pauses.measured(given.sentences, 1) if given.sentences and not given.hold else []
    if paused:
        print(f"\n{bench_pauses.table(paused)}")
        failures += bench_pauses.missed(paused)
    print(f"\n{report(paused).decode()}")
    if given.json:
        given.json.write_bytes(report(paused))
    if given.check and failures:
        sys.exit("; ".join(failures))
