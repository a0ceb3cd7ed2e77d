"""Which models there are, and which one answers when nobody says: settled once, before the first request."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping

import msgspec

from cozy_domain.errors import ConfigError, ProviderError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.routing.choice import Route, RouteTable, Snapshot, parse_ref
from cozy_domain.routing.default import OFFLINE, Default, Listing, choose_default, named_default
from cozy_server.settings.tree import ModelSettings

LISTING_S = 3.0
"""How long a provider may take to list its models: a start waits for all of them at once."""


class FoundProvider(msgspec.Struct, frozen=True):
    """``found`` says by what; without a ``model``, or with a ``problem``, it cannot be used."""

    name: str
    found: str
    model: LanguageModel | None = None
    problem: str | None = None


class LiveConfiguration:
    """What turns are decided by: the personas as last loaded, and the routes to models."""

    def __init__(
        self,
        catalog: LiveCatalog,
        providers: MutableMapping[str, LanguageModel],
        discover: Callable[[], Awaitable[tuple[FoundProvider, ...]]],
        settings: ModelSettings,
    ) -> None:
        """``providers`` are those of the settings; `settle` adds what it finds."""
        self._catalog = catalog
        self._providers = providers
        self._discover = discover
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
        """Finds providers, and the default model.

        Raises:
            ConfigError: the one that the settings name cannot be.
        """
        discovered = await self._discover()
        for provider in discovered:
            if provider.model is not None:
                self._providers.setdefault(provider.name, provider.model)
        if self._settings.default is not None:
            names = tuple(name for name in self._providers if name != OFFLINE.provider)
            self.default = named_default(self._settings.default, names)
            return
        asked = self._all(discovered)
        listings = await asyncio.gather(*(self._listing(provider) for provider in asked))
        self.default = choose_default(tuple(listings), self._settings.preferred)

    def _all(self, discovered: tuple[FoundProvider, ...]) -> tuple[FoundProvider, ...]:
        """The providers of the settings, then what else was discovered. Of what is both, the settings know how to reach it,
        and the discovery how people call it."""
        told = {provider.name: provider.found for provider in discovered}
        configured = [
            FoundProvider(name, told.get(name, f"provider '{name}'")) for name in self._settings.providers
        ]
        others = [provider for provider in discovered if provider.name not in self._settings.providers]
        return (*configured, *others)

    async def _listing(self, provider: FoundProvider) -> Listing:
        model = self._providers.get(provider.name)
        if provider.problem or model is None:
            return Listing(provider.name, provider.found, problem=provider.problem or "it cannot be used")
        try:
            async with asyncio.timeout(LISTING_S):
                return Listing(provider.name, provider.found, await model.list_models())
        except TimeoutError:
            problem = f"it did not list its models within {LISTING_S:g} s"
        except ProviderError as error:
            problem = error.message
        return Listing(provider.name, provider.found, problem=problem)


def _ref(name: str, place: str) -> ModelRef:
    ref = parse_ref(name)
    if ref is None:
        raise ConfigError(f"{place}: '{name}' is not written provider/id")
    return ref
