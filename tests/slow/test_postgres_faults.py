"""Postgres stops, hangs, throws its clients out, or comes away at the end of a stream; we are not restarted.

Meanwhile there are only answers and 503s that say when to come back; soon after it is over all is as before; and what
somebody saw finished is stored. The server is a process of its own, its load and its provider are in this one, and so is
the Postgres that the test started for itself (its commits survive its crashes).
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.postgres import LASTING, PostgresServer, postgres_url
from tests.fixtures.server import Process, server_process
from tests.slow.observer import Seen, Stored, check_stored, stored_in
from tests.slow.test_kill import PERSONA

SOON_S = 5.0
"""How long after Postgres is back the first success may take, and how long a request may wait for its 503."""
SLACK_S = 1.0
"""Of this machine, which does everything at once."""
SHORT = "fake/ok?chunks=4&gap_ms=10"
LONG = "fake/ok?chunks=20&gap_ms=50"


@dataclass
class Request:
    """One request as its client saw it. Times are the loop's."""

    begun: float
    seen: Seen = field(default_factory=Seen)
    status: int = 0
    retry_after: str | None = None
    error: str | None = None
    """The code of an error, of the answer or of a frame in it."""
    ended: float = 0.0

    @property
    def took(self) -> float:
        return self.ended - self.begun

    @property
    def is_shed(self) -> bool:
        return self.status == 503 and self.retry_after is not None


