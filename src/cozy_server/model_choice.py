"""Which models there are, and which one answers when nobody says: settled once, before the first request."""

import asyncio
from collections.abc import Mapping

from cozy_domain.errors import ConfigError, ProviderError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.routing.choice import Route, RouteTable, Snapshot, parse_ref
from cozy_domain.routing.default import OFFLINE, Default, Listing, choose_default, named_default
from cozy_server.settings.tree import ModelSettings

LISTING_S = 3.0
"""How long a provider may take to list its models: a start waits for all of them at once."""


class LiveConfiguration:
    """What turns are decided by: the personas as last loaded, and the routes to models."""

    def __init__(
        self,
        catalog: LiveCatalog,
        providers: Mapping[str, LanguageModel],
        found: Mapping[str, str],
        settings: ModelSettings,
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._found = found
        self._settings = settings
        self.default = Default(OFFLINE, "nobody has looked for another yet")

    def snapshot(self) -> Snapshot:
        table = RouteTable(
            default=(self.default.model,),
            routes=tuple(
                Route(alias, tuple(_ref(name, f"models.routes.{alias}") for name in models))
                for alias, models in self._settings.routes.items()
            ),
            allowed=tuple(_ref(name, "models.allowed") for name in self._settings.allowed),
        )
        return Snapshot(self._catalog.current, table)

    async def settle(self) -> None:
        """Finds the default model.

        Raises:
            ConfigError: the one that the settings name cannot be.
        """
        names = tuple(self._found)
        if self._settings.default is not None:
            self.default = named_default(self._settings.default, names)
            return
        listings = await asyncio.gather(*(self._listing(name) for name in names))
        self.default = choose_default(tuple(listings), self._settings.preferred)

    async def _listing(self, name: str) -> Listing:
        found = self._found[name]
        try:
            async with asyncio.timeout(LISTING_S):
                return Listing(name, found, await self._providers[name].list_models())
        except TimeoutError:
            return Listing(name, found, problem=f"it did not list its models within {LISTING_S:g} s")
        except ProviderError as error:
            return Listing(name, found, problem=error.message)


def _ref(name: str, place: str) -> ModelRef:
    ref = parse_ref(name)
    if ref is None:
        raise ConfigError(f"{place}: '{name}' is not written provider/id")
    return ref
