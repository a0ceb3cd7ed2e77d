"""Where to listen."""

import socket
from collections.abc import Iterator

import pytest

from cozy_domain.errors import ConfigError
from cozy_server.serving import listen


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_an_error_that_says_what_to_do(taken: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{taken}") as caught:
        listen("127.0.0.1", taken)
    assert caught.value.hint is not None
    assert "--port" in caught.value.hint


def test_the_next_free_port_is_taken_where_that_is_wanted(taken: int) -> None:
    with listen("127.0.0.1", taken, or_next=True) as found:
        assert taken < found.getsockname()[1] <= taken + 50


def test_answers_do_not_wait_for_the_clients_acknowledgement() -> None:
    """asyncio turns off Nagle's algorithm for sockets whose protocol is TCP by name, not by default."""
    with listen("127.0.0.1", 0) as found:
        assert found.proto == socket.IPPROTO_TCP


def test_an_address_of_another_machine_is_an_error_also_then() -> None:
    with pytest.raises(ConfigError):
        listen("192.0.2.1", 0, or_next=True)


def test_a_name_that_is_no_address_is_an_error() -> None:
    with pytest.raises(ConfigError):
        listen("no such host", 0)
