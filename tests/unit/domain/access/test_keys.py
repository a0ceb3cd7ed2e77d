"""API keys: what they look like, and whom they let in."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.access.caller import Caller
from cozy_domain.access.keys import ApiKey, caller_of, hash_of, prefix_of, render

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOKEN = render(b"public", b"s" * 32)


def key(token: str = TOKEN) -> ApiKey:
    return ApiKey(UUID(int=1), prefix_of(token) or "", hash_of(token), "laptop", "acme", "admin", NOW, True)


@given(st.binary(min_size=6, max_size=6), st.binary(min_size=32, max_size=32))
def test_a_rendered_key_has_its_form_and_lets_its_account_in(public: bytes, secret: bytes) -> None:
    token = render(public, secret)
    assert len(token) == 3 + 8 + 1 + 43
    assert prefix_of(token) == token[3:11]
    assert caller_of(key(token), token, NOW) == Caller("acme", "admin", True, UUID(int=1))


@pytest.mark.parametrize(("public", "secret"), [(5, 32), (7, 32), (6, 31), (6, 33)])
def test_a_key_of_another_size_is_not_made(public: int, secret: int) -> None:
    with pytest.raises(ValueError, match="6 public and 32 secret"):
        render(b"p" * public, b"s" * secret)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "cz_",
        TOKEN[:-1],
        TOKEN + "x",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.replace("cz_", "sk_"),
        TOKEN[:-1] + "*",
    ],
)
def test_what_has_not_the_form_of_a_key_has_no_public_part(token: str) -> None:
    assert prefix_of(token) is None


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("aZ9-_"))
def test_one_other_character_is_another_key(place: int, letter: str) -> None:
    other = TOKEN[:place] + letter + TOKEN[place + 1 :]
    assert (caller_of(key(), other, NOW) is None) == (other != TOKEN)


def test_a_revoked_key_lets_nobody_in() -> None:
    assert caller_of(replace(key(), revoked_at=NOW + timedelta(days=1)), TOKEN, NOW) is None


def test_a_key_ends_at_its_time() -> None:
    ending = replace(key(), expires_at=NOW)
    assert caller_of(ending, TOKEN, NOW - timedelta(microseconds=1)) is not None
    assert caller_of(ending, TOKEN, NOW) is None


def test_a_caller_owns_what_its_subject_owns() -> None:
    caller = Caller("acme")
    assert caller.owner("anna") != caller.owner("bert")
    assert caller.owner(None) == caller.owner("acme") == caller.owner("")


@pytest.mark.parametrize(
    ("serves_many", "subject", "personal"),
    [
        (False, None, True),
        (False, "anna", True),
        (True, "anna", True),
        (True, None, False),
        (True, "", False),
    ],
)
def test_a_caller_that_serves_many_is_personal_only_with_a_subject(
    serves_many: bool, subject: str | None, personal: bool
) -> None:
    assert Caller("acme", serves_many=serves_many).is_personal(subject) is personal
