"""Counts each request against its limits, and refuses what is too much.

Three questions in the order in which a request becomes known: is this address one that has nothing left (asked before its
key is looked up, and of this process's memory alone, so that a flood costs neither store nor Redis); whose key is it; and,
for keys that serve many, for whom. Where the body says for whom, such a key's account is counted together with the person,
so that who is refused uses up nothing of what the others have. The answers' headers come from the same counting.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from litestar.types import Scope
from msgspec.structs import replace

from cozy_domain.access.caller import Caller
from cozy_domain.access.limits import MINUTE_US, Admission, Claim, Standing
from cozy_domain.access.ports import LimitStore
from cozy_domain.access.seats import Seats
from cozy_domain.clock import Clock
from cozy_domain.errors import LimitError
from cozy_domain.ids import Owner
from cozy_server.throttle.address import Addresses
from cozy_server.throttle.rates import (
    ADDRESSES,
    SERVING,
    Rates,
    claims_of_caller,
    claims_of_owner,
    claims_of_stranger,
)

MOST_SHUT = 10_000
_FOR_WHOM = "counted_owner"
_UNCOUNTED = "uncounted_claims"
_TOLD = "told_standing"
_log = logging.getLogger(__name__)
_WHOSE = {
    "account": "this API key's account",
    "address": "your address",
    "owner": "this user",
    "serving": "this API key",
}


class _Shut(msgspec.Struct, frozen=True):
    standing: Standing
    at_us: int


class Throttle:
    """For all routes of one process. Where nothing is limited it costs nothing."""

    def __init__(
        self, store: LimitStore, rates: Rates, addresses: Addresses, clock: Clock, seats: Seats | None = None
    ) -> None:
        """``seats`` for work that is no turn of chat, which takes its own; none is no limit."""
        self._store = store
        self._rates = rates
        self._addresses = addresses
        self._clock = clock
        self.seats = seats
        self._doubted = False
        self._shut: dict[str, _Shut] = {}
        """What was refused of addresses and of accounts that serve many, by bucket: each only gets fuller with time, so
        until it said, it refuses."""

    def knock(self, scope: Scope, known: Callable[[], Caller | None]) -> str:
        """Where the request comes from, to be handed to the methods below. ``known`` tells whose key it was the last time
        that it was looked up: one that serves many does not count for its address, so a stranger there does not shut it out.

        Raises:
            LimitError: it is known that nothing is left for that address.
        """
        scope["state"]["throttle"] = self
        if self._rates.address is None:
            return ""
        address = self._addresses.of(scope)
        left = self._left_shut(ADDRESSES + address)
        if left is None or ((caller := known()) and caller.serves_many):
            return address
        _tell(scope, left)
        raise _too_much(left)

    async def count_stranger(self, scope: Scope, address: str) -> None:
        """A request without a good key.

        Raises:
            LimitError: too many came from that address.
        """
        await self._count(scope, claims_of_stranger(self._rates, address))

    async def count_caller(
        self, scope: Scope, address: str, caller: Caller, *, owner_follows: bool = False
    ) -> None:
        """``owner_follows``: the body will say for whom it is. Then a key that serves many is counted by `count_owner`, or
        by `settle`; here it is only turned away when it is known that nothing is left.

        Raises:
            LimitError: too many came with that key, or from that address.
        """
        claims = claims_of_caller(self._rates, caller, address)
        if not (owner_follows and caller.serves_many):
            await self._count(scope, claims)
            return
        for claim in claims:
            if left := self._left_shut(claim.key):
                _tell(scope, left)
                raise _too_much(left)
        scope["state"][_UNCOUNTED] = claims

    async def count_owner(self, scope: Scope, caller: Caller, owner: Owner) -> None:
        """
        Raises:
            LimitError: too many came for that owner, or with that key; then neither has lost anything.
        """
        owed = scope["state"].pop(_UNCOUNTED, ())
        await self._count(scope, (*owed, *claims_of_owner(self._rates, caller, owner)))

    async def settle(self, scope: Scope) -> None:
        """Counts a request that ended before it said for whom it was. It refuses nothing: that is for the next one."""
        if owed := scope["state"].pop(_UNCOUNTED, ()):
            try:
                await self._count(scope, owed)
            except LimitError:
                pass  # remembered

    async def _count(self, scope: Scope, claims: tuple[Claim, ...]) -> None:
        if not claims:
            return
        admission = await self._store.take(claims)
        tightest = admission.tightest
        _tell(scope, tightest)
        if not admission.admitted:
            self._remember(admission)
            self._doubt(scope, tightest)
            raise _too_much(tightest)

    def _left_shut(self, key: str) -> Standing | None:
        """How a bucket stands of which it is known that it refuses."""
        shut = self._shut.get(key)
        if shut is None:
            return None
        passed = self._clock.monotonic_ns() // 1_000 - shut.at_us
        standing = shut.standing
        if passed >= standing.retry_after_us:
            self._shut.pop(key)
            return None
        return replace(
            standing,
            reset_us=standing.reset_us - passed,
            retry_after_us=standing.retry_after_us - passed,
        )

    def _doubt(self, scope: Scope, refused: Standing) -> None:
        """Says once what is usually wrong when one address asks too much."""
        forwarded = any(name == b"x-forwarded-for" for name, _ in scope["headers"])
        if forwarded and refused.key.startswith(ADDRESSES) and not self._doubted:
            self._doubted = True
            _log.warning(
                "address_limited",
                extra={"told": "it may be a proxy: if it is yours, name it in server.trusted_proxies"},
            )

    def _remember(self, admission: Admission) -> None:
        now_us = self._clock.monotonic_ns() // 1_000
        for standing in admission.standings:
            if standing.retry_after_us and standing.key.startswith((ADDRESSES, SERVING)):
                if len(self._shut) >= MOST_SHUT:
                    self._shut.clear()  # it only saves work
                self._shut[standing.key] = _Shut(standing, now_us)


async def count_owner(scope: Scope, caller: Caller, owner: Owner) -> None:
    """To be called where a body says for whom a turn is, with the throttle that the request came by.

    Raises:
        LimitError: too many came for that owner.
    """
    scope["state"][_FOR_WHOM] = (caller, owner)
    if caller.serves_many:
        throttle: Throttle | None = scope["state"].get("throttle")
        if throttle is not None:
            await throttle.count_owner(scope, caller, owner)


@contextmanager
def seat(scope: Scope) -> Iterator[None]:
    """A seat for the owner that was counted, among all answers under way in this process. Nobody waits for one.

    Raises:
        LimitError: ``server_overloaded``, or too many at once for that owner.
    """
    throttle: Throttle | None = scope["state"].get("throttle")
    if throttle is None or throttle.seats is None:
        yield
        return
    with throttle.seats.taken(*scope["state"][_FOR_WHOM]):
        yield


def headers_of(standing: Standing) -> Sequence[tuple[bytes, bytes]]:
    """As OpenAI's, whose clients read them."""
    return (
        (b"x-ratelimit-limit-requests", b"%d" % standing.limit.requests),
        (b"x-ratelimit-remaining-requests", b"%d" % standing.remaining),
        (b"x-ratelimit-reset-requests", _duration(standing.reset_us).encode()),
    )


def _tell(scope: Scope, standing: Standing) -> None:
    """`Stamp` puts them on the answer, whatever it will be. Of what was counted in two steps the tighter is told."""
    state = scope["state"]
    if before := state.get(_TOLD):
        standing = Admission(True, (before, standing)).tightest
    state[_TOLD] = standing
    state["answer_headers"] = headers_of(standing)


def _too_much(standing: Standing) -> LimitError:
    kind = standing.key.partition("/")[0]
    window = "minute" if standing.limit.window_us == MINUTE_US else f"{standing.limit.window_us / 1e6:g} s"
    return LimitError(
        f"Rate limit reached for {_WHOSE.get(kind, 'this request')}: {standing.limit.requests} requests a {window}.",
        retry_after_s=standing.retry_after_us / 1_000_000,
    )


def _duration(us: int) -> str:
    """As Go writes it, rounded up: ``12ms``, ``1s``, ``6m0s``."""
    if us < 1_000_000:
        return f"{-(-us // 1_000)}ms"
    minutes, seconds = divmod(-(-us // 1_000_000), 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
