"""Logs: one line for each event, in colour on a terminal, as JSON elsewhere, on standard error.

Modules log through the standard library, with an event's name and its fields as ``extra``; nothing else configures logging.
Only the line for each request goes past it: the standard library's records would cost several times as much as the line.
"""

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from typing import Any, TextIO

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import Scope
from structlog.typing import EventDict, Processor, WrappedLogger

ACCESS = "request_served"
"""The event of the line for each request, and for each socket when it is closed."""
SOCKET = "WEBSOCKET"
"""What stands there for the method of a socket."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_QUIET = {
    "uvicorn.error": logging.ERROR,
    "httpx2": logging.WARNING,
    "aioice": logging.WARNING,  # a dozen lines for each call, with the addresses of who calls
    "asyncio": logging.WARNING,
    "mcp": logging.CRITICAL,  # it repeats what servers send, and session ids; what matters is told by our own adapter
}


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """``level`` as a word: debug, info, warning, error."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def access_log(stream: TextIO | None = None) -> Callable[[Scope, int | None, int], None]:
    """What writes one line for a request when it is over: of its address only the route's template, of its caller only the
    account, of its texts nothing."""
    out = stream or sys.stderr
    log = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), *_line(out.isatty())],
        wrapper_class=structlog.BoundLogger,
    ).bind(level="info")

    def note(scope: Scope, status: int | None, took_ns: int) -> None:
        state: dict[str, Any] = scope.get("state", {})
        caller = state.get("caller")
        log.info(
            ACCESS,
            method=scope["method"] if scope["type"] == ScopeType.HTTP else SOCKET,
            route=scope.get("path_template"),
            status=status,
            ms=took_ns // 10_000 / 100,
            request=state.get("request_id"),
            account=caller.account if caller else None,
        )

    return note


def _is_news(record: logging.LogRecord) -> bool:
    """Not that an answer was cut at the end of its time: the server did it itself."""
    return not (record.exc_info and record.exc_info[0] is asyncio.CancelledError)


def _rendering(terminal: bool) -> list[Processor]:
    if terminal:
        return [_harmless, structlog.dev.ConsoleRenderer()]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _line(terminal: bool) -> list[Processor]:
    """As `_rendering`, for fields that are text and numbers."""
    render = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(_json)
    return [_harmless, render] if terminal else [render]


def _json(event: EventDict, **_: object) -> str:
    return msgspec.json.encode(event).decode()


def _harmless(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A terminal must not obey what stands in a field: control characters are shown as escapes."""
    return {name: _shown(value) if isinstance(value, str) else value for name, value in event.items()}


def _shown(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
