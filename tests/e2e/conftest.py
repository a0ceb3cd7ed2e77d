"""A running server for tests that need nothing special of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fixtures.fake_openai.plugin import fake_openai as fake_openai
from tests.fixtures.redis import RedisServer
from tests.fixtures.server import Running, container_for, running, settings_for


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    """`cozy dev` with the offline model."""
    async with running(container_for(settings_for(tmp_path))) as started:
        yield started


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """One that a test may stop."""
    server = RedisServer()
    server.start()
    yield server
    server.close()
