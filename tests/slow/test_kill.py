"""If you saw ``[DONE]``, the turn is saved, audited and will be learned from, even if the process is killed right after.

A server under load is killed with SIGKILL at a moment drawn for each kill: a phase of some turn, and a point inside it. This
process is the client and keeps what it saw; afterwards the store has to agree with it.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from tests.fixtures.fake_openai import FakeOpenAI
from tests.slow.observer import Checked, Seen, check, states

KILLS = 60
LEAST = 5
"""Kills that have to fall into each phase."""
CALLERS = 8
PHASES = ("before_open", "assembling", "streaming", "closing", "after_last_frame")
START_S = 180.0
"""The first start compiles everything: seconds on a quiet machine, over a minute on one that has eight others to do."""
SEED = 20_261_122
STEP_S = 0.008
"""A kill comes up to so long after its phase began: about as long as the short phases are held open."""
DATABASE = "cozy.db"

PERSONA = """\
schema: persona/1
id: default
name: Cozy
prompt: {system: You count.}
memory: {write: {debounce_s: 86400}}
"""


@dataclass
class Server:
    process: asyncio.subprocess.Process
    url: str
    places: dict[UUID, str] = field(default_factory=dict)
    """The last phase that each turn was seen in."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, phase: str, turn: UUID) -> None:
        self.places[turn] = phase
        self.news.set()

    async def read(self) -> None:
        """What the server says of its turns, until it is gone."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            phase, turn = line.decode().split()
            self.enter(phase, UUID(turn))

    async def has_finished(self, turns: int) -> None:
        """Under load: so many turns were seen finished since the start."""
        async with asyncio.timeout(30):
            while Counter(self.places.values())["after_last_frame"] < turns:
                self.news.clear()
                await self.news.wait()

    async def turn_in(self, phase: str) -> UUID:
        """A turn that has just entered ``phase``."""
        known = set(self.places)
        async with asyncio.timeout(30):
            while True:
                for turn, place in self.places.items():
                    if place == phase and turn not in known:
                        return turn
                known |= {turn for turn, place in self.places.items() if place == phase}
                self.news.clear()
                await self.news.wait()
                known -= {turn for turn, place in self.places.items() if place != phase}


@asynccontextmanager
async def serving(data: Path, config: Path, *, late: bool = False) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.slow.killable",
        str(data),
        str(config),
        *(["--late"] if late else []),
        stdout=asyncio.subprocess.PIPE,
        env=_environment(data.parent / "bytecode"),
    )
    assert process.stdout is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(START_S):
            word, port = (await process.stdout.readline()).decode().split()
        assert word == "port"
        server = Server(process, f"http://127.0.0.1:{port}")
        reading = asyncio.create_task(server.read())
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


def _environment(bytecode: Path) -> dict[str, str]:
    """Sixty starts are quick only with compiled bytecode, whatever this machine thinks of writing it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(bytecode)}


async def call(http: aiohttp.ClientSession, server: Server, session: UUID, seen: Seen) -> None:
    """One streamed turn; what is seen of it goes into ``seen`` as it comes."""
    body = {
        "model": "default",
        "stream": True,
        "messages": [{"role": "user", "content": f"Count, please. {uuid4()}"}],
        "cozy": {"session_id": str(session)},
    }
    async with http.post(f"{server.url}/v1/chat/completions", json=body) as answer:
        async for line in answer.content:
            data = line.decode().removeprefix("data:").strip()
            if data == "[DONE]":
                seen.finished = True
                assert seen.turn is not None
                server.enter("after_last_frame", seen.turn)
            elif data.startswith("{"):
                _take(json.loads(data), server, seen)


def _take(chunk: dict[str, object], server: Server, seen: Seen) -> None:
    cozy, choices = chunk.get("cozy"), chunk.get("choices")
    if isinstance(cozy, dict) and seen.turn is None:
        seen.turn = UUID(cozy["turn_id"])
        seen.session = UUID(cozy["session_id"])
    for choice in choices if isinstance(choices, list) else ():
        text = choice["delta"].get("content")
        if text and seen.turn is not None:
            seen.text += text
            if server.places.get(seen.turn) == "assembling":
                server.enter("streaming", seen.turn)


