"""`cozy db`: the store's schema, its health, and copies of it."""

import asyncio
from pathlib import Path

import typer

from cozy_domain.errors import ConfigError
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED, as_json_text
from cozy_server.container.container import Container
from cozy_server.container.store import StoreMaintenance, StoreState
from cozy_server.data_folder import AUDIT_ANCHOR, AUDIT_KEY, folder, prepare
from cozy_server.settings.load import Loaded

LONG_S = 86_400.0
"""Who asks for a check waits for it."""


def current(data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: the store cannot be looked at.
    """
    state = asyncio.run(_maintenance(settings_from(data=data, config=config)).look(0.0))
    if as_json:
        typer.echo(as_json_text(row(state)))
        return
    typer.echo(f"{state.place}: {_schema(state)}")


def check(data: str | None, config: str | None, *, as_json: bool) -> None:
    """Exits 1 when the schema is not the newest, or the file is damaged.

    Raises:
        CozyError: the store cannot be looked at.
    """
    state = asyncio.run(_maintenance(settings_from(data=data, config=config)).look(LONG_S))
    if as_json:
        typer.echo(as_json_text({**row(state), "ok": is_sound(state)}))
    else:
        typer.echo(f"{state.place}: {_schema(state)}")
        for complaint in state.damage:
            typer.echo(f"damaged: {complaint}")
        if state.checked and not state.damage:
            typer.echo("The file is whole.")
    if not is_sound(state):
        raise typer.Exit(FAILED)


def upgrade(data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: it could not be migrated; a server that runs on the file must be stopped first.
    """
    loaded = settings_from(data=data, config=config)
    prepare(folder(loaded.settings))
    _tell(asyncio.run(_changed(_maintenance(loaded), None)), as_json=as_json)


def downgrade(revision: str, data: str | None, config: str | None, *, yes: bool, as_json: bool) -> None:
    """
    Raises:
        ConfigError: it was not confirmed, or there is no such revision.
        CozyError: it could not be migrated.
    """
    if not yes:
        raise ConfigError(
            "going back loses what only the newer schema can hold",
            hint="Make a copy first (`cozy db backup FILE`), then add --yes.",
        )
    loaded = settings_from(data=data, config=config)
    _tell(asyncio.run(_changed(_maintenance(loaded), revision)), as_json=as_json)


def backup(target: str, data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: nothing was copied.
    """
    loaded = settings_from(data=data, config=config)
    file = Path(target)
    size = asyncio.run(_maintenance(loaded).backup(file))
    if as_json:
        typer.echo(as_json_text({"file": str(file), "bytes": size}))
        return
    place = folder(loaded.settings)
    typer.echo(f"{file}: {size} bytes.")
    typer.echo(f"Keep with it: {place / AUDIT_KEY} and {place / AUDIT_ANCHOR}.", err=True)


def row(state: StoreState) -> dict[str, object]:
    """As JSON."""
    return {
        "kind": state.kind,
        "place": state.place,
        "version": state.version,
        "exists": state.exists,
        "revision": state.revision,
        "head": state.head,
        "bytes": state.bytes,
        "in_use": state.in_use,
        "damage": list(state.damage),
    }


def is_sound(state: StoreState) -> bool:
    return state.is_current and not state.damage


async def _changed(maintenance: StoreMaintenance, revision: str | None) -> StoreState:
    await (maintenance.upgrade() if revision is None else maintenance.downgrade(revision))
    return await maintenance.look(0.0)


def _maintenance(loaded: Loaded) -> StoreMaintenance:
    maintenance: StoreMaintenance = Container(settings=loaded.settings, audit_key=b"").maintenance()
    return maintenance


def _tell(state: StoreState, *, as_json: bool) -> None:
    typer.echo(as_json_text(row(state)) if as_json else f"{state.place}: {_schema(state)}")


def _schema(state: StoreState) -> str:
    if not state.exists:
        return "there is no store yet; a server makes one, and so does `cozy db upgrade`"
    if state.revision is None or not state.revision:
        return "there is no schema of ours yet; a server makes it, and so does `cozy db upgrade`"
    if state.is_current:
        return f"schema {state.revision}, the newest"
    return f"schema {state.revision}; the newest is {state.head}: `cozy db upgrade`"
