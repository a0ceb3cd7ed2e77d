"""The promise of `test_kill` with two servers on one Postgres: what was seen finished is stored, whichever of them dies.

While one is killed and started again, the other goes on, in the same sessions; it ends the turns that the dead one left.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from cozy_adapters.sql.audit import SqlAuditLog
from cozy_domain.audit.chain import Verification, verify
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.postgres import postgres_database, postgres_url
from tests.slow.observer import Checked, Seen, Stored, check_stored, stored_in
from tests.slow.test_kill import KILLS, LEAST, PERSONA, PHASES, SEED, Server, call, kill_in, serving

CALLERS = 4
"""At each server; one of each talks in the same session."""


class Place:
    """One of the two: a server that is started again after each kill, with its callers."""

    def __init__(
        self, data: Path, config: Path, sessions: list[UUID], seen: list[Seen], *, late: bool
    ) -> None:
        self._data, self._config, self._late = data, config, late
        self._sessions, self._seen = sessions, seen
        self._stack = AsyncExitStack()
        self._callers: list[asyncio.Task[None]] = []
        self._server: Server | None = None

    async def start(self) -> None:
        server = await self._stack.enter_async_context(serving(self._data, self._config, late=self._late))
        self._server = server
        self._callers = [asyncio.create_task(self._talk(server, session)) for session in self._sessions]

    async def kill_in(self, phase: str, dice: random.Random) -> str:
        assert self._server
        place = await kill_in(phase, self._server, dice)
        await self._gone()
        return place

    async def stop(self) -> None:
        if self._server:
            self._server.process.kill()
            await self._server.process.wait()
            await self._gone()

    async def _gone(self) -> None:
        self._server = None
        await asyncio.gather(*self._callers)
        await self._stack.aclose()

    async def _talk(self, server: Server, session: UUID) -> None:
        """Turn after turn, until the server is gone."""
        async with aiohttp.ClientSession() as http:
            while True:
                one = Seen()
                self._seen.append(one)
                try:
                    await call(http, server, session, one)
                except (aiohttp.ClientError, ConnectionError):
                    return


async def rounds(
    data: Path, config: Path, phases: list[str], dice: random.Random, *, late: bool = False
) -> tuple[list[Seen], Counter[str]]:
    """One kill for each of ``phases``, at each place in turn; what the callers saw, and where the kills fell."""
    seen: list[Seen] = []
    fell: Counter[str] = Counter()
    sessions = [uuid4() for _ in range(CALLERS)]
    places = [Place(data, config, sessions, seen, late=late) for _ in range(2)]
    try:
        for place in places:
            await place.start()
        for number, phase in enumerate(phases):
            victim = places[number % 2]
            fell[await victim.kill_in(phase, dice)] += 1
            await victim.start()
    finally:
        for place in places:
            await place.stop()
    return seen, fell


async def no_turn_stays_started(data: Path, config: Path, url: str) -> Stored:
    """One more start: within a lease and a look of the reaper all turns have an end."""
    async with serving(data, config):
        async with asyncio.timeout(60):
            while "started" in (now := await stored_in(url)).counted():  # noqa: ASYNC110  other processes
                await asyncio.sleep(0.2)
    return now


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with postgres_url() as url:
        yield url


@pytest.fixture
async def config(tmp_path: Path, url: str) -> AsyncIterator[Path]:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "default.yaml").write_text(PERSONA)
    async with FakeOpenAI() as upstream:
        path = tmp_path / "cozy.yaml"
        settings = {
            "database": {"url": url},
            "models": {
                "default": "fake/ok?chunks=8&gap_ms=10",
                "providers": {"fake": {"base_url": upstream.base_url, "api_key": "k"}},
            },
            "personas": {"folder": str(tmp_path / "personas")},
        }
        path.write_text(json.dumps(settings))
        yield path


async def test_what_was_seen_finished_survives_sixty_kills_of_two_servers(
    tmp_path: Path, config: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    data = tmp_path / "data"
    phases = list(PHASES) * (KILLS // len(PHASES))
    dice.shuffle(phases)
    seen, fell = await rounds(data, config, phases, dice)
    stored = await no_turn_stays_started(data, config, url)
    found = check_stored(stored, seen)
    log = await verified(data, url)
    with capsys.disabled():
        _print(found, seen, fell, stored, log)
    assert found.losses == []
    assert found.finished > KILLS
    assert sum(fell.values()) == KILLS
    assert min(fell[phase] for phase in PHASES) >= LEAST
    assert log.faults == ()
    assert log.sealed > 0


async def test_a_build_that_commits_after_the_last_frame_is_found_out(
    tmp_path: Path, config: Path, url: str
) -> None:
    data = tmp_path / "data"
    seen, _ = await rounds(data, config, ["after_last_frame"] * 3, random.Random(SEED), late=True)
    assert check_stored(await stored_in(url), seen).losses != []


async def verified(data: Path, url: str) -> Verification:
    """Two sealers, killed again and again: is the chain whole?"""
    key = bytes.fromhex((data / "audit.key").read_text().strip())
    async with postgres_database(url) as database:
        return verify(key, *await SqlAuditLog(database).read())


def _print(found: Checked, seen: list[Seen], fell: Counter[str], stored: Stored, log: Verification) -> None:
    lines = [
        f"\nseed {SEED}; kills by phase: {dict(sorted(fell.items()))}",
        f"turns begun {len(seen)}, seen finished {found.finished}, lost {len(found.losses)}; stored: {stored.counted()}",
        f"requests that did not finish: {len(seen) - found.finished}, of which the kills cut {(KILLS + 2) * CALLERS}",
        f"audit records sealed {log.sealed}, not yet {log.unsealed}, faults {len(log.faults)}\n",
    ]
    sys.stdout.write("\n".join(lines))
