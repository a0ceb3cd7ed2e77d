"""The beginning of a WebSocket: where its key may be, and how a refusal is told.

A browser cannot send headers along with it, so the key may also come as a subprotocol, as OpenAI's clients send it, or as
``token`` in the query. What is refused, for whatever reason, gets a status and the usual error object, not an open socket.
(Who may open one: `auth.Gate`.)
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cozy_server.problems import note_failure, problem_in

KEY_PROTOCOL = "openai-insecure-api-key."
"""What stands before the key in a subprotocol (openai-node, realtime)."""
_VENDORS = "openai-"
_REFUSED_WITH = "refused_with"
_POLICY = 1008


class Handshakes:
    """Wraps the whole application, inside `Stamp`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.WEBSOCKET:
            await self._app(scope, receive, send)
            return
        scope["headers"] = with_credential(scope)
        accepted = False

        async def answered(message: Message) -> None:
            nonlocal accepted
            if message["type"] == "websocket.close" and not accepted:
                await _deny(scope, send, scope["state"].pop(_REFUSED_WITH, None) or _unforeseen())
                return
            accepted = accepted or message["type"] == "websocket.accept"
            await send(message)

        await self._app(scope, receive, answered)


async def remember(error: Exception, scope: Scope) -> None:
    """Litestar's hook for what was raised: it would make a close code of it, and what it was would be lost."""
    if scope["type"] == ScopeType.WEBSOCKET:
        scope.setdefault("state", {})[_REFUSED_WITH] = error


def with_credential(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers, with the key of a client that could not send it in one."""
    headers = list(scope["headers"])
    if any(name == b"authorization" for name, _ in headers):
        return headers
    offered: Sequence[str] = scope.get("subprotocols", ())  # type: ignore[assignment]  # only sockets have them
    keys = [it.removeprefix(KEY_PROTOCOL) for it in offered if it.startswith(KEY_PROTOCOL)]
    keys += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return [*headers, *((b"authorization", f"Bearer {key}".encode()) for key in keys[:1])]


def chosen_protocol(offered: Sequence[str]) -> str | None:
    """The subprotocol to confirm: Chrome drops a socket that confirms none of those it offered, and a key is none."""
    return next((it for it in offered if not it.startswith(_VENDORS)), None)


async def _deny(scope: Scope, send: Send, error: Exception) -> None:
    problem = problem_in(error, scope)
    note_failure(error, problem)
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", (problem.error.request_id or "").encode()),
        *((name.encode(), value.encode()) for name, value in problem.headers.items()),
        *scope["state"].get("answer_headers", ()),
    ]
    messages: tuple[Any, ...] = (
        {"type": "websocket.http.response.start", "status": problem.status, "headers": headers},
        {"type": "websocket.http.response.body", "body": problem.body},
    )
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        messages = ({"type": "websocket.close", "code": _POLICY, "reason": problem.error.code or ""},)
    for message in messages:
        await send(message)


def _unforeseen() -> Exception:
    return RuntimeError("a socket was closed before it was accepted, without a reason")