async def caller(server: Server, seen: list[Seen]) -> None:
    """Talks, turn after turn, until the server is gone."""
    session = uuid4()
    async with aiohttp.ClientSession() as http:
        while True:
            one = Seen()
            seen.append(one)
            try:
                await call(http, server, session, one)
            except (aiohttp.ClientError, ConnectionError):
                return


async def kill_in(phase: str, server: Server, dice: random.Random) -> str:
    """Kills the server in ``phase`` of one of its turns; the phase that the turn had come to when it was dead."""
    await server.has_finished(dice.randint(1, 2 * CALLERS))
    turn = await server.turn_in(phase)
    await asyncio.sleep(dice.uniform(0, STEP_S) if phase != "after_last_frame" else 0)
    place = server.places[turn]
    server.process.send_signal(signal.SIGKILL)
    await server.process.wait()
    return place


async def rounds(
    data: Path, config: Path, phases: list[str], dice: random.Random, *, late: bool = False
) -> tuple[list[Seen], Counter[str]]:
    """One kill for each of ``phases``; what the callers saw, and where the kills fell."""
    seen: list[Seen] = []
    fell: Counter[str] = Counter()
    for phase in phases:
        async with serving(data, config, late=late) as server:
            callers = [asyncio.create_task(caller(server, seen)) for _ in range(CALLERS)]
            fell[await kill_in(phase, server, dice)] += 1
            await asyncio.gather(*callers)
    return seen, fell


async def no_turn_stays_started(data: Path, config: Path) -> dict[str, int]:
    """One more start: within a lease and a look of the reaper all turns have an end."""
    async with serving(data, config):
        async with asyncio.timeout(60):
            while (now := states(data / DATABASE)).get("started"):  # noqa: ASYNC110  another process's condition
                await asyncio.sleep(0.2)
    return now


@pytest.fixture
async def config(tmp_path: Path) -> AsyncIterator[Path]:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "default.yaml").write_text(PERSONA)
    async with FakeOpenAI() as upstream:
        path = tmp_path / "cozy.yaml"
        path.write_text(
            json.dumps(
                {
                    "models": {
                        "default": "fake/ok?chunks=8&gap_ms=10",
                        "providers": {"fake": {"base_url": upstream.base_url, "api_key": "k"}},
                    },
                    "personas": {"folder": str(tmp_path / "personas")},
                }
            )
        )
        yield path


async def test_what_was_seen_finished_survives_sixty_kills(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    data = tmp_path / "data"
    phases = list(PHASES) * (KILLS // len(PHASES))
    dice.shuffle(phases)
    seen, fell = await rounds(data, config, phases, dice)
    ends = await no_turn_stays_started(data, config)
    found = check(data / DATABASE, seen)
    with capsys.disabled():
        _print(found, seen, fell, ends)
    assert found.losses == []
    assert found.finished > KILLS
    assert sum(fell.values()) == KILLS
    assert min(fell[phase] for phase in PHASES) >= LEAST
    assert "started" not in ends


async def test_a_build_that_commits_after_the_last_frame_is_found_out(tmp_path: Path, config: Path) -> None:
    data = tmp_path / "data"
    seen, _ = await rounds(data, config, ["after_last_frame"] * 3, random.Random(SEED), late=True)
    assert check(data / DATABASE, seen).losses != []


def _print(found: Checked, seen: list[Seen], fell: Counter[str], ends: dict[str, int]) -> None:
    lines = [
        f"\nseed {SEED}; kills by phase: {dict(sorted(fell.items()))}",
        f"turns begun {len(seen)}, seen finished {found.finished}, lost {len(found.losses)}; stored: {ends}\n",
    ]
    sys.stdout.write("\n".join(lines))
