"""Where a request comes from, as far as that can be known.

The peer of the connection cannot lie, but it may be a proxy. ``X-Forwarded-For`` is believed only where a proxy that the
operator named has written it: read from its end, each address is the one that the proxy after it saw. What stands before the
first address that is no proxy of ours was written by the client, and counts for nothing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from litestar.types import Scope

Address = IPv4Address | IPv6Address

UNKNOWN = "unknown"
_IPV6_HOST_BITS = 64
"""A subscriber is given a /64 at least (RFC 6177), and with it 2^64 addresses."""
_REMEMBERED = 4_096
_HEADER = b"x-forwarded-for"


class Addresses:
    """``trusted`` are addresses and networks (CIDR) of proxies."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted = tuple(ip_network(it, strict=False) for it in trusted)

    def of(self, scope: Scope) -> str:
        """An IPv4 address, or the /64 of an IPv6 one."""
        peer = scope["client"]
        address = _parsed(peer[0]) if peer else None
        if address is None:
            return UNKNOWN
        if self._trusted and self._is_proxy(address):
            address = self._forwarded(scope, address)
        return _group(address)

    def _forwarded(self, scope: Scope, proxy: Address) -> Address:
        found = proxy
        for text in _hops(scope):
            hop = _parsed(text)
            if hop is None:
                return found
            found = hop
            if not self._is_proxy(hop):
                return found
        return found

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _hops(scope: Scope) -> Iterator[str]:
    """Nearest first."""
    for name, value in reversed(list(scope["headers"])):
        if name == _HEADER:
            yield from reversed(value.decode("latin-1").split(","))


@lru_cache(_REMEMBERED)
def _parsed(text: str) -> Address | None:
    """Also with a port, as some proxies write it; an IPv4 address in IPv6 clothes (RFC 4291, 2.5.5.2) is one of IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


@lru_cache(_REMEMBERED)
def _group(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    network = int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS
    return f"{IPv6Address(network)}/{_IPV6_HOST_BITS}"
