"""Logs: one line for each event, in colour on a terminal, as JSON elsewhere, on standard error.

Modules log through the standard library, with an event's name and its fields as ``extra``; nothing else configures logging.
"""

import asyncio
import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

_QUIET = {"uvicorn.error": logging.ERROR, "httpx2": logging.WARNING, "asyncio": logging.WARNING}


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


def _is_news(record: logging.LogRecord) -> bool:
    """Not that an answer was cut at the end of its time: the server did it itself."""
    return not (record.exc_info and record.exc_info[0] is asyncio.CancelledError)


def _rendering(terminal: bool) -> list[Processor]:
    if terminal:
        return [structlog.dev.ConsoleRenderer()]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
