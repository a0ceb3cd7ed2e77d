"""`cozy keys`: who may ask."""

import asyncio
import secrets
from datetime import datetime, timedelta

import msgspec
import typer
from msgspec.structs import replace

from cozy_domain.access.caller import Role
from cozy_domain.access.keys import PREFIX, PUBLIC_BYTES, SECRET_BYTES, ApiKey, hash_of, prefix_of, render
from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AuditRecord, OperatorActed
from cozy_domain.errors import ConfigError, MissingError
from cozy_server.cli.composition import store_beside
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import as_json_text, show, when
from cozy_server.container.container import Container
from cozy_server.settings.load import Loaded


class WantedKey(msgspec.Struct, frozen=True):
    name: str
    account: str
    role: Role
    serves_many: bool
    days: int | None


def create(wanted: WantedKey, data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        ConfigError: it has no name that could be shown.
        CozyError: the key could not be stored.
    """
    if not wanted.name.strip() or not wanted.name.isprintable():
        raise ConfigError("a key needs a name of printable characters", hint="`cozy keys create ann`, say.")
    key, secret = asyncio.run(_create(settings_from(data=data, config=config), wanted))
    _tell_secret(key, secret, as_json=as_json)


def show_all(data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: the keys could not be read.
    """
    keys, now = asyncio.run(_list(settings_from(data=data, config=config)))
    show(
        [_row(key) if as_json else _short_row(key, now) for key in keys],
        as_json=as_json,
        empty="There is no API key. `cozy keys create NAME` makes one.",
    )


def revoke(named: str, data: str | None, config: str | None, *, as_json: bool) -> None:
    """A key that has been revoked before keeps its time.

    Raises:
        MissingError: there is no such key.
    """
    key, ended = asyncio.run(_revoke(settings_from(data=data, config=config), named))
    if as_json:
        typer.echo(as_json_text(_row(ended)))
        return
    told = "has ended" if key.revoked_at is None else f"had ended before, at {when(key.revoked_at)}"
    typer.echo(f"{PREFIX}{key.prefix}… ({key.name}) {told}.")


def rotate(named: str, data: str | None, config: str | None, *, as_json: bool) -> None:
    """The new key has the old one's name, account, role and end.

    Raises:
        MissingError: there is no such key.
        ConfigError: it has ended.
    """
    key, secret = asyncio.run(_rotate(settings_from(data=data, config=config), named))
    _tell_secret(key, secret, as_json=as_json)


def _tell_secret(key: ApiKey, secret: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(as_json_text({**_row(key), "key": secret}))
        return
    typer.echo(secret)
    typer.echo("Keep it: it is not shown again, and only its hash is stored.", err=True)


async def _create(loaded: Loaded, wanted: WantedKey) -> tuple[ApiKey, str]:
    async with store_beside(loaded) as container:
        now = container.clock().now()
        secret = _new_secret()
        key = ApiKey(
            id=container.ids().new(),
            prefix=prefix_of(secret) or "",
            hash=hash_of(secret),
            name=wanted.name,
            account=wanted.account,
            role=wanted.role,
            created_at=now,
            serves_many=wanted.serves_many,
            expires_at=now + timedelta(days=wanted.days) if wanted.days else None,
        )
        await container.key_store().add(key)
        await _remember(container, "key.create", key)
    return key, secret


async def _list(loaded: Loaded) -> tuple[tuple[ApiKey, ...], datetime]:
    async with store_beside(loaded) as container:
        return await container.key_store().list(), container.clock().now()


async def _rotate(loaded: Loaded, named: str) -> tuple[ApiKey, str]:
    """First the new key, then the end of the old one: what fails in between leaves one too many, not none."""
    async with store_beside(loaded) as container:
        old = await _found(container, named)
        now = container.clock().now()
        if old.revoked_at or (old.expires_at and old.expires_at <= now):
            raise ConfigError(
                f"the API key '{named}' has ended", hint="Make another one: `cozy keys create`."
            )
        secret = _new_secret()
        key = replace(
            old,
            id=container.ids().new(),
            prefix=prefix_of(secret) or "",
            hash=hash_of(secret),
            created_at=now,
        )
        await container.key_store().add(key)
        await _remember(container, "key.create", key)
        await container.key_store().revoke(old.id, now)
        await _remember(container, "key.revoke", old)
    return key, secret


async def _revoke(loaded: Loaded, named: str) -> tuple[ApiKey, ApiKey]:
    """The key as it was before, and as it is now."""
    async with store_beside(loaded) as container:
        key = await _found(container, named)
        now = container.clock().now()
        if key.revoked_at is None:
            await container.key_store().revoke(key.id, now)
            await _remember(container, "key.revoke", key)
    return key, key if key.revoked_at else replace(key, revoked_at=now)


async def _found(container: Container, named: str) -> ApiKey:
    """
    Raises:
        MissingError: there is no such key.
    """
    keys = await container.key_store().list()
    key = next((it for it in keys if named.removeprefix(PREFIX) in (str(it.id), it.prefix)), None)
    if key is None:
        raise MissingError(f"there is no API key '{named}'", hint="`cozy keys list` shows the prefixes.")
    return key


def _new_secret() -> str:
    return render(secrets.token_bytes(PUBLIC_BYTES), secrets.token_bytes(SECRET_BYTES))


async def _remember(container: Container, action: str, key: ApiKey) -> None:
    record = AuditRecord(
        id=container.ids().new(),
        at=container.clock().now(),
        event=OperatorActed(action, str(key.id)),
        account=key.account,
    )
    await container.audit().write((sign(container.audit_key(), record),))


def _row(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "prefix": f"{PREFIX}{key.prefix}",
        "name": key.name,
        "account": key.account,
        "role": key.role,
        "serves_many": key.serves_many,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _short_row(key: ApiKey, now: datetime) -> dict[str, object]:
    """What fits a terminal: the prefix names a key as well as its id does."""
    ends = key.revoked_at or key.expires_at
    state = "revoked" if key.revoked_at else "expired" if ends and ends <= now else "alive"
    return {
        "prefix": f"{PREFIX}{key.prefix}",
        "name": key.name,
        "account": key.account,
        "role": f"{key.role}, for many" if key.serves_many else key.role,
        "state": state,
        "created": key.created_at,
        "end": ends,
    }
