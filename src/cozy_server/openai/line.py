"""The way back to a client, for answers that own it from the first byte to the last.

A companion watches the client beside the answer: when it leaves, the answer's task group ends with `ClientLeftError`; while
it waits in silence for a stream of events, it gets a comment now and then, so that no proxy takes the line for dead.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send

from cozy_server.openai.sse import KEEP_ALIVE, error_frame
from cozy_server.problems import Problem, language_of, note_failure, problem_of, request_id

logger = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
"""Silence before a comment is sent; proxies cut idle lines after 30 s and more."""

JSON = [(b"content-type", b"application/json")]
STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ClientLeftError(Exception):
    """The client closed the connection before the answer was whole."""


class Line:
    """The way back to the client: sends, remembers when, and says nothing between two halves of a frame."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = asyncio.Lock()
        self._now = asyncio.get_running_loop().time
        self._last = self._now()
        self.started = False
        self.streaming = False
        self.ended = False

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        event: HTTPResponseStartEvent = {"type": "http.response.start", "status": status, "headers": headers}
        self.started = True
        await self._send(event)

    async def write(self, body: bytes, *, last: bool = False) -> None:
        async with self._turn:
            self.ended = last
            await self._send({"type": "http.response.body", "body": body, "more_body": not last})
        self._last = self._now()

    async def break_silence(self, after_s: float) -> float:
        """Sends a comment when a stream was silent for ``after_s``; gives the seconds until it may be so again."""
        left = self._last + after_s - self._now()
        if left > 0 or self._turn.locked():
            return max(left, 0.0) or after_s
        if self.streaming and not self.ended:
            await self.write(KEEP_ALIVE)
        return after_s


async def own(
    scope: Scope,
    receive: Receive,
    send: Send,
    answer: Callable[[Line], Awaitable[None]],
    heartbeat_s: float = HEARTBEAT_S,
) -> None:
    """Runs ``answer`` beside its companion until its last byte is sent or its client leaves.

    Raises:
        nothing: also what nobody foresaw ends as an answer of ours. Where a file has begun, that is a cut connection.
    """
    line = Line(send)
    try:
        async with asyncio.TaskGroup() as group:
            companion = group.create_task(accompany(line, receive, heartbeat_s))
            await _guarded(line, scope, answer)
            companion.cancel()
    except* ClientLeftError:
        logger.info("client_left", extra={"request": request_id(scope)})


async def _guarded(line: Line, scope: Scope, answer: Callable[[Line], Awaitable[None]]) -> None:
    try:
        await answer(line)
    except Exception as error:  # noqa: BLE001 - the top loop of a request: whatever it is, it becomes an answer
        problem = problem_of(error, request=request_id(scope), language=language_of(scope))
        note_failure(error, problem)
        if not line.ended and (line.streaming or not line.started):
            await tell(line, problem)


async def accompany(line: Line, receive: Receive, heartbeat_s: float) -> None:
    """
    Raises:
        ClientLeftError: the client has gone.
    """
    left_s = heartbeat_s
    while True:
        try:
            async with asyncio.timeout(left_s):
                message = await receive()
        except TimeoutError:
            left_s = await line.break_silence(heartbeat_s)
            continue
        if message["type"] == "http.disconnect":
            if line.ended:  # the server says so too when all is sent
                return
            raise ClientLeftError


async def tell(line: Line, problem: Problem) -> None:
    """Ends the answer with an error: as its status, or in a stream that has begun as its last frame."""
    if line.streaming:
        await line.write(error_frame(problem.body), last=True)
        return
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    await send_json(line, problem.status, problem.body, headers)


async def send_json(line: Line, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await line.start(status, [*JSON, (b"content-length", str(len(body)).encode()), *headers])
    await line.write(body, last=True)
