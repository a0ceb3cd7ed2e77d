"""Our server for the second cell: in every session 20 turns of history, and in the in-memory engines 1,000 facts and a
profile. Everything else is the server that `cozy serve` runs, with its settings from the folder it is started in.

``python -m tests.bench.chat.session ACCOUNT PORT``
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import uvloop
from dependency_injector import providers

from cozy_adapters.inmemory.memory import InMemoryChatMemory
from cozy_adapters.inmemory.profile import InMemoryProfileStore
from cozy_adapters.sql.history import SqlTurnHistory
from cozy_domain.ids import Owner, SessionId
from cozy_domain.memory import Fact
from cozy_domain.profile import Slot
from cozy_domain.sessions.session import PastTurn
from cozy_server.app import create_app
from cozy_server.cli.composition import container_of
from cozy_server.cli.given import settings_from
from cozy_server.container.container import Container
from cozy_server.serving import listen, serve, tune_interpreter
from cozy_server.telemetry import configure_logs
from tests.bench.chat.figures import TURNS

FACTS = 1_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_THINGS = (
    "tea",
    "the harbour",
    "old maps",
    "rain",
    "chess",
    "her brother",
    "trains",
    "the garden",
    "jazz",
    "bread",
)
_WAYS = (
    "likes",
    "asked about",
    "dreams of",
    "told a story of",
    "lost",
    "bought",
    "fears",
    "misses",
    "collects",
)
_PROFILE = {"name": "Anna", "city": "Hamburg", "language": "English", "work": "nurse", "pet": "a grey cat"}


class FirstTurns(SqlTurnHistory):
    """Reads the same part of a session however long the run made it."""

    async def turns(self, owner: Owner, session: SessionId, since: int, before: int) -> tuple[PastTurn, ...]:
        return await super().turns(owner, session, since, min(before, TURNS + 1))


async def fill(memory: InMemoryChatMemory, profile: InMemoryProfileStore, owner: Owner) -> None:
    for number in range(FACTS):
        way, thing = _WAYS[number % len(_WAYS)], _THINGS[number // len(_WAYS) % len(_THINGS)]
        text = (
            f"Anna {way} {thing} since the summer of {1920 + number % 100}, and said hello on day {number}."
        )
        await memory.remember(owner, Fact(UUID(int=number), text, _START + timedelta(hours=number)))
    for name, value in _PROFILE.items():
        await profile.put(owner, Slot(name, value))


def filled(account: str) -> Container:
    container = container_of(settings_from())
    memory, profile = InMemoryChatMemory(), InMemoryProfileStore()
    asyncio.run(fill(memory, profile, Owner(account, account)))
    container.memory.override(providers.Object(memory))
    container.profile.override(providers.Object(profile))
    container.history.override(providers.Singleton(FirstTurns, container.database))
    return container


def main(account: str, port: int) -> None:
    container = filled(account)
    settings = container.settings()
    configure_logs(settings.telemetry.log_level)
    listening = listen("127.0.0.1", port)
    app = create_app(container)
    uvloop.run(serve(app, [listening], settings.server, on_ready=lambda _: tune_interpreter()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
