"""A provider that answers as the request's last ``[[words=… first_ms=… gap_ms=…]]`` says, as plain ASGI.

``words`` deltas, the first after ``first_ms``, then one every ``gap_ms``. Each delta carries the moment it was sent,
``~<CLOCK_MONOTONIC in ns>~``, which anybody on the same machine can compare with the moment it came.
"""

import asyncio
import json
import re
import time
from typing import Any

_WISH = re.compile(rb"\[\[words=(\d+) first_ms=(\d+) gap_ms=(\d+)\]\]")
_YIELD_EVERY = 8
"""Deltas without a pause in between are sent in bursts of so many."""
_CHUNK = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench",'
    b'"system_fingerprint":"fp_bench","choices":'
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    body = await _body(receive)
    if scope["path"].endswith("/models"):
        await _json(send, {"object": "list", "data": [{"id": "bench", "object": "model"}]})
        return
    words, first_ms, gap_ms = map(int, _WISH.findall(body)[-1])
    if first_ms:
        await asyncio.sleep(first_ms / 1_000)
    if b'"stream":true' in body.replace(b" ", b""):
        await _stream(send, words, gap_ms / 1_000)
    else:
        message = {"role": "assistant", "content": "".join(_stamp() for _ in range(words))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await _json(send, {"object": "chat.completion", "choices": [choice], "usage": _usage(words)})


async def _stream(send: Any, words: int, gap_s: float) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def chunk(rest: str) -> None:
        await send(
            {"type": "http.response.body", "body": _CHUNK + rest.encode() + b"}\n\n", "more_body": True}
        )

    await chunk('[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]')
    for word in range(words):
        if gap_s and word:
            await asyncio.sleep(gap_s)
        await chunk('[{"index":0,"delta":{"content":"' + _stamp() + '"},"finish_reason":null}]')
        if not gap_s and word % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
    await chunk('[{"index":0,"delta":{},"finish_reason":"stop"}]')
    await chunk('[],"usage":' + json.dumps(_usage(words)))
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _stamp() -> str:
    return f"~{time.monotonic_ns()}~ "


def _usage(words: int) -> dict[str, int]:
    return {"prompt_tokens": 20, "completion_tokens": words, "total_tokens": 20 + words}


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _json(send: Any, value: object) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
