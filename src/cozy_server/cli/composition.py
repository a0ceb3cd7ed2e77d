"""From settings to a container whose store is open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from cozy_domain.errors import ConfigError, StorageUnavailableError
from cozy_server.container.container import Container
from cozy_server.data_folder import audit_key, missing_store
from cozy_server.settings.load import Loaded

IN_USE = "storage_in_use"
MODEL = ("models", "default")

Role = Literal["server", "guest", "reader"]


def container_of(loaded: Loaded, *, role: Role = "server", development: bool = False) -> Container:
    """
    Raises:
        ConfigError: there is no audit key, and only development may make one.
    """
    key = audit_key(loaded.settings, generate=development)
    return Container(
        settings=loaded.settings,
        audit_key=key,
        database_role=role,
        development=development,
        environment=loaded.variables,
        default_origin=loaded.origin(MODEL),
    )


@asynccontextmanager
async def store_beside(loaded: Loaded) -> AsyncIterator[Container]:
    """A container whose store is open, also while a server has it: then as that server's guest.

    Raises:
        ConfigError: there is no audit key.
        StorageUnavailableError: the store cannot be used.
    """
    container = container_of(loaded)
    try:
        await container.database().aopen()
    except StorageUnavailableError as error:
        if error.code != IN_USE:
            raise
        container = container_of(loaded, role="guest")
        await container.database().aopen()
    try:
        yield container
    finally:
        await container.database().aclose()


@asynccontextmanager
async def store_to_read(loaded: Loaded) -> AsyncIterator[Container]:
    """A container whose store is open for reading alone.

    Raises:
        ConfigError: there is no store yet, or no audit key.
        StorageUnavailableError: the store cannot be read.
    """
    if file := missing_store(loaded.settings):
        raise ConfigError(f"there is no store at {file}", hint="Name its folder with --data or COZY_DATA.")
    container = container_of(loaded, role="reader")
    await container.database().aopen()
    try:
        yield container
    finally:
        await container.database().aclose()
