"""What runs beside the requests: sealing the audit log, and the work that turns leave behind."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cozy_domain.audit.ports import AuditLog
from cozy_domain.audit.sealer import seal_once
from cozy_domain.errors import StorageError
from cozy_domain.learning.worker import Worker

BATCH = 1_000
_log = logging.getLogger(__name__)


class Sealing:
    """Seals the audit log every ``every_s`` seconds, at most 5 (settled question 20)."""

    def __init__(self, log: AuditLog, key: bytes, every_s: float) -> None:
        self._audit = log
        self._key = key
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set, and once more after that, so that an orderly end leaves no tail."""
        while not stop.is_set():
            await self._seal_all()
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                pass
        await self._seal_all()

    async def _seal_all(self) -> None:
        try:
            while await seal_once(self._audit, self._key, BATCH) == BATCH:
                pass
        except StorageError:
            _log.warning("audit_not_sealed")


@asynccontextmanager
async def upkeep(sealing: Sealing, worker: Worker) -> AsyncIterator[None]:
    """Both run inside, and have ended after it."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sealing.run(stop), name="audit sealer")
        tasks.create_task(worker.run(stop), name="worker")
        try:
            yield
        finally:
            stop.set()
