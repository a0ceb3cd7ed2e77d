"""What runs beside the requests: sealing and anchoring the audit log, the work that turns leave behind, the look for a
model where none was found yet, and for personas whose files changed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cozy_domain.audit.ports import AuditAnchor, AuditLog
from cozy_domain.audit.sealer import Anchoring, anchor_once, seal_once
from cozy_domain.errors import StorageError
from cozy_domain.learning.worker import Worker
from cozy_server.model_choice import LiveConfiguration
from cozy_server.persona_reload import PersonaReload

BATCH = 200
"""Records sealed at once: 2 ms during which nothing else is done, neither here nor by the store's writer."""
_log = logging.getLogger(__name__)


class Sealing:
    """Seals the audit log every ``every_s`` seconds, at most 5 (settled question 20)."""

    def __init__(self, log: AuditLog, anchor: AuditAnchor, key: bytes, every_s: float) -> None:
        self._audit = log
        self._anchor = anchor
        self._key = key
        self._every_s = every_s
        self._found: Anchoring = "kept"

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
            return
        try:
            self._tell(await anchor_once(self._audit, self._anchor, self._key))
        except StorageError as error:
            _log.warning("audit_not_anchored", extra={"reason": str(error)})

    def _tell(self, found: Anchoring) -> None:
        """A fault once, not every few seconds."""
        if found in ("cut_off", "anchor_forged") and found != self._found:
            _log.error("audit_tampered", extra={"fault": found})
        elif found == "made":
            _log.info("audit_anchor_made")
        self._found = found


@asynccontextmanager
async def upkeep(
    sealing: Sealing, worker: Worker, configuration: LiveConfiguration, personas: PersonaReload
) -> AsyncIterator[None]:
    """All run inside, and have ended after it."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sealing.run(stop), name="audit sealer")
        tasks.create_task(worker.run(stop), name="worker")
        tasks.create_task(configuration.keep_looking(stop), name="look for a model")
        tasks.create_task(personas.run(stop), name="reload personas")
        try:
            yield
        finally:
            stop.set()
