"""Who asks: keys, the two doors, and what is audited of a refusal."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.datastructures import Headers
from msgspec.structs import replace

from cozy_adapters.inmemory.audit import InMemoryAuditLog
from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_adapters.inmemory.ids import InMemoryIds
from cozy_adapters.inmemory.keys import InMemoryKeyStore
from cozy_domain.access.caller import Caller
from cozy_domain.access.keys import ApiKey, hash_of, prefix_of, render
from cozy_domain.audit.chain import is_genuine
from cozy_domain.audit.events import AccessRefused
from cozy_domain.errors import AccessError
from cozy_server.auth import (
    AUDIT_EVERY_NS,
    DEVELOPER,
    MOST_REMEMBERED,
    DevelopmentDoor,
    Door,
    KeyDoor,
    Keys,
    RefusalLog,
    is_loopback,
    is_own_page,
    token_of_socket,
)

LOOPBACK = {"host": "127.0.0.1:8000"}
AUDIT_KEY = b"k" * 32


def made(number: int = 1, account: str = "acme") -> tuple[str, ApiKey]:
    token = render(number.to_bytes(6, "big"), number.to_bytes(32, "big"))
    key = ApiKey(
        id=UUID(int=number),
        prefix=prefix_of(token) or "",
        hash=hash_of(token),
        name="a key",
        account=account,
        role="user",
        created_at=InMemoryClock().now(),
    )
    return token, key


class CountingKeyStore(InMemoryKeyStore):
    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0

    async def find(self, prefix: str) -> ApiKey | None:
        self.lookups += 1
        return await super().find(prefix)


class Access:
    """Keys on a store and a clock that the test moves."""

    def __init__(self) -> None:
        self.store = CountingKeyStore()
        self.clock = InMemoryClock()
        self.keys = Keys(self.store, self.clock)

    async def key(self, number: int = 1, **changes: object) -> str:
        token, key = made(number)
        await self.store.add(replace(key, **changes))
        self.store.lookups = 0
        return token


def bearer(token: str, **headers: str) -> Headers:
    return Headers({"authorization": f"Bearer {token}", **LOOPBACK, **headers})


async def refusal(door: Door, headers: Headers) -> str:
    with pytest.raises(AccessError) as caught:
        await door.caller(headers)
    return caught.value.code


async def test_a_key_tells_its_account_and_role() -> None:
    access = Access()
    token = await access.key(role="admin")
    caller = await KeyDoor(access.keys).caller(bearer(token))
    assert caller == Caller(account="acme", role="admin", key=UUID(int=1))


async def test_the_scheme_is_read_in_any_case() -> None:
    access = Access()
    token = await access.key()
    caller = await KeyDoor(access.keys).caller(Headers({"authorization": f"bearer {token}"}))
    assert caller.account == "acme"


@pytest.mark.parametrize(
    "header", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "Basic a"}]
)
async def test_no_credential_is_missing_and_not_wrong(header: dict[str, str]) -> None:
    assert await refusal(KeyDoor(Access().keys), Headers(header)) == "missing_api_key"


@pytest.mark.parametrize(
    "token", ["sk-other", "cz_", "cz_12345678_short", "cz_12345678_" + "x" * 43, "x" * 10_000]
)
async def test_a_made_up_key_is_refused(token: str) -> None:
    access = Access()
    await access.key()
    assert await refusal(KeyDoor(access.keys), bearer(token)) == "invalid_api_key"


async def test_the_right_prefix_with_another_secret_is_refused() -> None:
    access = Access()
    token = await access.key()
    other = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert prefix_of(other) == prefix_of(token)
    assert await refusal(KeyDoor(access.keys), bearer(other)) == "invalid_api_key"


async def test_an_expired_key_is_refused() -> None:
    access = Access()
    token = await access.key(expires_at=access.clock.now() + timedelta(seconds=10))
    assert (await access.keys.caller(token)).account == "acme"
    access.clock.advance(timedelta(seconds=10))
    assert await refusal(KeyDoor(access.keys), bearer(token)) == "invalid_api_key"


async def test_a_revoked_key_dies_within_five_seconds() -> None:
    access = Access()
    token = await access.key()
    await access.keys.caller(token)
    await access.store.revoke(UUID(int=1), access.clock.now())
    access.clock.advance(timedelta(seconds=5))
    assert await refusal(KeyDoor(access.keys), bearer(token)) == "invalid_api_key"


async def test_a_key_is_known_as_long_as_it_was_good_when_it_was_last_looked_up() -> None:
    access = Access()
    token = await access.key()
    doors: tuple[Door, ...] = (KeyDoor(access.keys), DevelopmentDoor(access.keys))
    assert [door.known(bearer(token)) for door in doors] == [None, None]
    await access.keys.caller(token)
    access.clock.advance(timedelta(hours=1))
    for door in doors:
        assert (known := door.known(bearer(token)))
        assert known.account == "acme"
        assert door.known(Headers(LOOPBACK)) is None
    await access.store.revoke(UUID(int=1), access.clock.now())
    assert await refusal(KeyDoor(access.keys), bearer(token)) == "invalid_api_key"
    assert [door.known(bearer(token)) for door in doors] == [None, None]


async def test_a_good_key_is_looked_up_once_in_five_seconds() -> None:
    access = Access()
    token = await access.key()
    for _ in range(3):
        await access.keys.caller(token)
    assert access.store.lookups == 1
    access.clock.advance(timedelta(seconds=5))
    await access.keys.caller(token)
    assert access.store.lookups == 2


async def test_a_wrong_key_is_not_remembered() -> None:
    access = Access()
    token, key = made()
    assert await refusal(KeyDoor(access.keys), bearer(token)) == "invalid_api_key"
    await access.store.add(key)
    assert (await access.keys.caller(token)).account == "acme"


async def test_remembered_keys_are_bounded() -> None:
    access = Access()
    tokens = [await access.key(number) for number in range(1, MOST_REMEMBERED + 3)]
    for token in tokens:
        await access.keys.caller(token)
    access.store.lookups = 0
    await access.keys.caller(tokens[-1])
    assert access.store.lookups == 0
    await access.keys.caller(tokens[0])
    assert access.store.lookups == 1


@given(
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
@settings(max_examples=30)
async def test_two_tokens_with_the_same_prefix_never_share_an_identity(
    public: bytes, secret: bytes, other: bytes
) -> None:
    access = Access()
    token = render(public, secret)
    _, key = made()
    await access.store.add(replace(key, prefix=prefix_of(token) or "", hash=hash_of(token)))
    await access.keys.caller(token)
    if other != secret:
        assert await refusal(KeyDoor(access.keys), bearer(render(public, other))) == "invalid_api_key"


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer none"}, {"authorization": "Bearer sk-abc"}])
async def test_in_development_whoever_comes_from_here_is_dev(header: dict[str, str]) -> None:
    caller = await DevelopmentDoor(Access().keys).caller(Headers({**LOOPBACK, **header}))
    assert caller == DEVELOPER


async def test_in_development_a_key_of_ours_must_be_good() -> None:
    access = Access()
    door = DevelopmentDoor(access.keys)
    assert await refusal(door, bearer("cz_wrong")) == "invalid_api_key"
    token = await access.key()
    assert (await door.caller(bearer(token))).account == "acme"


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:8000", "127.0.0.1.evil.com", "localhost.evil.com", ""]
)
async def test_in_development_a_name_that_is_not_this_machine_is_refused(host: str) -> None:
    assert await refusal(DevelopmentDoor(Access().keys), Headers({"host": host})) == "permission_denied"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8000", "127.9.9.9", "[::1]", "[::1]:8000"]
)
def test_names_of_this_machine_are_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "10.0.0.1:80",
        "[::]",
        "[2001:db8::1]",
        "localhost.",
        "[",
        ":80",
        "localhost:evil.com",
        "localhost:80:evil.com",
        "localhost:٨٠",
        "localhost\n",
        "127.0.0.1:80@evil.com",
        "127.0.0.1.evil.com",
        "[::1]evil.com",
        "[::1]:80.evil.com",
        "[localhost]x",
        "[localhost]",
        "[127.0.0.1]",
        "[::1",
        "::1",
        "127.1",
    ],
)
def test_other_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@given(st.text(max_size=60) | st.from_regex(r"\[?(localhost|127.0.0.1|::1)\]?:?.*"))
def test_any_host_header_gets_an_answer(host: str) -> None:
    assert is_loopback(host) in (True, False)


class Refusals:
    def __init__(self) -> None:
        self.conversations = InMemoryConversations()
        self.clock = InMemoryClock()
        self.log = RefusalLog(InMemoryAuditLog(self.conversations), AUDIT_KEY, InMemoryIds(), self.clock)

    async def note(self, code: str = "invalid_api_key", route: str = "/v1/models") -> None:
        await self.log.note(AccessError("no", code=code), route, "req_1")


async def test_a_refusal_is_audited_with_its_reason_and_route_and_signed() -> None:
    refusals = Refusals()
    await refusals.note()
    (record,) = refusals.conversations.records.values()
    assert record.event == AccessRefused("invalid_api_key", "/v1/models")
    assert (record.level, record.request) == ("warning", "req_1")
    assert is_genuine(AUDIT_KEY, record)


async def test_a_flood_of_refusals_is_audited_once_a_second_for_each_route_and_reason() -> None:
    refusals = Refusals()
    for _ in range(100):
        await refusals.note()
        await refusals.note(route="/v1/models/{model}")
        await refusals.note(code="missing_api_key")
    assert len(refusals.conversations.records) == 3
    refusals.clock.advance(timedelta(microseconds=AUDIT_EVERY_NS // 1_000))
    await refusals.note()
    assert len(refusals.conversations.records) == 4


async def test_a_store_that_fails_does_not_change_the_refusal() -> None:
    refusals = Refusals()
    refusals.conversations.available = False
    await refusals.note()
    assert not refusals.conversations.records


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("https://127.0.0.1:8000", True),
        ("HTTP://127.0.0.1:8000", False),
        ("https://shop.example", True),
        ("https://shop.example.evil.example", False),
        ("https://shop.example:444", False),
        ("http://127.0.0.1:8001", False),
        ("http://127.0.0.1:8000.evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
    ],
)
def test_sockets_open_from_pages_of_this_server_and_of_named_origins(origin: str | None, own: bool) -> None:
    headers = Headers({**LOOPBACK, **({} if origin is None else {"origin": origin})})
    assert is_own_page(headers, ("https://shop.example",)) is own


def socket_scope(query: bytes = b"", offered: tuple[str, ...] = ()) -> Any:
    return {"type": "websocket", "query_string": query, "subprotocols": list(offered)}


def test_a_sockets_key_may_be_a_subprotocol_or_else_stand_in_the_query() -> None:
    offered = ("realtime", "openai-insecure-api-key.cz_1_2")
    assert token_of_socket(socket_scope(offered=offered)) == "cz_1_2"
    assert token_of_socket(socket_scope(b"persona=mei&token=cz_3_4")) == "cz_3_4"
    assert token_of_socket(socket_scope(b"token=cz_3_4", offered)) == "cz_1_2"
    assert token_of_socket(socket_scope(b"token=")) is None
    assert token_of_socket(socket_scope(b"\xff&token")) is None
