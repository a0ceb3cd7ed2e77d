"""Where a caller may be reached, and the servers that help to find a way (pure)."""

import base64
import hashlib
import hmac
import ipaddress
import re
from datetime import datetime

import msgspec

from cozy_domain.errors import ConfigError, InputError
from cozy_domain.voice.ports import IceServer

MOST_CANDIDATES = 30
"""Of one connection; browsers have about ten."""
LONGEST_LINE = 1_024
LOWEST_PORT = 1_024
"""No caller's program receives on a well-known port; what listens there would be somebody else's server."""
UDP = "udp"
LOOPBACK = "127.0.0.1"
SIGNALLED = frozenset({"host", "srflx", "relay"})
"""Types of candidates that are told; the fourth, ``prflx``, is found out (RFC 8445, section 5.1.1)."""
SECRET_PLACES = frozenset(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    )
)
"""Metadata services of clouds (Alibaba, Azure, Oracle, Amazon) that are no link-local addresses as the others are."""

_CANDIDATE = re.compile(
    r"(?:a=)?(?:candidate:)?(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>[0-9]{1,3}) (?P<transport>[A-Za-z0-9-]{1,10})"
    r" (?P<priority>[0-9]{1,10}) (?P<address>[A-Za-z0-9.:%-]{1,253}) (?P<port>[0-9]{1,5}) typ (?P<type>[a-z]{1,10})"
    r"(?: [!-~]+)*"
)
_URL = re.compile(r"(?:stun|stuns):[^\s?/@]+|(?:turn|turns):[^\s?/@]+(?:\?transport=(?:udp|tcp))?")


class Candidate(msgspec.Struct, frozen=True):
    """A UDP address to which connectivity checks may be sent."""

    foundation: str
    priority: int
    address: str
    port: int
    type: str

    def __str__(self) -> str:
        """As in SDP (RFC 8839, section 5.1); the address that it was derived from is of no use to us."""
        return (
            f"candidate:{self.foundation} 1 udp {self.priority} {self.address} {self.port} typ {self.type}"
            + ("" if self.type == "host" else " raddr 0.0.0.0 rport 9")
        )


def candidate(line: str, *, loopback: bool = False) -> Candidate | None:
    """What a browser's ``candidate`` says; None if it is of no use: the empty one that says there are no more, names that
    only the caller's own network knows (mDNS, ``.local``), TCP, the second component of an old RTP, and forbidden addresses,
    among which this machine's own is unless ``loopback``.

    Raises:
        InputError: ``invalid_candidate``.
    """
    text = line.strip()
    if text in {"", "candidate:", "end-of-candidates", "a=end-of-candidates"}:
        return None
    found = _CANDIDATE.fullmatch(text) if len(text) <= LONGEST_LINE else None
    if found is None or int(found["port"]) > 65_535:
        raise InputError(
            "This is no ICE candidate.",
            code="invalid_candidate",
            hint="Send the string candidate of the event icecandidate as it is.",
        )
    usable = (
        found["transport"].lower() == UDP
        and found["component"] == "1"
        and found["type"] in SIGNALLED
        and int(found["port"]) >= LOWEST_PORT
        and (permitted(found["address"]) or (loopback and found["address"] == LOOPBACK))
    )
    if not usable:
        return None
    return Candidate(
        found["foundation"], int(found["priority"]), found["address"], int(found["port"]), found["type"]
    )


def permitted(address: str) -> bool:
    """Whether checks may be sent there: to callers in the internet and in private networks, but not to this machine, to
    everybody in a network, or to the metadata services of clouds. A name is not an address."""
    try:
        place = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(place, ipaddress.IPv6Address):
        if place.scope_id is not None or place.sixtofour or place.teredo:
            return False
        if place.ipv4_mapped is not None:
            place = place.ipv4_mapped
    return not (
        place.is_loopback
        or place.is_link_local
        or place.is_multicast
        or place.is_reserved
        or place.is_unspecified
        or place in ipaddress.ip_network("0.0.0.0/8")
        or place in SECRET_PLACES
    )


class ConfiguredIceServer(msgspec.Struct, frozen=True):
    """A STUN or TURN server of the operator. TURN has either a long-term password, or a ``secret`` that it shares with us,
    with which passwords for ``lifetime_s`` are made.

    Raises:
        ConfigError: a URL that is none, or a TURN server without a password.
    """

    urls: tuple[str, ...]
    username: str = ""
    password: str = ""
    secret: str = ""
    lifetime_s: int = 3_600

    def __post_init__(self) -> None:
        for url in self.urls:
            if not _URL.fullmatch(url):
                raise ConfigError(
                    f"{url!r} is no address of an ICE server, such as stun:example.org:3478 or "
                    "turn:example.org:3478?transport=udp."
                )
            if url.startswith("turn") and not (self.secret or (self.username and self.password)):
                raise ConfigError(f"{url} needs a user name and a password, or a secret.")

    def issued(self, user: str, now: datetime) -> IceServer:
        """What ``user`` is told at this time. A time-limited password is the one of the TURN REST API
        (draft-uberti-behave-turn-rest-00, section 2.2), as coturn's ``use-auth-secret`` checks it."""
        if not self.secret:
            return IceServer(self.urls, self.username, self.password)
        username = f"{int(now.timestamp()) + self.lifetime_s}:{user}"
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return IceServer(self.urls, username, base64.b64encode(digest).decode())
