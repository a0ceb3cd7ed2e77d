"""Connections to Postgres that are kept open.

A pool of our own: asyncpg's costs a fifth of a turn's CPU (a proxy, a reset and a task for each use), and we need none of
these, because a connection of ours is given back clean or not at all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg

from cozy_adapters.sql.postgres_failures import BROKEN, kind_of
from cozy_domain.errors import StorageUnavailableError

CLOSE_S = 1.0


class ConnectionPool:
    """At most ``size`` connections, opened by ``connect`` when they are needed; who finds none free waits ``wait_s``.

    One that was idle for ``rested_s`` is asked before it is used, and has ``ping_s`` to answer: a firewall may have
    forgotten it without a word.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        *,
        size: int,
        wait_s: float,
        rested_s: float,
        ping_s: float,
    ) -> None:
        self._connect = connect
        self._size = size
        self._wait_s = wait_s
        self._rested_s = rested_s
        self._ping_s = ping_s
        self._free = asyncio.Semaphore(size)
        self._idle: list[tuple[asyncpg.Connection, float]] = []
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """One connection. A transaction that is left open by an error is rolled back; by a cancellation, the server
        does it when it finds the connection gone.

        Raises:
            StorageUnavailableError: none is free, no new one can be made, or the pool is closed.
        """
        await self._permitted()
        try:
            connection = await self._taken()
            try:
                yield connection
            except BaseException as error:
                if not isinstance(error, Exception) or not await _is_clean(connection, error):
                    connection.terminate()
                raise
            finally:
                self._give_back(connection)
        finally:
            self._free.release()

    async def aclose(self) -> None:
        """Waits for those in use (every use is bounded), then closes."""
        self._closed = True
        for _ in range(self._size):
            await self._free.acquire()
        await asyncio.gather(*(_close(connection) for connection, _ in self._idle))
        self._idle.clear()
        for _ in range(self._size):
            self._free.release()

    async def _permitted(self) -> None:
        if self._closed:
            raise StorageUnavailableError("the database is closed")
        if self._free.locked():
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._free.acquire()
            except TimeoutError:
                raise StorageUnavailableError(
                    f"the database does not answer: all {self._size} connections were in use for {self._wait_s:g} s",
                    hint="Raise database.pool_size, if the server has connections left.",
                ) from None
        else:
            await self._free.acquire()

    async def _taken(self) -> asyncpg.Connection:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            fresh = now - since < self._rested_s
            if not connection.is_closed() and (fresh or await _answers(connection, self._ping_s)):
                return connection
            connection.terminate()
        return await self._connect()

    def _give_back(self, connection: asyncpg.Connection) -> None:
        if not connection.is_closed():
            self._idle.append((connection, asyncio.get_running_loop().time()))


async def _is_clean(connection: asyncpg.Connection, error: Exception) -> bool:
    """Whether the connection can be used again after ``error``, with nothing left of the transaction."""
    if connection.is_closed() or kind_of(error) in {"lost", "unavailable"}:
        return False
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, *BROKEN):
        return False
    except BaseException:
        connection.terminate()
        raise
    return True


async def _answers(connection: asyncpg.Connection, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await connection.execute("SELECT 1")
    except (asyncpg.PostgresError, *BROKEN):
        return False
    except BaseException:
        connection.terminate()
        raise
    return True


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=CLOSE_S)
    except (asyncpg.PostgresError, *BROKEN):
        connection.terminate()
