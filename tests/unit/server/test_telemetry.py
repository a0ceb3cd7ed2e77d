"""Logs stay one line for each event, whatever is in them."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from cozy_server.telemetry import configure_logs


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("info", stream)
    yield stream
    root.handlers, level = before
    root.setLevel(level)


def test_an_event_is_one_line_of_json_with_its_fields(log: io.StringIO) -> None:
    logging.getLogger("cozy.test").warning("something_happened", extra={"request": "req_1", "ms": 3})
    event = json.loads(log.getvalue())
    assert event["event"] == "something_happened"
    assert (event["level"], event["logger"], event["request"], event["ms"]) == (
        "warning",
        "cozy.test",
        "req_1",
        3,
    )
    assert event["timestamp"].endswith("Z")


def test_newlines_and_colours_in_a_field_cannot_fake_another_event(log: io.StringIO) -> None:
    logging.getLogger("cozy.test").warning("refused", extra={"path": '/x\n{"event": "fake"}\x1b[31m'})
    assert len(log.getvalue().splitlines()) == 1
    assert "\x1b" not in log.getvalue()


def test_a_crash_is_one_line_with_its_traceback(log: io.StringIO) -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("cozy.test").exception("crashed")
    (line,) = log.getvalue().splitlines()
    assert "ValueError: inside" in json.loads(line)["exception"]


def test_what_is_below_the_level_is_not_logged(log: io.StringIO) -> None:
    logging.getLogger("cozy.test").debug("detail")
    assert log.getvalue() == ""


def test_an_answer_that_was_cut_at_shutdown_is_no_error(log: io.StringIO) -> None:
    for error in (asyncio.CancelledError(), ValueError("ours")):
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    (line,) = log.getvalue().splitlines()
    assert "ours" in json.loads(line)["exception"]
