"""API keys: ``cz_<8 public characters>_<43 secret characters>``. Only a hash of the whole is ever stored (pure).

The secret is 256 random bits, so a plain SHA-256 protects it: there is nothing to guess, unlike a password.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import msgspec

from cozy_domain.access.caller import Caller, Role

PREFIX = "cz_"
PUBLIC_BYTES = 6
SECRET_BYTES = 32
_FORM = re.compile(r"cz_([A-Za-z0-9_-]{8})_[A-Za-z0-9_-]{43}")


class ApiKey(msgspec.Struct, frozen=True):
    """``prefix`` is the public part, ``hash`` the SHA-256 of the whole key in hex."""

    id: UUID
    prefix: str
    hash: str
    name: str
    account: str
    role: Role
    created_at: datetime
    serves_many: bool = False
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


def render(public: bytes, secret: bytes) -> str:
    """The key to show once, from 6 and 32 random bytes."""
    if len(public) != PUBLIC_BYTES or len(secret) != SECRET_BYTES:
        raise ValueError("a key is made of 6 public and 32 secret random bytes")
    return f"{PREFIX}{_letters(public)}_{_letters(secret)}"


def prefix_of(token: str) -> str | None:
    """The public part, or None when the token does not have a key's form."""
    match = _FORM.fullmatch(token)
    return match[1] if match else None


def hash_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def caller_of(key: ApiKey, token: str, now: datetime) -> Caller | None:
    """Who asks with ``token``, or None when it is not this key, or the key has ended. Compares in constant time."""
    genuine = hmac.compare_digest(key.hash, hash_of(token))
    alive = key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
    if not (genuine and alive):
        return None
    return Caller(account=key.account, role=key.role, serves_many=key.serves_many, key=key.id)


def _letters(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
