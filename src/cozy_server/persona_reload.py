"""Personas are loaded at the start, and again when their files change.

A load swaps the catalogue whole or leaves it as it is, and a turn keeps the one that it began with. A file that is wrong
therefore stops nobody: what was live stays live, the log says what is wrong once, and `/health` says ``degraded`` until it
is mended.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from cozy_domain.errors import ConfigError, StorageError
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.persona.document import InvalidPersonaError
from cozy_server.model_choice import LiveConfiguration

_log = logging.getLogger(__name__)


class PersonaReload:
    """``look`` gives something that changes whenever a file does, at little cost; ``tools`` are those that there are,
    ``tool_servers`` the names of the MCP servers. With ``every_s`` 0 only the start loads."""

    def __init__(
        self,
        catalog: LiveCatalog,
        configuration: LiveConfiguration,
        tools: Callable[[], tuple[str, ...]],
        look: Callable[[], Awaitable[object]],
        every_s: float,
        tool_servers: tuple[str, ...] = (),
    ) -> None:
        self._catalog = catalog
        self._configuration = configuration
        self._tools = tools
        self._tool_servers = tool_servers
        self._look = look
        self._every_s = every_s
        self._loaded: object = None
        self.refused = False
        """Whether the files are not what is live, because something is wrong with them."""

    async def load(self) -> None:
        """
        Raises:
            InvalidPersonaError: something is wrong with the files; with all of it.
            ConfigError: a persona is called like an alias or a model, or its route leads nowhere.
            StorageUnavailableError: the revisions cannot be kept.
        """
        self._loaded = await self._look()
        around = self._configuration.surroundings(self._tools(), self._tool_servers)
        problems = await self._catalog.reload(around, self._configuration.refuse)
        errors = tuple(it for it in problems if it.severity == "error")
        if errors:
            raise InvalidPersonaError(errors)
        for problem in problems:
            _log.warning("persona_doubtful", extra={"told": str(problem)})

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set. What changed is loaded when it was the same in two looks: a file may be half written."""
        before = self._loaded
        while self._every_s and not stop.is_set():
            try:
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
            except TimeoutError:
                seen = await self._look()
                if seen == before != self._loaded:
                    await self._again()
                before = seen

    async def _again(self) -> None:
        held = self._loaded
        try:
            await self.load()
        except ConfigError as error:
            self.refused = True
            for line in str(error).splitlines():
                _log.error("personas_not_reloaded", extra={"told": line})
        except StorageError as error:
            self._loaded = held  # the next look tries again
            _log.warning("personas_not_reloaded", extra={"told": error.code})
        else:
            self.refused = False
            _log.info("personas_reloaded", extra={"personas": len(self._catalog.current)})
