"""Connections to Redis that are kept open, and scripts that run over them.

A pool of our own over the client's connections: its `Redis` and its pool take twice the CPU for each command, and what they
add (retries, health checks, notices of maintenance) must not happen on the way of a request. Who calls owns the time; here
is only a ceiling for connecting.
"""

import asyncio
from hashlib import sha1
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from cozy_domain.errors import ConfigError, StorageUnavailableError

CONNECT_S = 2.0
MOST = 32
"""Scripts take some 20 µs of Redis, so so many connections of one process are hardly ever in use at once."""
_LONGEST_REASON = 200


class Script:
    """A Lua script, run by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisConnections:
    """Opens connections to ``url`` when they are needed, at most ``most``."""

    def __init__(self, url: str, *, most: int = MOST) -> None:
        """
        Raises:
            ConfigError: ``url`` is not one of Redis.
        """
        try:
            # RESP 2: the third asks for a handshake more and gives us nothing.
            self._pool = ConnectionPool.from_url(
                url, protocol=2, socket_timeout=None, socket_connect_timeout=CONNECT_S,
                retry=Retry(NoBackoff(), 0), health_check_interval=0,
            )  # fmt: skip
            # Thrown away: only here it is seen whether the address has parameters that a connection does not.
            self._pool.make_connection()  # type: ignore[no-untyped-call]  # as redis has it
        except (
            ValueError,
            TypeError,
            RedisError,
        ):  # its text may quote the address, which may hold a password
            raise ConfigError(
                "redis.url is not of the form redis://USER:PASSWORD@HOST:PORT/DB",
                hint="rediss:// is Redis over TLS, and unix://PATH a socket of this machine. "
                "What follows a '?' must be parameters that redis-py knows.",
            ) from None
        self._free = asyncio.Semaphore(most)
        self._idle: list[AbstractConnection] = []
        self._closed = False

    async def run(self, script: Script, keys: list[str], arguments: list[int]) -> Any:
        """What ``script`` gives; it is sent whole when Redis does not know it (yet, or any more).

        Raises:
            StorageUnavailableError: Redis cannot be reached, or does not do it.
        """
        rest: tuple[str | int, ...] = (len(keys), *keys, *arguments)
        try:
            try:
                return await self._called("EVALSHA", script.digest, *rest)
            except NoScriptError:
                return await self._called("EVAL", script.text, *rest)
        except RedisError as error:
            reason = str(error)[:_LONGEST_REASON]
            raise StorageUnavailableError(f"Redis does not answer as it should: {reason}") from None

    async def aclose(self) -> None:
        self._closed = True
        await self._drop_idle()

    async def _called(self, *command: str | int) -> Any:
        async with self._free:
            if self._closed:
                raise StorageUnavailableError("the connections to Redis are closed")
            return await self._asked(await self._living_idle() or await self._connected(), command)

    async def _living_idle(self) -> AbstractConnection | None:
        """Not one that Redis has closed meanwhile. Nothing is sent twice: of what was sent over a connection that was then
        lost nobody knows whether it was done, and a request is not to be counted twice."""
        while self._idle:
            connection = self._idle.pop()
            if not _is_lost(connection):
                return connection
            await connection.disconnect(nowait=True)
        return None

    async def _asked(self, connection: AbstractConnection, command: tuple[str | int, ...]) -> Any:
        """The connection closes itself when it is left in the middle of an answer."""
        try:
            await connection.send_command(*command)
            return await connection.read_response()
        finally:
            if connection.is_connected and not self._closed:
                self._idle.append(connection)

    async def _connected(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # as redis has it
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # as above
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)


def _is_lost(connection: AbstractConnection) -> bool:
    """As far as it has been heard. The client tells only with a read, which costs a timer for each request."""
    reader = connection._reader
    return reader is None or reader.at_eof() or reader.exception() is not None
