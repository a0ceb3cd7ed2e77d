"""``/outputs`` and ``/input_hook``: routes that FastRTC leaves to the application, and that all of its pages call."""

import asyncio
from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation
from litestar.types import Receive, Scope, Send

from cozy_domain.errors import MissingError
from cozy_server.auth import LATE, admit, count_request
from cozy_server.body import JsonBody
from cozy_server.fastrtc.asking import admit_first, read_json, wish_in_query
from cozy_server.fastrtc.conversations import Conversations
from cozy_server.fastrtc.outputs import Reader
from cozy_server.fastrtc.refusals import answer_refusal
from cozy_server.fastrtc.wire import CallWish, InputHookIn, Ok, OutputsQuery, Refused

HEARTBEAT_S = 15.0
"""Silence before a comment is sent; proxies cut idle lines after 30 s and more."""
_COMMENT = b": \n\n"
_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_HOOK = JsonBody(InputHookIn)


class ReadAlong:
    """The answer to one who reads along: from what was said first to the end of the call, or until he leaves."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI has it
        tasks = (asyncio.create_task(self._write(send)), asyncio.create_task(_left(receive)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._reader.close()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        await send({"type": "http.response.body", "body": _COMMENT, "more_body": True})
        more = True
        while more:
            more = await self._reader.wait(HEARTBEAT_S)
            frames = [b"event: output\ndata: %s\n\n" % it for it in self._reader.take()]
            body = b"".join(frames) or _COMMENT
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@get(
    "/outputs",
    opt={**LATE, "refusal": Refused, "query": OutputsQuery, "streams": True},
    exception_handlers={Exception: answer_refusal},
    tags=["FastRTC"],
)
async def outputs(
    request: Request[Any, Any, Any],
    conversations: NamedDependency[SkipValidation[Conversations]],
) -> ReadAlong:
    """What a call says, as server-sent events `output`, each `{"role", "content"}`: from its beginning to its end. A
    call that is about to begin is waited for, some seconds."""
    query = wish_in_query(request, OutputsQuery)
    caller = await admit(request.scope, query.token)
    await count_request(request.scope)
    line = await conversations.lines.awaited(caller, query.webrtc_id, query.user_id)
    if line is None:
        raise _no_call()
    return ReadAlong(line.outputs.reader())


@post(
    "/input_hook",
    status_code=200,
    request_max_body_size=None,
    opt={**LATE, "refusal": Refused, "body": InputHookIn},
    exception_handlers={Exception: answer_refusal},
    tags=["FastRTC"],
)
async def input_hook(
    request: Request[Any, Any, Any],
    conversations: NamedDependency[SkipValidation[Conversations]],
) -> Response[Ok]:
    """Something for a call beside its sound: `text` is what was typed, and starts a turn."""
    wish = wish_in_query(request, CallWish)
    caller = await admit_first(request, wish) or await admit(request.scope)
    await count_request(request.scope)
    asked = await read_json(request, _HOOK, InputHookIn)
    line = conversations.lines.find(caller, asked.webrtc_id, wish.user_id)
    if line is None or line.call is None:
        raise _no_call()
    if asked.text:
        line.call.typed(asked.text)
    return Response(Ok())


def _no_call() -> MissingError:
    return MissingError("There is no call of that id.", param="webrtc_id")


routes: list[HTTPRouteHandler] = [outputs, input_hook]
