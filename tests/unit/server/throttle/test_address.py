"""Where a request comes from, and what a client can say about it."""

from typing import Any

import pytest

from cozy_server.throttle.address import UNKNOWN, Addresses

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.7")


def address(peer: str | None, *forwarded: str, trusted: tuple[str, ...] = PROXIES) -> str:
    """``forwarded``: one header each, in the order of the request."""
    headers = [(b"host", b"x"), *((b"x-forwarded-for", it.encode()) for it in forwarded)]
    scope: Any = {"client": (peer, 4711) if peer is not None else None, "headers": headers}
    return Addresses(trusted).of(scope)


def test_the_peer_is_who_it_is() -> None:
    assert address("203.0.113.5") == "203.0.113.5"


def test_what_a_client_says_of_itself_counts_for_nothing() -> None:
    assert address("203.0.113.5", "198.51.100.1") == "203.0.113.5"
    assert address("10.0.0.1", "198.51.100.1", trusted=()) == "10.0.0.1"


def test_a_proxy_of_ours_tells_from_where() -> None:
    assert address("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert address("192.0.2.7", "198.51.100.1") == "198.51.100.1"
    assert address("192.0.2.8", "198.51.100.1") == "192.0.2.8"


@pytest.mark.parametrize("forged", ["127.0.0.1", "10.9.9.9", "203.0.113.99", "x", ""])
def test_what_was_written_before_our_proxy_counts_for_nothing(forged: str) -> None:
    assert address("10.0.0.1", f"{forged}, 198.51.100.1") == "198.51.100.1"
    assert address("10.0.0.1", forged, "198.51.100.1") == "198.51.100.1"


def test_a_chain_of_our_proxies_is_followed_to_its_begin() -> None:
    assert address("10.0.0.1", "203.0.113.5, 198.51.100.1, 192.0.2.7", "10.4.5.6") == "198.51.100.1"


def test_a_chain_of_nothing_but_proxies_ends_at_the_first() -> None:
    assert address("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"
    assert address("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize("text", ["unknown", "", "_hidden", "999.1.1.1", "a" * 5_000])
def test_a_proxy_that_writes_no_address_counts_itself(text: str) -> None:
    assert address("10.0.0.1", text) == "10.0.0.1"
    assert address("10.0.0.1", f"198.51.100.1, {text}") == "10.0.0.1"


@pytest.mark.parametrize(
    "text", ["198.51.100.1:5000", " 198.51.100.1 ", "::ffff:198.51.100.1", "[::ffff:198.51.100.1]:80"]
)
def test_an_address_is_read_however_it_is_written(text: str) -> None:
    assert address("10.0.0.1", text) == "198.51.100.1"


def test_a_subscribers_ipv6_addresses_are_one() -> None:
    assert address("2001:db8:1:2::1") == address("2001:db8:1:2:ffff:ffff:ffff:ffff") == "2001:db8:1:2::/64"
    assert address("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert address("2001:db8:ffff::1", "[2001:db8:1:2::9]:443") == "2001:db8:1:2::/64"


def test_a_mapped_peer_is_a_proxy_by_its_ipv4_address() -> None:
    assert address("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize("peer", [None, "", "testclient"])
def test_a_peer_without_an_address_is_one_of_the_unknown(peer: str | None) -> None:
    assert address(peer, "198.51.100.1") == UNKNOWN
