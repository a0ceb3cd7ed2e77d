"""Which limits are in force, and whose they are."""

from cozy_domain.access.caller import Caller
from cozy_domain.access.limits import Claim, Limit
from cozy_domain.ids import Owner
from cozy_server.settings.tree import LimitSettings
from cozy_server.throttle.rates import (
    Rates,
    claims_of_caller,
    claims_of_owner,
    claims_of_stranger,
    rates_of,
)

ALL = Rates(owner=Limit(60), address=Limit(100), serving_account=Limit(600))
ANNA = Caller("anna")
APP = Caller("app", serves_many=True)


def test_serving_limits_unless_told_otherwise() -> None:
    assert rates_of(LimitSettings(), development=False) == ALL
    assert rates_of(LimitSettings(owner_per_minute=0), development=False) == Rates(
        None, Limit(100), Limit(600)
    )
    assert rates_of(LimitSettings(address_per_minute=7), development=False).address == Limit(7)


def test_development_limits_nothing_unless_told_otherwise() -> None:
    assert not rates_of(LimitSettings(), development=True).any
    assert rates_of(LimitSettings(owner_per_minute=3), development=True) == Rates(owner=Limit(3))
    assert rates_of(LimitSettings(serving_account_per_minute=3), development=True).any


def test_an_ordinary_key_costs_its_account_and_its_address() -> None:
    assert claims_of_caller(ALL, ANNA, "192.0.2.1") == (
        Claim("account/anna", Limit(60)),
        Claim("address/192.0.2.1", Limit(100)),
    )


def test_whom_an_ordinary_key_names_makes_no_difference() -> None:
    assert claims_of_owner(ALL, ANNA, Owner("anna", "somebody")) == ()


def test_a_key_that_serves_many_costs_its_account_and_each_of_its_people() -> None:
    assert claims_of_caller(ALL, APP, "192.0.2.1") == (Claim("serving/app", Limit(600)),)
    (mei,) = claims_of_owner(ALL, APP, Owner("app", "mei"))
    (ben,) = claims_of_owner(ALL, APP, Owner("app", "ben"))
    assert mei.limit == ben.limit == Limit(60)
    assert mei.key != ben.key


def test_a_stranger_costs_the_address() -> None:
    assert claims_of_stranger(ALL, "192.0.2.1") == (Claim("address/192.0.2.1", Limit(100)),)


def test_where_nothing_is_limited_nothing_is_claimed() -> None:
    none = Rates()
    assert claims_of_caller(none, ANNA, "a") == claims_of_caller(none, APP, "a") == ()
    assert claims_of_owner(none, APP, Owner("app", "mei")) == claims_of_stranger(none, "a") == ()
