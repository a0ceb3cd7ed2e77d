"""POST /v1/chat/completions, as JSON and as a stream.

The answer is one ASGI application that owns its turn from the first event to the last byte: the turn's first event decides
the status, whatever fails before is an ordinary error, whatever fails after is an error frame and the end of the body
without ``[DONE]``. When the client leaves, the turn's context is left too, which stops the model.
"""

import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any, Protocol

from litestar import Request, post
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from litestar.types import Receive, Scope, Send

from cozy_domain.chat.events import ChatEvent, TurnEnded, TurnStarted
from cozy_domain.chat.reply import fold
from cozy_domain.chat.request import ChatRequest
from cozy_domain.errors import InputError, LocalProtocolError
from cozy_domain.sessions.turn import IdempotencyKey
from cozy_server.auth import FOR_OWNER, caller_of_request
from cozy_server.body import JsonBody, read_body
from cozy_server.openai.line import HEARTBEAT_S, STREAM, Line, own, send_json
from cozy_server.openai.reply import to_completion
from cozy_server.openai.sse import ChunkWriter
from cozy_server.openai.translate import Envelope, to_request
from cozy_server.openai.wire.reply import ENCODER, ChatCompletion
from cozy_server.openai.wire.request import ChatCompletionIn
from cozy_server.problems import language_of, request_id
from cozy_server.throttle.throttle import count_owner

logger = logging.getLogger(__name__)

PATH = "/v1/chat/completions"

_BODY = JsonBody(ChatCompletionIn)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Events(Protocol):
    """The events of one turn, once."""

    def __aiter__(self) -> AsyncIterator[ChatEvent]: ...

    async def __anext__(self) -> ChatEvent:
        """
        Raises:
            CozyError: the turn failed.
        """
        ...

    def ready(self) -> Sequence[ChatEvent]:
        """Those that follow and are there already."""
        ...


class Chat(Protocol):
    """The chat path, as this surface sees it."""

    def turn(self, request: ChatRequest) -> AbstractAsyncContextManager[Events]:
        """One turn's events: `TurnStarted` first, `TurnEnded` last, which is then stored. Leaving the context stops it.

        Raises:
            CozyError: on entering, or from the iterator.
        """
        ...


class ChatAnswer:
    """One answer, from the first event of its turn to the last byte."""

    def __init__(self, chat: Chat, request: ChatRequest, asked: ChatCompletionIn, heartbeat_s: float) -> None:
        self._chat = chat
        self._request = request
        self._asked = asked
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await own(scope, receive, send, self._answer, self._heartbeat_s)

    async def _answer(self, line: Line) -> None:
        async with self._chat.turn(self._request) as events:
            await (self._stream(line, events) if self._asked.stream else self._reply(line, events))

    async def _reply(self, line: Line, events: Events) -> None:
        body = ENCODER.encode(to_completion(await fold(events), self._asked))
        await send_json(line, 200, body, [])

    async def _stream(self, line: Line, events: Events) -> None:
        """Each delta is a frame of its own; those that came together go out together."""
        started = await anext(events, None)
        if not isinstance(started, TurnStarted):
            raise LocalProtocolError("a turn's events did not begin with its start")
        writer = ChunkWriter(self._asked, started)
        await line.start(200, STREAM)
        line.streaming = True
        await line.write(writer.opening())
        async for event in events:
            frames, ended = _written(writer, (event, *events.ready()))
            if frames:
                await line.write(frames, last=ended)
            if ended:
                return
        raise LocalProtocolError("a turn's events ended before the turn did")


@post(
    PATH,
    status_code=200,
    request_max_body_size=None,
    summary="Create a chat completion",
    responses={
        200: ResponseSpec(
            ChatCompletion,
            description="The answer; with `stream: true` chunks as server-sent events.",
            generate_examples=False,  # they would be random words, and others at each start
        )
    },
    opt={
        **FOR_OWNER,
        "body": ChatCompletionIn,
        "streams": True,
        "headers": {
            "Idempotency-Key": {
                "told": "1-255 visible ASCII characters: the same request is answered once in 24 h.",
                "pattern": _IDEMPOTENCY_KEY.pattern,
            }
        },
    },
    tags=["OpenAI"],
)
async def create_chat_completion(
    request: Request[Any, Any, Any],
    pipeline: NamedDependency[
        SkipValidation[Chat]
    ],  # the only one: Litestar makes a task for each of several
    heartbeat_s: NamedDependency[float] = HEARTBEAT_S,
) -> ChatAnswer:
    """Answers a conversation, as a persona or as a model."""
    body = await read_body(request)
    asked = _BODY.decode(body)
    if names := _BODY.unknown(body):
        logger.info("unknown_fields_ignored", extra={"request": request_id(request.scope), "fields": names})
    envelope = Envelope(
        caller=caller_of_request(request),
        request=request_id(request.scope) or "",
        locale=language_of(request.scope),
        idempotency=idempotency_of(request.headers, body),
    )
    turn = to_request(asked, envelope)
    await count_owner(request.scope, turn.caller, turn.owner)
    return ChatAnswer(pipeline, turn, asked, heartbeat_s)


routes: list[HTTPRouteHandler] = [create_chat_completion]


def idempotency_of(headers: Headers, body: bytes) -> IdempotencyKey | None:
    """
    Raises:
        InputError: the header is there twice, or is not 1-255 visible ASCII characters.
    """
    keys = headers.getall("idempotency-key", [])
    if not keys:
        return None
    if len(keys) > 1:
        raise InputError("'Idempotency-Key' was sent more than once.", param="Idempotency-Key")
    key = keys[0]
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InputError("'Idempotency-Key' must be 1-255 visible ASCII characters.", param="Idempotency-Key")
    return IdempotencyKey(f"POST {PATH}", key, sha256(body).hexdigest())


def _written(writer: ChunkWriter, events: Sequence[ChatEvent]) -> tuple[bytes, bool]:
    """The frames of ``events``, and whether they are the last."""
    frames: list[bytes] = []
    for event in events:
        if isinstance(event, TurnEnded):
            return b"".join((*frames, writer.closing(event))), True
        frames.append(writer.delta(event))
    return b"".join(frames), False
