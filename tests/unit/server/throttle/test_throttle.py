"""What is counted, refused, and told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_domain.access.caller import Caller
from cozy_domain.access.limits import Admission, Claim, Limit, Standing
from cozy_domain.errors import LimitError
from cozy_domain.ids import Owner
from cozy_server.throttle.address import Addresses
from cozy_server.throttle.rates import Rates
from cozy_server.throttle.throttle import MOST_SHUT, Throttle, headers_of

ANNA = Caller("anna")
APP = Caller("app", serves_many=True)


class CountingStore(InMemoryLimitStore):
    asked = 0

    async def take(self, claims: tuple[Claim, ...]) -> Admission:
        self.asked += 1
        return await super().take(claims)


class Limited:
    owner_follows = True
    """Whether the route counts owners; one whose body is wrong names none."""

    def __init__(self, **rates: int) -> None:
        self.clock = InMemoryClock()
        self.store = CountingStore(self.clock)
        limits = {name: Limit(number) for name, number in rates.items()}
        self.throttle = Throttle(self.store, Rates(**limits), Addresses(), self.clock)

    async def ask(
        self,
        caller: Caller | None = ANNA,
        *,
        peer: str = "192.0.2.1",
        owner: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> dict[str, str]:
        """The headers that the answer would carry."""
        scope: Any = {"client": (peer, 1), "headers": headers, "state": {}}
        try:
            await self._count(scope, caller, owner)
        finally:
            await self.throttle.settle(scope)
            self.told = {k.decode(): v.decode() for k, v in scope["state"].get("answer_headers", ())}
        return self.told

    async def refusal(self, *args: Any, **kwargs: Any) -> LimitError:
        with pytest.raises(LimitError) as caught:
            await self.ask(*args, **kwargs)
        return caught.value

    async def _count(self, scope: Any, caller: Caller | None, owner: str | None) -> None:
        address = self.throttle.knock(scope, lambda: caller)
        if caller is None:
            await self.throttle.count_stranger(scope, address)
            return
        await self.throttle.count_caller(scope, address, caller, owner_follows=self.owner_follows)
        if owner is not None:
            await self.throttle.count_owner(scope, caller, Owner(caller.account, owner))


async def test_an_answer_tells_the_limit_what_is_left_and_when_all_is_back() -> None:
    limited = Limited(owner=60)
    assert await limited.ask() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }


@pytest.mark.parametrize(
    ("us", "told"),
    [
        (1, "1ms"),
        (12_000, "12ms"),
        (999_001, "1000ms"),
        (1_000_000, "1s"),
        (1_000_001, "2s"),
        (360_000_000, "6m0s"),
    ],
)
def test_a_time_is_told_as_go_writes_it(us: int, told: str) -> None:
    standing = Standing("account/anna", Limit(60), 0, us)
    assert dict(headers_of(standing))[b"x-ratelimit-reset-requests"] == told.encode()


async def test_of_two_limits_the_tighter_is_told() -> None:
    limited = Limited(owner=60, address=100)
    assert (await limited.ask())["x-ratelimit-limit-requests"] == "60"
    for number in range(70):
        await limited.ask(Caller(f"other-{number}"))
    assert (await limited.ask())["x-ratelimit-limit-requests"] == "100"


async def test_too_much_is_refused_with_the_limits_name_and_the_time_to_wait() -> None:
    limited = Limited(owner=2)
    await limited.ask()
    await limited.ask()
    error = await limited.refusal()
    assert str(error) == "Rate limit reached for this API key's account: 2 requests a minute."
    assert (error.code, error.retry_after_s) == ("rate_limit_exceeded", 30.0)
    assert limited.told["x-ratelimit-remaining-requests"] == "0"
    limited.clock.advance(timedelta(seconds=30))
    await limited.ask()


async def test_a_refusal_at_the_address_costs_the_account_nothing() -> None:
    limited = Limited(owner=60, address=1)
    await limited.ask()
    for _ in range(5):
        assert "your address" in str(await limited.refusal())
    left = await limited.ask(peer="192.0.2.2")
    assert left["x-ratelimit-limit-requests"] == "1"
    assert len(limited.store) == 3
    account = await limited.store.take((Claim("account/anna", Limit(60)),))
    assert account.standings[0].remaining == 57


async def test_strangers_use_up_their_address_for_whoever_shares_it() -> None:
    limited = Limited(owner=60, address=2)
    await limited.ask(None)
    await limited.ask(None)
    assert (await limited.refusal(None)).code == (await limited.refusal(ANNA)).code == "rate_limit_exceeded"
    await limited.ask(peer="192.0.2.2")


async def test_an_address_that_was_refused_is_refused_at_the_door_until_its_time() -> None:
    limited = Limited(owner=60, address=2)
    for _ in range(2):
        await limited.ask()
    first = await limited.refusal()
    asked = limited.store.asked
    limited.clock.advance(timedelta(seconds=10))
    second = await limited.refusal()
    assert limited.store.asked == asked
    assert second.retry_after_s == first.retry_after_s - 10 == 20
    assert limited.told["x-ratelimit-reset-requests"] == "50s"
    limited.clock.advance(timedelta(seconds=20))
    await limited.ask()
    assert limited.store.asked == asked + 1


async def test_what_may_be_a_proxy_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    limited = Limited(address=1)
    for peer in ("10.0.0.1", "10.0.0.2"):
        await limited.ask(peer=peer)
        await limited.refusal(peer=peer)
        assert not caplog.records
    for peer in ("10.0.0.3", "10.0.0.4"):
        await limited.ask(peer=peer)
        await limited.refusal(peer=peer, headers=[(b"x-forwarded-for", b"198.51.100.1")])
    assert [record.message for record in caplog.records] == ["address_limited"]


async def test_addresses_that_were_refused_are_forgotten_when_they_are_too_many() -> None:
    limited = Limited(address=1)
    for number in range(MOST_SHUT + 10):
        peer = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        await limited.ask(None, peer=peer)
        await limited.refusal(None, peer=peer)
    assert len(limited.throttle._shut) <= MOST_SHUT


async def test_each_person_of_a_key_that_serves_many_has_a_limit() -> None:
    limited = Limited(owner=2, address=3, serving_account=10)
    for _ in range(2):
        await limited.ask(APP, owner="mei")
    assert "this user" in str(await limited.refusal(APP, owner="mei"))
    assert (await limited.ask(APP, owner="ben"))["x-ratelimit-remaining-requests"] == "1"


async def test_all_people_of_a_key_together_have_one_too() -> None:
    limited = Limited(owner=2, serving_account=5)
    for number in range(5):
        await limited.ask(APP, owner=str(number))
    assert "this API key:" in str(await limited.refusal(APP, owner="new"))


async def test_who_is_refused_uses_up_nothing_of_what_the_others_have() -> None:
    limited = Limited(owner=60, serving_account=600)
    for _ in range(60):
        await limited.ask(APP, owner="mei")
    for _ in range(540):
        await limited.refusal(APP, owner="mei")
    account = await limited.store.take((Claim("serving/app", Limit(600)),))
    assert account.standings[0].remaining == 600 - 60 - 1
    await limited.ask(APP, owner="ben")


async def test_a_request_that_names_nobody_counts_for_the_account_all_the_same() -> None:
    for owner_follows in (True, False):
        limited = Limited(serving_account=3)
        limited.owner_follows = owner_follows
        left = [(await limited.ask(APP))["x-ratelimit-remaining-requests"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        if owner_follows:
            await limited.ask(APP)  # it was over when the count was made; the next one is turned away
        assert "this API key:" in str(await limited.refusal(APP))


async def test_an_account_that_was_refused_is_refused_at_the_gate_until_its_time() -> None:
    limited = Limited(owner=60, serving_account=2)
    for name in ("mei", "ben"):
        await limited.ask(APP, owner=name)
    first = await limited.refusal(APP, owner="eve")
    asked = limited.store.asked
    limited.clock.advance(timedelta(seconds=10))
    second = await limited.refusal(APP, owner="eve")
    assert limited.store.asked == asked
    assert second.retry_after_s == first.retry_after_s - 10 == 20
    assert limited.told["x-ratelimit-remaining-requests"] == "0"
    limited.clock.advance(timedelta(seconds=20))
    await limited.ask(APP, owner="eve")


async def test_a_route_that_did_not_say_that_an_owner_follows_counts_both_one_after_the_other() -> None:
    limited = Limited(owner=60, serving_account=10)
    limited.owner_follows = False
    for number in range(9):
        await limited.ask(APP, owner=str(number))
    told = await limited.ask(APP, owner="new")
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("10", "0")


async def test_the_tighter_of_account_and_person_is_told() -> None:
    limited = Limited(owner=60, serving_account=600)
    told = await limited.ask(APP, owner="mei")
    assert told["x-ratelimit-limit-requests"] == "60"
    for number in range(550):
        await limited.ask(APP, owner=str(number))
    told = await limited.ask(APP, owner="ben")
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("600", "48")


async def test_strangers_do_not_shut_out_a_known_key_that_serves_many_at_their_address() -> None:
    limited = Limited(owner=60, address=2, serving_account=600)
    await limited.ask(None)
    await limited.ask(None)
    await limited.refusal(None)
    await limited.ask(APP, owner="mei")
    await limited.refusal(ANNA)


async def test_naming_others_gets_an_ordinary_key_nothing() -> None:
    limited = Limited(owner=3)
    for name in ("mei", "ben", "eve"):
        await limited.ask(ANNA, owner=name)
    await limited.refusal(ANNA, owner="new")


async def test_where_nothing_is_limited_nothing_is_asked_or_told() -> None:
    limited = Limited()
    for caller in (ANNA, APP, None):
        assert await limited.ask(caller, owner="x") == {}
    assert limited.store.asked == 0
