"""Where the key of a WebSocket may be."""

from typing import Any

from cozy_server.handshake import chosen_protocol, with_credential


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
