"""A server at a URL: streamable HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage

from cozy_adapters.mcp.watch import MAX_MESSAGE, Watch

CONNECT_S = 5.0
"""Architecture, settled question 17."""
SILENCE_S = 300.0
"""Between two pieces of a response; calls have their own, shorter deadline."""
_REFUSED = 400

Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]


class TooMuchError(httpx2.StreamError):
    """A response is longer than a message may be."""


@asynccontextmanager
async def endpoint(url: str, headers: Mapping[str, str], watch: Watch) -> AsyncIterator[Streams]:
    """Redirects are followed only within the origin (the client sees to it), so that headers go nowhere else."""

    async def bounded(response: httpx2.Response) -> None:
        if response.status_code >= _REFUSED:
            watch.status = response.status_code
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise TooMuchError(
                "a compressed response, which was not asked for, has no length that is known before"
            )
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  of an AsyncClient
            response.stream = _Bounded(response.stream)

    timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
    ours = {"accept-encoding": "identity", **headers}
    hooks = {"response": [bounded]}
    async with (
        httpx2.AsyncClient(headers=ours, timeout=timeout, event_hooks=hooks) as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=MAX_MESSAGE) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncByteStream):
    """At most ``MAX_MESSAGE`` bytes of a body that is read as a whole. Event streams are bounded by the event."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._stream:
            seen += len(chunk)
            if seen > MAX_MESSAGE:
                raise TooMuchError(f"the answer has more than {MAX_MESSAGE:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
