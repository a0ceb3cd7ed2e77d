"""Asks one server from so many connections at once for a while, each asking again when its answer has ended.

A process of its own: ``python -m tests.bench.chat.load`` reads one `Load` as JSON from standard input and writes one
`Measured`. Plain HTTP/1.1 over asyncio, because a client library would need more CPU than what is measured.
"""

import asyncio
import re
import sys
import time
from statistics import quantiles
from typing import cast

import msgspec
import uvloop

_STAMP = re.compile(rb"~(\d{6,})~")
_LONGEST_STAMP = 32
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"


class Load(msgspec.Struct, frozen=True):
    """``bodies`` are asked for in turn, by all connections together. ``requests`` bounds how many are sent in all."""

    port: int
    bodies: tuple[str, ...]
    at_once: int
    seconds: float
    key: str = ""
    requests: int | None = None
    warm_up: int = 0
    """So many requests go first and are not measured."""


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds; None when nothing was measured."""

    p50: float | None = None
    p95: float | None = None


class Measured(msgspec.Struct, frozen=True):
    """``whole`` is from sending to the last byte, ``first`` to the first delta, ``way`` what a delta took from the provider,
    ``end`` from the last delta to the last byte. ``failed`` counts answers of another status than 200, or cut short."""

    answers: int
    failed: int
    deltas: int
    seconds: float
    whole: Spread
    first: Spread
    way: Spread
    end: Spread


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._done: asyncio.Future[bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # of uvloop, which knows no such classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(whole=False)

    async def ask(self, request: bytes) -> bool:
        """Whether the answer was whole and its status 200."""
        assert self._transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self._received = b""
        self._rest: int | None = None
        self._ok = False
        self.way_ns: list[int] = []
        self.first_ns = self.last_ns = 0
        self.sent_ns = time.monotonic_ns()
        self._transport.write(request)
        whole = await self._done
        self.ended_ns = time.monotonic_ns()
        return whole and self._ok

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        data = self._received + data
        if self._rest is None:
            head, ends, data = data.partition(b"\r\n\r\n")
            if not ends:
                self._received = head
                return
            self._ok = head.startswith(b"HTTP/1.1 200")
            length = _LENGTH.search(head)
            self._rest = int(length[1]) if length else 0
            self._chunked = length is None
        if self._chunked:
            self._stamped(data, now_ns)
            if data.endswith(_LAST_CHUNK):
                self._finish(whole=True)
            return
        self._rest -= len(data)
        if self._rest <= 0:
            self._finish(whole=True)

    def _stamped(self, data: bytes, now_ns: int) -> None:
        end = 0
        for stamp in _STAMP.finditer(data):
            self.way_ns.append(now_ns - int(stamp[1]))
            end = stamp.end()
        if end:
            self.first_ns = self.first_ns or now_ns
            self.last_ns = now_ns
        self._received = data[max(end, len(data) - _LONGEST_STAMP) :]

    def _finish(self, *, whole: bool) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(whole)


class Run:
    """What was measured so far."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = [_request(load, body.encode()) for body in load.bodies]
        self._sent = 0
        self.failed = 0
        self.whole: list[float] = []
        self.first: list[float] = []
        self.way: list[float] = []
        self.end: list[float] = []

    async def drive(self, seconds: float, most: int | None) -> float:
        """Asks until the time is up or all is asked; how many seconds that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        until, last = began + seconds, None if most is None else self._sent + most
        await asyncio.gather(*(self._keep_asking(until, last) for _ in range(self._load.at_once)))
        return loop.time() - began

    async def _keep_asking(self, until: float, last: int | None) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._load.port)
        while loop.time() < until and (last is None or self._sent < last):
            self._sent += 1
            if await connection.ask(self._requests[self._sent % len(self._requests)]):
                self._note(connection)
            else:
                self.failed += 1
                _, connection = await loop.create_connection(Connection, "127.0.0.1", self._load.port)

    def _note(self, done: Connection) -> None:
        self.whole.append((done.ended_ns - done.sent_ns) / 1e6)
        if done.way_ns:
            self.first.append((done.first_ns - done.sent_ns) / 1e6)
            self.end.append((done.ended_ns - done.last_ns) / 1e6)
            self.way += [taken / 1e6 for taken in done.way_ns]


def _request(load: Load, body: bytes) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{load.port}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    if load.key:
        lines.append(f"authorization: Bearer {load.key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def spread(values: list[float]) -> Spread:
    if len(values) < 2:
        return Spread(*values[:1], *values[:1])
    cuts = quantiles(values, n=20, method="inclusive")
    return Spread(round(cuts[9], 3), round(cuts[18], 3))


async def measure(load: Load) -> Measured:
    if load.warm_up:
        await Run(load).drive(60.0, load.warm_up)
    run = Run(load)
    seconds = await run.drive(load.seconds, load.requests)
    return Measured(
        answers=len(run.whole),
        failed=run.failed,
        deltas=len(run.way),
        seconds=seconds,
        whole=spread(run.whole),
        first=spread(run.first),
        way=spread(run.way),
        end=spread(run.end),
    )


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(measure(wanted))))
