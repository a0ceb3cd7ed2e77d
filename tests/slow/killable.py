"""The server as it is, with one addition: its turn store says where each turn stands.

``python -m tests.slow.killable DATA CONFIG [--late]`` serves the real application on a free port, with its store in DATA
and its settings in CONFIG. On standard output: ``port N``, then a line ``PHASE TURN`` whenever a turn enters a phase.
Each phase is held open for a moment, so that a kill can fall into it.

``--late`` is the fault that the kill test must find: the turn's end is committed after the caller was told that it is.
"""

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from dependency_injector import providers

from cozy_adapters.sql.turns import SqlTurnStore
from cozy_domain.audit.events import AuditRecord
from cozy_domain.ids import TurnId
from cozy_domain.sessions.ports import TurnStore
from cozy_domain.sessions.turn import Opened, Opening, ReapedTurn, TurnClosed, TurnOpened
from cozy_server.app import create_app
from cozy_server.cli.composition import container_of
from cozy_server.cli.given import settings_from
from cozy_server.serving import listen, serve
from cozy_server.telemetry import configure_logs

HELD_S = 0.004
"""How long a phase that would be over too soon is held open at most, on each side of the commit."""
LATE_S = 0.05


class AnnouncingTurnStore:
    """A turn store that says before and after each commit where the turn stands."""

    def __init__(self, inner: TurnStore, *, late: bool) -> None:
        self._inner = inner
        self._late = late
        self._overdue: set[asyncio.Task[None]] = set()

    async def open(self, turn: TurnOpened) -> Opening:
        _announce("before_open", turn.turn)
        await _hold()
        opening = await self._inner.open(turn)
        if isinstance(opening, Opened):
            _announce("assembling", turn.turn)
            await _hold()
        return opening

    async def checkpoint(self, turns: tuple[tuple[TurnId, str], ...], lease_until: datetime) -> None:
        await self._inner.checkpoint(turns, lease_until)

    async def close(self, turn: TurnClosed) -> None:
        _announce("closing", turn.turn)
        await _hold()
        if self._late:
            task = asyncio.ensure_future(self._close_late(turn))
            self._overdue.add(task)
            task.add_done_callback(self._overdue.discard)
            return
        await self._inner.close(turn)
        await _hold()

    async def reap(
        self, now: datetime, recorded: Callable[[ReapedTurn], AuditRecord] | None = None
    ) -> tuple[ReapedTurn, ...]:
        return await self._inner.reap(now, recorded)

    async def _close_late(self, turn: TurnClosed) -> None:
        await asyncio.sleep(LATE_S)
        await self._inner.close(turn)


def _announce(phase: str, turn: TurnId) -> None:
    """Straight into the pipe: what was written before the kill is read after it."""
    os.write(sys.stdout.fileno(), f"{phase} {turn}\n".encode())


async def _hold() -> None:
    await asyncio.sleep(random.uniform(0, HELD_S))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("config")
    parser.add_argument("--late", action="store_true")
    given = parser.parse_args(arguments)
    loaded = settings_from(data=given.data, config=given.config, development=True)
    container = container_of(loaded, development=True)
    store = AnnouncingTurnStore(SqlTurnStore(container.database()), late=given.late)
    container.turns.override(providers.Object(store))
    configure_logs("warning")
    socket = listen("127.0.0.1", 0)
    port = socket.getsockname()[1]
    asyncio.run(
        serve(
            create_app(container),
            [socket],
            loaded.settings.server,
            on_ready=lambda _: _announce_port(port),
        )
    )


def _announce_port(port: int) -> None:
    os.write(sys.stdout.fileno(), f"port {port}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1:])
