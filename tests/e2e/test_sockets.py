"""WebSockets, whatever they are for: who may open one, how a refusal looks, and what else may ask for one."""

import asyncio
from collections.abc import Sequence

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fixtures.server import Running

ASK = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def refused(url: str, **headers: str) -> tuple[int, dict[str, object]]:
    """Status and error of a handshake that fails."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, additional_headers=headers, proxy=None)
    response = caught.value.response
    error = msgspec.json.decode(response.body)["error"]
    assert response.headers["x-request-id"] == error["request_id"]
    return response.status_code, error


async def talk(server: Running, sent: Sequence[bytes]) -> bytes:
    """All that comes back until the server closes, or for a second after the first bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for piece in sent:
            writer.write(piece)
        got = b""
        async with asyncio.timeout(60):
            while b"\r\n\r\n" not in got and (piece := await reader.read(65_536)):
                got += piece
        return got
    finally:
        writer.transport.abort()


def address(server: Running, path: str) -> str:
    return f"ws{server.url.removeprefix('http')}{path}"


async def test_where_there_is_no_socket_the_answer_is_404_and_our_error(server: Running) -> None:
    for path in ("/nowhere", "/v1/chat/completions", "/livez"):
        status, error = await refused(address(server, path))
        assert (status, error["code"]) == (404, "unknown_url")


async def test_a_page_of_another_origin_is_turned_away_before_anything_else(server: Running) -> None:
    status, error = await refused(address(server, "/v1/audio/stt/stream"), Origin="https://evil.example")
    assert (status, error["code"]) == (403, "permission_denied")
    assert "cors_origins" in str(error["hint"])


async def test_what_cannot_be_a_handshake_is_an_ordinary_request(server: Running) -> None:
    host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
    posted = await talk(
        server, [b"POST /v1/models HTTP/1.1\r\n" + host + ASK + b"Content-Length: 2\r\n\r\n{}"]
    )
    assert posted.startswith(b"HTTP/1.1 405 ")
    got = await talk(server, [b"GET /livez HTTP/1.1\r\n" + host + ASK + b"Content-Length: 2\r\n\r\n{}"])
    assert got.startswith(b"HTTP/1.1 200 ")


async def test_a_handshake_without_its_key_is_refused(server: Running) -> None:
    host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
    got = await talk(
        server, [b"GET /nowhere HTTP/1.1\r\n" + host + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"]
    )
    assert got.startswith(b"HTTP/1.1 4")


async def test_a_socket_is_none_of_the_methods_of_its_path(server: Running) -> None:
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.get("/v1/audio/stt/stream")
        only = await client.get("/v1/audio/transcriptions/stream")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"OPTIONS", "POST"}
    assert (only.status_code, only.json()["error"]["code"]) == (405, "method_not_supported")
