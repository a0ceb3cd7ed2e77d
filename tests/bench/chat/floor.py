"""The floor: hands every request on and every byte back, as plain ASGI over aiohttp. Nothing that does the same in Python
with these parts can be much cheaper. ``UPSTREAM`` in the environment is the provider's address."""

import os
from typing import Any

import aiohttp

_OWN = {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding"}
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


class PassThrough:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [
            (name.decode("latin1"), value.decode("latin1"))
            for name, value in scope["headers"]
            if name not in _OWN
        ]
        url = self._upstream + scope["path"]
        async with self._client().request(scope["method"], url, data=body, headers=headers) as answer:
            kept = [
                (name.lower().encode(), value.encode("latin1"))
                for name, value in answer.headers.items()
                if name.lower() not in _HOP_BY_HOP
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": kept})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
            )
        return self._session


app = PassThrough(os.environ.get("UPSTREAM", ""))
