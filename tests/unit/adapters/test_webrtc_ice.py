"""Addresses of callers, and the servers that they are told."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.webrtc.ice import Candidate, ConfiguredIceServer, candidate, permitted
from cozy_domain.errors import ConfigError, InputError
from cozy_domain.voice.ports import IceServer

CHROME = (
    "candidate:842163049 1 udp 1677729535 203.0.114.7 56143 typ srflx raddr 0.0.0.0 rport 0 generation 0 "
    "ufrag kD4x network-id 1 network-cost 10"
)
FIREFOX = "candidate:0 1 UDP 2122252543 192.168.1.20 52011 typ host"


def test_what_chrome_and_firefox_send_is_understood() -> None:
    assert candidate(CHROME) == Candidate("842163049", 1677729535, "203.0.114.7", 56143, "srflx")
    assert candidate(FIREFOX) == Candidate("0", 2122252543, "192.168.1.20", 52011, "host")
    assert candidate(FIREFOX.removeprefix("candidate:")) == candidate(FIREFOX)
    assert candidate(f"a={FIREFOX}") == candidate(FIREFOX)
    six = candidate("candidate:1 1 udp 2122262783 2001:470:1f0b::5 51000 typ host generation 0")
    assert six is not None
    assert six.address == "2001:470:1f0b::5"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "  ",
        "candidate:",
        "a=end-of-candidates",
        "candidate:1 1 udp 2122260223 5bd35b87-9c1e-4a0e-8f0a-0d6c8a0f2b11.local 54321 typ host generation 0",
        "candidate:1 1 tcp 1518280447 192.168.1.20 9 typ host tcptype active",
        "candidate:1 2 udp 2122252542 192.168.1.20 52012 typ host",
        "candidate:1 1 udp 2122252542 192.168.1.20 52012 typ prflx",
        "candidate:1 1 udp 2122252542 8.8.8.8 53 typ host",
        "candidate:1 1 udp 2122252542 127.0.0.1 52012 typ host",
        "candidate:1 1 udp 2122252542 fe80::1%eth0 52012 typ host",
    ],
)
def test_what_cannot_be_used_is_no_error(line: str) -> None:
    assert candidate(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "candidate:1 1 udp",
        "candidate:1 1 udp 1 192.168.1.20 99999 typ host",
        "candidate:1 1 udp -1 192.168.1.20 5000 typ host",
        "candidate:1 1 udp 1 192.168.1.20 5000 type host",
        "candidate:1 1 udp 1 192.168.1.20 5000 typ host\r\na=setup:active",
        "candidate:1 1 udp 1 192.168.1.20 5000 typ host " + "x" * 2_000,
    ],
)
def test_what_is_no_candidate_is_refused(line: str) -> None:
    with pytest.raises(InputError) as caught:
        candidate(line)
    assert caught.value.code == "invalid_candidate"


@given(st.text(max_size=200))
def test_any_text_is_a_candidate_or_refused(text: str) -> None:
    try:
        found = candidate(text)
    except InputError:
        return
    assert found is None or permitted(found.address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",  # noqa: S104 - it is what must not be used
        "0.1.2.3",
        "::",
        "169.254.169.254",
        "fe80::1",
        "224.0.0.251",
        "239.255.255.250",
        "ff02::fb",
        "255.255.255.255",
        "240.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "localhost",
        "example.org",
        "1.2.3",
        "fe80::1%eth0",
    ],
)
def test_checks_are_not_sent_to_this_machine_everybody_or_secret_services(address: str) -> None:
    assert not permitted(address)


@pytest.mark.parametrize(
    "address", ["203.0.114.7", "192.168.1.20", "10.0.0.5", "fd12:3456::1", "2001:470::1"]
)
def test_callers_in_the_internet_and_in_private_networks_are_reached(address: str) -> None:
    assert permitted(address)


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_turn_server_with_a_password_is_told_as_it_is() -> None:
    server = ConfiguredIceServer(("turn:turn.example.org:3478?transport=udp",), "cozy", "pw")
    assert server.issued("anna", NOW) == IceServer(
        ("turn:turn.example.org:3478?transport=udp",), "cozy", "pw"
    )


def test_a_password_of_limited_time_is_the_one_that_coturn_checks() -> None:
    server = ConfiguredIceServer(
        ("turn:turn.example.org", "turns:turn.example.org"), secret="s3", lifetime_s=600
    )
    issued = server.issued("anna", NOW)
    until, _, user = issued.username.partition(":")
    assert (int(until), user) == (int(NOW.timestamp()) + 600, "anna")
    expected = hmac.new(b"s3", issued.username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(issued.credential) == expected


def test_stun_needs_no_password() -> None:
    assert ConfiguredIceServer(("stun:stun.example.org:3478",)).issued("anna", NOW).credential == ""


@pytest.mark.parametrize(
    "urls",
    [("http://example.org",), ("stun:",), ("turn:a?transport=sctp",), ("turn:example.org",), ("stun:a b",)],
)
def test_a_server_that_cannot_be_used_is_refused_when_it_is_configured(urls: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"ICE server|needs a user name"):
        ConfiguredIceServer(urls)


def test_this_machine_itself_is_called_only_by_who_has_nothing_else() -> None:
    line = "candidate:1 1 udp 1 {} 50000 typ host"
    assert candidate(line.format("127.0.0.1")) is None
    assert candidate(line.format("127.0.0.2"), loopback=True) is None
    assert candidate(line.format("169.254.169.254"), loopback=True) is None
    found = candidate(line.format("127.0.0.1"), loopback=True)
    assert found is not None
    assert found.address == "127.0.0.1"
