"""The beginning of a WebSocket: how a refusal is told, and which subprotocol is confirmed.

What is refused, for whatever reason, gets a status and the usual error object, not an open socket. Who may open one is
decided by `auth.Gate`.
"""

from collections.abc import Sequence
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cozy_server.problems import note_failure, problem_in

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