class Load:
    """Streamed turns, so many a second whatever becomes of them."""

    def __init__(self, server: Process, rate: float) -> None:
        self.requests: list[Request] = []
        self._server = server
        self._pause = 1 / rate
        self._under_way: set[asyncio.Task[None]] = set()
        self._generator: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Load":
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._generator = asyncio.create_task(self._generate())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._generator
        self._generator.cancel()
        await asyncio.gather(self._generator, return_exceptions=True)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=60)
        await self._http.close()

    def since(self, moment: float) -> list[Request]:
        return [request for request in self.requests if request.begun >= moment]

    async def success_after(self, moment: float) -> float:
        """Seconds from ``moment`` to the end of the first whole answer to a request that began after it."""
        async with asyncio.timeout(60):
            while True:
                ends = [one.ended for one in self.since(moment) if one.seen.finished and one.ended]
                if ends:
                    return min(ends) - moment
                await asyncio.sleep(0.02)

    async def _generate(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.create_task(self._one())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due += self._pause
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _one(self) -> None:
        request = await ask(self._http, self._server, SHORT, into=self.requests)
        request.ended = asyncio.get_running_loop().time()


async def ask(
    http: aiohttp.ClientSession, server: Process, model: str, *, into: list[Request], stream: bool = True
) -> Request:
    """One turn in a new session."""
    request = Request(asyncio.get_running_loop().time())
    into.append(request)
    body = {
        "model": model,
        "stream": stream,
        "messages": [{"role": "user", "content": "Count, please."}],
        "cozy": {"session_id": str(uuid4())},
    }
    async with http.post(f"{server.url}/v1/chat/completions", json=body) as answer:
        request.status = answer.status
        request.retry_after = answer.headers.get("retry-after")
        if stream and answer.status == 200:
            async for line in answer.content:
                _take(line.decode().removeprefix("data:").strip(), request)
        elif answer.status != 200:
            request.error = (await answer.json())["error"]["code"]
    return request


def _take(data: str, request: Request) -> None:
    seen = request.seen
    if data == "[DONE]":
        seen.finished = True
    if not data.startswith("{"):
        return
    chunk = json.loads(data)
    if "error" in chunk:
        request.error = chunk["error"]["code"]
    if "cozy" in chunk and seen.turn is None:
        seen.turn, seen.session = UUID(chunk["cozy"]["turn_id"]), UUID(chunk["cozy"]["session_id"])
    for choice in chunk.get("choices", ()):
        seen.text += choice["delta"].get("content") or ""


async def readiness(server: Process) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/readyz") as answer:
        return answer.status


async def becomes(wanted: int, server: Process, within_s: float) -> float:
    """Seconds until `/readyz` says ``wanted``."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(within_s):
        while await readiness(server) != wanted:  # noqa: ASYNC110  another process's condition
            await asyncio.sleep(0.05)
    return loop.time() - began


@dataclass
class Place:
    """Postgres, our server on it, and how to look into the database."""

    postgres: PostgresServer
    url: str
    server: Process

    async def stored(self) -> Stored:
        return await stored_in(self.url)


@asynccontextmanager
async def placed(folder: Path, **settings: object) -> AsyncIterator[Place]:
    (folder / "personas").mkdir()
    (folder / "personas" / "default.yaml").write_text(PERSONA)
    postgres = PostgresServer(LASTING)
    try:
        await asyncio.to_thread(postgres.start)
        async with FakeOpenAI() as upstream, postgres_url(postgres.url) as url:
            told = {
                "database": {"url": url, **settings},
                # All callers are one owner, and while Postgres is away hundreds of them wait for their 503.
                "limits": {"turns_at_once_per_owner": 600},
                "models": {
                    "default": SHORT,
                    "allowed": [SHORT, LONG],
                    "providers": {"fake": {"base_url": upstream.base_url, "api_key": "k"}},
                },
                "personas": {"folder": "personas"},
                "telemetry": {"log_level": "error"},
            }
            (folder / "cozy.yaml").write_text(json.dumps(told))
            # The model is named in the file, not by the variable that stands above it.
            async with server_process("dev", "--port", "0", folder=folder, COZY_MODEL=SHORT) as server:
                yield Place(postgres, url, server)
    finally:
        await asyncio.to_thread(postgres.close)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with placed(tmp_path) as place:
        yield place


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line of figures, whether output is captured or not."""

    def said(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return said


def told(requests: list[Request]) -> str:
    kinds = Counter(
        "whole" if one.seen.finished else f"{one.status} {one.error or 'cut without a word'}"
        for one in requests
    )
    shed = [one.took for one in requests if one.is_shed]
    waits = f"; a 503 came after {median(shed):.3f} s (median), {max(shed):.2f} s (longest)" if shed else ""
    return f"{len(requests)} requests: {dict(kinds)}{waits}"


def only_answers_and_503s(requests: list[Request]) -> None:
    """No other status, every 503 says when to come back, and a stream that broke off said so."""
    wrong = [
        one
        for one in requests
        if not (one.is_shed or (one.status == 200 and (one.seen.finished or one.error)))
    ]
    assert wrong == []


async def nothing_is_lost(place: Place, requests: list[Request]) -> None:
    found = check_stored(await place.stored(), [one.seen for one in requests])
    assert found.losses == []
    assert found.finished > 0


async def test_d1_postgres_crashes_and_is_started_again_under_load(
    place: Place, say: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    async with Load(place.server, rate=50) as load:
        await asyncio.sleep(3)
        crashed = loop.time()
        await asyncio.to_thread(place.postgres.crash)
        await asyncio.sleep(4)
        not_ready = await readiness(place.server)
        await asyncio.to_thread(place.postgres.start)
        up = loop.time()
        first = await load.success_after(up)
        await asyncio.sleep(3)
        settled = loop.time()
        await asyncio.sleep(2)
    say(f"D1 down for {up - crashed:.1f} s under 50 requests/s; first success {first:.2f} s after the start")
    say(f"   {told(load.requests)}")
    only_answers_and_503s(load.requests)
    assert first <= SOON_S
    assert not_ready == 503
    assert await readiness(place.server) == 200
    assert any(one.is_shed for one in load.requests)
    assert all(one.seen.finished for one in load.requests if one.ended < crashed)
    assert all(one.seen.finished for one in load.since(settled))
    await nothing_is_lost(place, load.requests)


async def test_d2_postgres_hangs_for_twenty_seconds(place: Place, say: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    async with Load(place.server, rate=10) as load:
        await asyncio.sleep(2)
        place.postgres.hang()
        hung = loop.time()
        noticed = await becomes(503, place.server, within_s=10)
        await asyncio.sleep(20 - (loop.time() - hung))
        place.postgres.resume()
        up = loop.time()
        ready = await becomes(200, place.server, within_s=30)
        first = await load.success_after(up)
        await asyncio.sleep(2)
    during = [one for one in load.since(hung) if one.begun < up - SOON_S]
    say(f"D2 hung for {up - hung:.1f} s; /readyz 503 after {noticed:.2f} s, 200 {ready:.2f} s after the end")
    say(f"   first success {first:.2f} s after the end; {told(load.requests)}")
    only_answers_and_503s(load.requests)
    assert max(one.took for one in during) <= SOON_S + SLACK_S
    assert all(one.is_shed for one in during)
    assert first <= SOON_S
    assert ready <= SOON_S
    await nothing_is_lost(place, load.requests)


async def test_d2_every_connection_is_terminated_again_and_again(
    place: Place, say: Callable[[str], None]
) -> None:
    ended = 0
    async with Load(place.server, rate=30) as load:
        outside = await asyncpg.connect(place.url)
        for _ in range(8):
            await asyncio.sleep(0.5)
            rows = await outside.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            ended += len(rows)
        await outside.close()
        await asyncio.sleep(1)
    say(f"D2 {ended} connections terminated; {told(load.requests)}")
    only_answers_and_503s(load.requests)
    assert ended > 8
    # Those in whose COMMIT it happened: nobody knows whether they are stored, so they are not run again.
    assert sum(one.is_shed for one in load.requests) <= len(load.requests) // 4
    assert await readiness(place.server) == 200
    await nothing_is_lost(place, load.requests)


async def test_d2_the_pool_is_exhausted(tmp_path: Path, say: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    async with placed(tmp_path, pool_size=2) as place:
        async with Load(place.server, rate=10) as load:
            await asyncio.sleep(2)
            outside = await asyncpg.connect(place.url)
            hold = outside.transaction()
            await hold.start()
            await outside.execute("LOCK TABLE turns IN ACCESS EXCLUSIVE MODE")
            held = loop.time()
            noticed = await becomes(503, place.server, within_s=10)
            await asyncio.sleep(8)
            await hold.rollback()
            await outside.close()
            freed = loop.time()
            ready = await becomes(200, place.server, within_s=10)
            first = await load.success_after(freed)
            await asyncio.sleep(2)
        during = [one for one in load.since(held) if one.begun < freed - SOON_S]
        say(f"D2 two connections, both in use for {freed - held:.1f} s; /readyz 503 after {noticed:.2f} s")
        say(f"   first success {first:.2f} s after the end, /readyz 200 {ready:.2f} s; {told(load.requests)}")
        only_answers_and_503s(load.requests)
        assert max(one.took for one in during) <= SOON_S + SLACK_S
        assert first <= SOON_S
        await nothing_is_lost(place, load.requests)


async def answering(request: Request) -> None:
    """Until the first words are there."""
    async with asyncio.timeout(20):
        while not request.seen.text:  # noqa: ASYNC110  another process writes them
            await asyncio.sleep(0.01)


async def begun(work: Awaitable[Request], requests: list[Request]) -> "asyncio.Task[Request]":
    task = asyncio.ensure_future(work)
    assert isinstance(task, asyncio.Task)
    while not requests:  # noqa: ASYNC110  one round of the loop
        await asyncio.sleep(0)
    await answering(requests[-1])
    return task


async def test_d3_postgres_is_away_exactly_at_the_end_of_a_stream(
    place: Place, say: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    requests: list[Request] = []
    async with aiohttp.ClientSession() as http:
        task = await begun(ask(http, place.server, LONG, into=requests), requests)
        await asyncio.to_thread(place.postgres.crash)
        (request,) = requests
        await asyncio.sleep(6)
        assert not task.done()
        spoken = request.seen.text
        await asyncio.to_thread(place.postgres.start)
        up = loop.time()
        await asyncio.wait_for(task, 30)
        waited = loop.time() - up
    say(f"D3 the last words, then 6 s without Postgres; [DONE] {waited:.2f} s after its start")
    assert request.seen.finished
    assert request.seen.text == spoken
    assert waited <= SOON_S
    await nothing_is_lost(place, requests)


async def test_d3_postgres_stays_away_and_nobody_is_told_that_it_is_saved(
    place: Place, say: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    streamed: list[Request] = []
    whole: list[Request] = []
    async with aiohttp.ClientSession() as http:
        streaming = await begun(ask(http, place.server, LONG, into=streamed), streamed)
        waiting = asyncio.create_task(ask(http, place.server, LONG, into=whole, stream=False))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(place.postgres.crash)
        gone = loop.time()
        await asyncio.wait_for(asyncio.gather(streaming, waiting), 60)
        gave_up = loop.time() - gone
    await asyncio.to_thread(place.postgres.start)
    async with asyncio.timeout(30):
        while "started" in (stored := await place.stored()).counted():  # noqa: ASYNC110  as above
            await asyncio.sleep(0.2)
    say(
        f"D3 away for good: given up after {gave_up:.1f} s; frame {streamed[0].error}, JSON {whole[0].status}"
    )
    assert (streamed[0].status, streamed[0].seen.finished) == (200, False)
    assert streamed[0].error == "storage_unavailable"
    assert whole[0].is_shed
    assert 25 <= gave_up <= 40
    assert stored.counted() == {"interrupted": 2}
