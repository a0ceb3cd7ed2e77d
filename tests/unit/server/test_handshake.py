"""Who may open a WebSocket, by its headers."""

from typing import Any

import pytest
from litestar.datastructures import Headers

from cozy_server.handshake import chosen_protocol, is_welcome, with_credential

LISTED = ("https://app.example.org",)


def scope(*headers: tuple[bytes, bytes], query: bytes = b"", offered: tuple[str, ...] = ()) -> Any:
    return {
        "type": "websocket",
        "headers": list(headers),
        "query_string": query,
        "subprotocols": list(offered),
    }


def credential(opened: Any) -> list[bytes]:
    return [value for name, value in with_credential(opened) if name == b"authorization"]


def test_a_key_may_come_as_a_subprotocol_or_in_the_query() -> None:
    assert credential(scope(offered=("realtime", "openai-insecure-api-key.cz_1_2"))) == [b"Bearer cz_1_2"]
    assert credential(scope(query=b"persona=mei&token=cz_1_2")) == [b"Bearer cz_1_2"]
    assert credential(scope()) == []
    assert credential(scope(query=b"token=")) == []


def test_a_header_comes_before_a_subprotocol_and_that_before_the_query() -> None:
    header = (b"authorization", b"Bearer one")
    offered = ("openai-insecure-api-key.two",)
    assert credential(scope(header, offered=offered, query=b"token=three")) == [b"Bearer one"]
    assert credential(scope(offered=offered, query=b"token=three")) == [b"Bearer two"]


def test_a_key_with_a_line_break_adds_no_header() -> None:
    given = with_credential(scope(query=b"token=a%0d%0ahost:%20b"))
    assert [name for name, _ in given] == [b"authorization"]


def test_a_key_is_never_the_protocol_that_is_confirmed() -> None:
    assert chosen_protocol(["openai-insecure-api-key.cz_1_2", "realtime"]) == "realtime"
    assert chosen_protocol(["openai-insecure-api-key.cz_1_2", "openai-agents-sdk.1.0"]) is None
    assert chosen_protocol([]) is None


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("https://app.example.org", True),
        ("https://app.example.org.evil.net", False),
        ("http://127.0.0.1:9000", False),
        ("http://localhost:8000", False),
        ("https://evil.net", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("http://evil.net@127.0.0.1:8000", False),
    ],
)
def test_a_page_may_open_a_socket_where_it_came_from_or_is_listed(origin: str | None, welcome: bool) -> None:
    headers = {"host": "127.0.0.1:8000"} | ({} if origin is None else {"origin": origin})
    assert is_welcome(Headers(headers), LISTED) is welcome


def test_a_page_of_nowhere_is_no_page_of_a_server_without_a_name() -> None:
    assert not is_welcome(Headers({"origin": "null"}), LISTED)
