"""Clients that send slowly, too much, or nonsense are cut off; the others notice nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake

HEADER_S = 0.4
BODY_S = 0.2
KEEP_ALIVE_S = 0.3
SEND_S = 0.3
MARGIN_S = 60.0
"""Of a busy machine, on top of a limit."""

GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Running]:
    settings = settings_for(
        tmp_path,
        header_timeout_s=HEADER_S,
        body_timeout_s=BODY_S,
        keep_alive_s=KEEP_ALIVE_S,
        header_bytes=2_048,
    )
    async with running(container_for(settings)) as server:
        yield server


@asynccontextmanager
async def connection(server: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def everything(reader: asyncio.StreamReader, within_s: float) -> bytes:
    """All until the other side closes."""
    async with asyncio.timeout(within_s + MARGIN_S):
        return await reader.read(-1)


def status_and_error(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer that must have our shape, and an id."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: req_" in head.lower()
    error = msgspec.json.decode(body)["error"]
    assert set(error) == {"message", "type", "param", "code", "hint", "doc_url", "request_id"}
    return int(head.split()[1]), error["code"]


async def test_headers_that_never_end_are_answered_408_and_cut(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET)
        assert status_and_error(await everything(reader, HEADER_S)) == (408, "request_timeout")


async def test_headers_that_trickle_do_not_prolong_their_time(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET)
        answer = asyncio.create_task(everything(reader, HEADER_S))
        while not answer.done():
            writer.write(b"A")
            await asyncio.wait((answer,), timeout=0.05)
        assert status_and_error(answer.result())[0] == 408


async def test_a_connection_that_says_nothing_is_closed(strict: Running) -> None:
    async with connection(strict) as (reader, _):
        assert await everything(reader, HEADER_S) == b""


async def test_an_idle_connection_is_closed_after_its_keep_alive(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET + b"\r\n")
        answer = await everything(reader, KEEP_ALIVE_S)
    assert answer.startswith(b"HTTP/1.1 200")


async def test_blank_lines_do_not_keep_an_idle_connection_open(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET + b"\r\n")
        answer = asyncio.create_task(everything(reader, KEEP_ALIVE_S + HEADER_S))
        while not answer.done():
            writer.write(b"\r\n")
            await asyncio.wait((answer,), timeout=0.05)
        assert answer.result().startswith(b"HTTP/1.1 200")


async def test_a_second_request_on_a_kept_connection_gets_its_own_time(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET + b"\r\n")
        await reader.readuntil(b'"ok"}')
        writer.write(GET)
        assert status_and_error(await everything(reader, HEADER_S)) == (408, "request_timeout")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/nowhere"])
async def test_a_body_that_never_ends_is_cut_wherever_it_goes(strict: Running, path: str) -> None:
    async with connection(strict) as (reader, writer):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        writer.write(head.encode() + b"{")
        answer = await everything(reader, BODY_S)
    assert answer.split()[1] in (b"404", b"408")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_headers_beyond_their_limit_are_431(strict: Running, *, in_pieces: bool) -> None:
    async with connection(strict) as (reader, writer):
        large = GET + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 200) for number in range(20))
        if in_pieces:
            writer.write(large)
        else:
            writer.write(large + b"\r\n")
        assert status_and_error(await everything(reader, HEADER_S)) == (431, "headers_too_large")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\0b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"NONSENSE\r\n\r\n",
    ],
    ids=["negative length", "NUL in a header", "TLS", "two lengths", "no HTTP"],
)
async def test_what_is_not_http_is_400_in_our_shape(strict: Running, request_: bytes) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(request_)
        assert status_and_error(await everything(reader, HEADER_S)) == (400, "malformed_request")


POST_CHUNKS = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (b"NONSENSE\r\n\r\n", (400, "malformed_request")),
        (GET + b"X: " + b"a" * 4_000 + b"\r\n\r\n", (431, "headers_too_large")),
        (POST_CHUNKS + b"zz\r\n", (400, "malformed_request")),
    ],
    ids=["no HTTP", "large headers", "a broken chunk"],
)
async def test_a_bad_second_request_is_refused_after_the_answer_to_the_first(
    strict: Running, second: bytes, said: tuple[int, str]
) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET + b"\r\n" + second)
        answer = await everything(reader, KEEP_ALIVE_S)
    first, _, rest = answer.partition(b'{"status":"ok"}')
    assert first.startswith(b"HTTP/1.1 200")
    assert status_and_error(rest) == said


async def test_a_bad_request_waits_for_all_answers_before_it(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write((GET + b"\r\n") * 3 + b"NONSENSE\r\n\r\n")
        answer = await everything(reader, HEADER_S)
    statuses = [part.split()[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"400"]


@pytest.mark.parametrize(
    "header",
    [
        b"Host: evil.com",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: identity",
    ],
    ids=["a second Host", "compressed", "compressed in two lines", "chunked twice", "identity"],
)
async def test_what_a_proxy_may_read_otherwise_is_refused(strict: Running, header: bytes) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(GET + header + b"\r\n\r\n0\r\n\r\n")
        assert status_and_error(await everything(reader, HEADER_S)) == (400, "malformed_request")


async def test_a_length_beside_chunks_smuggles_nothing(strict: Running) -> None:
    async with connection(strict) as (reader, writer):
        writer.write(
            b"POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        answer = await everything(reader, HEADER_S)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


async def test_others_are_served_while_somebody_trickles(strict: Running) -> None:
    async with connection(strict) as (_, writer), httpx2.AsyncClient(timeout=60) as client:
        writer.write(GET)
        assert (await client.get(f"{strict.url}/livez")).status_code == 200


async def test_a_client_that_stops_reading_is_cut_and_its_turn_ended(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    endless = "endless?gap_ms=0.001&text=x"
    settings = with_fake(settings_for(tmp_path, send_timeout_s=SEND_S), fake_openai, endless)
    body = msgspec.json.encode(
        {"model": f"fake/{endless}", "messages": [{"role": "user", "content": "Go on."}], "stream": True}
    )
    async with running(container_for(settings)) as server:
        client = socket.socket()
        client.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096
        )  # so that the kernels do not hold all of it
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        await asyncio.get_running_loop().sock_sendall(client, head + body)
        await fake_openai.until(lambda: bool(fake_openai.closed_early), within_s=60)
        client.close()
    assert not fake_openai.open_streams
