"""Logs stay one line for each event, whatever is in them."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cozy_domain.access.caller import Caller
from cozy_server.telemetry import access_log, configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_where_a_caller_was_reached_is_not_logged(log: io.StringIO) -> None:
    logging.getLogger("aioice.ice").info("Check CandidatePair(('192.0.2.2', 35669) -> ('192.0.2.3', 38181))")
    assert log.getvalue() == ""
    logging.getLogger("aioice.ice").warning("no pair")
    assert "no pair" in log.getvalue()


def test_an_answer_that_was_cut_at_shutdown_is_no_error(log: io.StringIO) -> None:
    for error in (asyncio.CancelledError(), ValueError("ours")):
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    (line,) = log.getvalue().splitlines()
    assert "ours" in json.loads(line)["exception"]


def scope(**changes: Any) -> Any:
    caller = Caller(account="acme", role="user")
    return {
        "type": "http",
        "method": "GET",
        "path": "/v1/models/secret",
        "query_string": b"key=secret",
        "path_template": "/v1/models/{model}",
        "state": {"request_id": "req_1", "caller": caller},
        **changes,
    }


def test_a_request_is_one_line_without_its_path_query_and_texts() -> None:
    stream = io.StringIO()
    access_log(stream)(scope(), 404, 12_345_678)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "request_served",
        "level": "info",
        "method": "GET",
        "route": "/v1/models/{model}",
        "status": 404,
        "ms": 12.34,
        "request": "req_1",
        "account": "acme",
    }


def test_a_request_that_met_no_route_no_key_and_no_answer_is_a_line_too() -> None:
    stream = io.StringIO()
    unrouted: Any = {"type": "http", "method": "GET", "path": "/secret", "state": {}}
    access_log(stream)(unrouted, None, 1)
    event = json.loads(stream.getvalue())
    assert (event["route"], event["status"], event["account"]) == (None, None, None)
    assert "secret" not in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "terminal"])
def test_newlines_and_colours_of_a_caller_cannot_fake_another_line(stream: io.StringIO) -> None:
    account = "acme\n2026-01-01 request_served\r\x1b[2J\x9b31m"
    access_log(stream)(scope(state={"caller": Caller(account=account, role="user")}), 200, 1)
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in stream.getvalue()


def test_on_a_terminal_a_line_is_keys_and_values_in_colour() -> None:
    stream = Terminal()
    access_log(stream)(scope(), 200, 1_000_000)
    line = stream.getvalue()
    assert "\x1b[" in line
    assert re.sub(r"\x1b\[[0-9;]*m", "", line).count("=") == 6
    assert not line.startswith("{")


def test_a_terminal_is_not_moved_by_what_stands_in_a_field() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = Terminal()
    try:
        configure_logs("info", stream)
        logging.getLogger("cozy.test").warning("refused", extra={"path": "/x\n\x1b[2Jfake\x07"})
    finally:
        root.handlers, level = before
        root.setLevel(level)
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
