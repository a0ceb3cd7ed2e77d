"""Which models there are, and which one answers when nobody says: settled before the first request, and again
while no provider answers.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping

import msgspec
from msgspec.structs import replace

from cozy_domain.errors import ConfigError, ProviderError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import Catalog, LiveCatalog
from cozy_domain.persona.surroundings import Surroundings
from cozy_domain.routing.choice import Route, RouteTable, Snapshot, clashes, models_of, parse_ref
from cozy_domain.routing.default import (
    OFFLINE,
    Default,
    Listing,
    choose_default,
    named_default,
    without_provider,
)
from cozy_server.settings.tree import ModelSettings

LISTING_S = 3.0
"""How long a provider may take to list its models: a start waits for all of them at once."""
AGAIN_S = 30.0
"""Between two looks for a default model, while the providers that there are do not answer."""
READY_S = 3.0
"""How long a start waits for what only some personas need."""
OLLAMA = "ollama"
"""Found wherever it runs, so one that does not is no mistake of whoever names it."""
_log = logging.getLogger(__name__)


class FoundProvider(msgspec.Struct, frozen=True):
    """``found`` says by what; without a ``model``, or with a ``problem``, it cannot be used."""

    name: str
    found: str
    model: LanguageModel | None = None
    problem: str | None = None


def surroundings(
    settings: ModelSettings, providers: Iterable[str], tools: tuple[str, ...], servers: tuple[str, ...]
) -> Surroundings:
    """What personas may name, with the ``providers`` that are known.

    Raises:
        ConfigError: an allowed model is not written as one.
    """
    return Surroundings(
        tools=tools,
        aliases=tuple(settings.routes),
        providers=tuple(dict.fromkeys(providers)),
        models=tuple(ref.id for ref in _allowed(settings)),
        absent=(OLLAMA,),
        servers=servers,
    )


class LiveConfiguration:
    """What turns are decided by: the personas as last loaded, and the routes to models."""

    def __init__(
        self,
        catalog: LiveCatalog,
        providers: MutableMapping[str, LanguageModel],
        discover: Callable[[], Awaitable[tuple[FoundProvider, ...]]],
        settings: ModelSettings,
        default_origin: str,
    ) -> None:
        """``providers`` are those of the settings; `look` adds what it finds. ``default_origin`` tells people where
        ``models.default`` is written."""
        self._catalog = catalog
        self._providers = providers
        self._discover = discover
        self._settings = settings
        self._default_origin = default_origin
        self._discovered: tuple[FoundProvider, ...] | None = None
        self.default = Default(OFFLINE, "nobody has looked for another yet")
        self.standing_in = False
        """Whether the offline model answers because some provider does not, or lists no model."""
        self.passed_over = False
        """Whether the offline model answers though some provider was found: it does not answer, or offers a choice."""

    def snapshot(self) -> Snapshot:
        """Requests may also name the default model in force, allowed or not."""
        return self._snapshot((*self._allowed(), self.default.model))

    def clashes(self) -> tuple[str, ...]:
        """What is wrong with the personas, routes and allowed models. A default that is called like one of them is not:
        theirs is the name, and what was found by itself must not keep a server from starting."""
        return (*self._strangers(), *clashes(self._snapshot(self._allowed())))

    def refuse(self, catalog: Catalog) -> None:
        """Of personas that would go live while others are.

        Raises:
            ConfigError: their names or routes do not fit the models in force.
        """
        live = len(self._catalog.current) > 0  # the first ones come before there is a default model
        table = self._snapshot(self._allowed()).routes
        if live and (wrong := clashes(Snapshot(catalog, table))):
            raise ConfigError("\n".join(wrong))

    def surroundings(self, tools: tuple[str, ...] = (), servers: tuple[str, ...] = ()) -> Surroundings:
        """What personas may name, as far as it was looked for; with a provider that was found and cannot be used yet."""
        found = (*self._providers, *(provider.name for provider in self._discovered or ()))
        return surroundings(self._settings, found, tools, servers)

    async def look(self) -> None:
        """Finds providers."""
        self._discovered = await self._discover()
        for provider in self._discovered:
            if provider.model is not None:
                self._providers.setdefault(provider.name, provider.model)

    async def keep_looking(self, stop: asyncio.Event) -> None:
        """Settles again until some provider answers, or ``stop`` is set."""
        while self.standing_in and not stop.is_set():
            try:
                async with asyncio.timeout(AGAIN_S):
                    await stop.wait()
            except TimeoutError:
                await self.look()
                await self.settle()
                _log.info(
                    "default_model", extra={"model": str(self.default.model), "why": self.default.reason}
                )

    async def listings(self) -> tuple[Listing, ...]:
        """What each provider offers, or why it offers nothing."""
        if self._discovered is None:
            await self.look()
        asked = self._all(self._discovered or ())
        return tuple(await asyncio.gather(*(self._listing(provider) for provider in asked)))

    def named(self, wanted: str, personas: tuple[str, ...]) -> Default:
        """What the setting ``models.default`` means; one of ``personas`` is taken for no slip.

        Raises:
            ConfigError: it cannot be.
        """
        names = tuple(name for name in self._providers if name != OFFLINE.provider)
        self._check_usable(wanted, self._discovered or ())
        return named_default(wanted, names, self._default_origin, personas)

    async def settle(self) -> None:
        """Finds the default model, and makes those ready that may be asked for; for those that only personas name it waits
        ``READY_S`` at most.

        Raises:
            ConfigError: the one that the settings name cannot be.
        """
        await self._settle()
        snapshot = self.snapshot()
        routes = snapshot.routes
        refs = (*routes.default, *routes.allowed, *(ref for route in routes.routes for ref in route.models))
        first = {ref.provider for ref in refs}
        others = {ref.provider for ref in _of_personas(snapshot)} - first
        await asyncio.gather(self._make_ready(first), self._make_ready(others, READY_S))

    async def _settle(self) -> None:
        if self._discovered is None:
            await self.look()
        if self._settings.default is not None:
            self.default = self.named(self._settings.default, self._catalog.current.ids())
            return
        listings = await self.listings()
        self.default = choose_default(listings, self._settings.preferred)
        self.passed_over = self.default.model == OFFLINE and bool(listings)
        self.standing_in = self.default.model == OFFLINE and any(
            it.problem or not it.models for it in listings
        )
        if self.standing_in:
            reason = f"{self.default.reason}; looking again every {AGAIN_S:g} s"
            self.default = replace(self.default, reason=reason)

    async def _make_ready(self, names: Iterable[str], within_s: float | None = None) -> None:
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*(_make_ready(self._providers.get(name)) for name in names))
        except TimeoutError:
            pass  # what it imports goes on by itself

    def _strangers(self) -> Iterator[str]:
        """Models of the settings whose provider is neither configured nor found."""
        known = self.surroundings()
        providers = tuple(dict.fromkeys((*known.providers, *known.absent)))
        for place, name in self._named():
            if wrong := without_provider(place, _ref(name, place), providers):
                yield wrong

    def _named(self) -> Iterator[tuple[str, str]]:
        """Every model of the settings but the default one, with its place."""
        for number, name in enumerate(self._settings.allowed):
            yield f"models.allowed[{number}]", name
        for alias, models in self._settings.routes.items():
            yield from ((f"models.routes.{alias}[{number}]", name) for number, name in enumerate(models))

    def _check_usable(self, wanted: str, discovered: tuple[FoundProvider, ...]) -> None:
        """
        Raises:
            ConfigError: the provider of ``wanted`` is known, and cannot be used.
        """
        ref = parse_ref(wanted)
        for provider in discovered:
            absent = provider.name not in self._providers and provider.problem
            if absent and ref is not None and ref.provider == provider.name:
                raise ConfigError(
                    f"{self._default_origin}: models.default is '{wanted}', but of {provider.found}: {absent}"
                )

    def _snapshot(self, allowed: tuple[ModelRef, ...]) -> Snapshot:
        table = RouteTable(
            default=(self.default.model,),
            routes=tuple(
                Route(alias, tuple(_ref(name, f"models.routes.{alias}") for name in models))
                for alias, models in self._settings.routes.items()
            ),
            allowed=tuple(dict.fromkeys(allowed)),
            providers=tuple(self._providers),
        )
        return Snapshot(self._catalog.current, table)

    def _allowed(self) -> tuple[ModelRef, ...]:
        return _allowed(self._settings)

    def _all(self, discovered: tuple[FoundProvider, ...]) -> tuple[FoundProvider, ...]:
        """The providers of the settings, then what else was discovered. Of what is both, the settings know how to reach it,
        and the discovery how people call it."""
        told = {provider.name: provider for provider in discovered}
        configured = []
        for name in self._settings.providers:
            unknown = FoundProvider(name, f"provider '{name}'")
            problem = None if name in self._providers else told.get(name, unknown).problem
            configured.append(FoundProvider(name, told.get(name, unknown).found, problem=problem))
        others = [provider for provider in discovered if provider.name not in self._settings.providers]
        return (*configured, *others)

    async def _listing(self, provider: FoundProvider) -> Listing:
        model = self._providers.get(provider.name)
        if provider.problem or model is None:
            return Listing(provider.name, provider.found, problem=provider.problem or "it cannot be used")
        try:
            await _make_ready(model)
            async with asyncio.timeout(LISTING_S):
                return Listing(provider.name, provider.found, await model.list_models())
        except TimeoutError:
            problem = f"it did not list its models within {LISTING_S:g} s"
        except ProviderError as error:
            problem = error.message.removesuffix(".")
        except Exception as error:  # noqa: BLE001  one that is broken must not keep the others from being found
            _log.error("provider_crashed", extra={"provider": provider.name}, exc_info=error)
            problem = f"it broke unexpectedly ({type(error).__name__})"
        return Listing(provider.name, provider.found, problem=problem)


async def _make_ready(model: LanguageModel | None) -> None:
    """What an adapter has to do before its first request, such as importing an SDK for a second or more: no deadline should
    run meanwhile."""
    if model is not None and hasattr(model, "aopen"):
        await model.aopen()


def _of_personas(snapshot: Snapshot) -> Iterator[ModelRef]:
    for published in snapshot.catalog:
        try:
            yield from models_of(published.persona, snapshot.routes)
        except ConfigError:
            pass  # told by `clashes`


def _allowed(settings: ModelSettings) -> tuple[ModelRef, ...]:
    return tuple(_ref(name, "models.allowed") for name in settings.allowed)


def _ref(name: str, place: str) -> ModelRef:
    ref = parse_ref(name)
    if ref is None:
        raise ConfigError(f"{place}: '{name}' is not written provider/id")
    return ref
