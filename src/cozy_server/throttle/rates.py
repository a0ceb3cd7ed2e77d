"""The limits in force, and whose bucket a request comes out of (pure).

An ordinary key speaks for its account, whatever user it names: else it had as many limits as it can think of names. A key
that serves many speaks for each of its people, who are known only when the body is read, and all of them together have a
limit of their own. Its address is that of the application, not of its people, so it does not count.
"""

import msgspec

from cozy_domain.access.caller import Caller
from cozy_domain.access.limits import Claim, Limit
from cozy_domain.ids import Owner
from cozy_server.settings.tree import LimitSettings

OWNER = 60
ADDRESS = 100
SERVING_ACCOUNT = 600
"""Requests a minute of `cozy serve`; the first two are settled question 2, the third is ten people at their limit."""

ADDRESSES = "address/"
SERVING = "serving/"


class Rates(msgspec.Struct, frozen=True):
    """None is no limit."""

    owner: Limit | None = None
    address: Limit | None = None
    serving_account: Limit | None = None

    @property
    def any(self) -> bool:
        return not (self.owner is self.address is self.serving_account is None)


def rates_of(settings: LimitSettings, *, development: bool) -> Rates:
    """In development nothing is limited but what somebody set."""
    owner, address, serving = (0, 0, 0) if development else (OWNER, ADDRESS, SERVING_ACCOUNT)
    return Rates(
        _limit(settings.owner_per_minute, owner),
        _limit(settings.address_per_minute, address),
        _limit(settings.serving_account_per_minute, serving),
    )


def claims_of_caller(rates: Rates, caller: Caller, address: str) -> tuple[Claim, ...]:
    """What a request costs whose key is known, and nothing else."""
    if caller.serves_many:
        return _claims((SERVING + caller.account, rates.serving_account))
    return _claims(("account/" + caller.account, rates.owner), (ADDRESSES + address, rates.address))


def claims_of_owner(rates: Rates, caller: Caller, owner: Owner) -> tuple[Claim, ...]:
    """What it costs besides, where it is known for whom it is; taken with the former or not at all."""
    return _claims((f"owner/{owner.id.hex}", rates.owner)) if caller.serves_many else ()


def claims_of_stranger(rates: Rates, address: str) -> tuple[Claim, ...]:
    """What a request costs that has no good key."""
    return _claims((ADDRESSES + address, rates.address))


def _limit(wanted: int | None, default: int) -> Limit | None:
    requests = default if wanted is None else wanted
    return Limit(requests) if requests else None


def _claims(*buckets: tuple[str, Limit | None]) -> tuple[Claim, ...]:
    return tuple([Claim(key, limit) for key, limit in buckets if limit is not None])
