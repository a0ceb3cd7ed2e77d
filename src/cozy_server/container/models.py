"""Language models and embedders: one adapter for each provider, configured or found."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from cozy_adapters.anthropic import discovery as anthropic
from cozy_adapters.anthropic.chat import AnthropicLanguageModel
from cozy_adapters.inmemory.simulated import NAME as SIMULATED
from cozy_adapters.inmemory.simulated import SimulatedLanguageModel, Simulation
from cozy_adapters.offline.embedder import OfflineEmbedder
from cozy_adapters.offline.language_model import OfflineLanguageModel
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_adapters.openai.discovery import dialect_of, discover
from cozy_adapters.upstream import missing
from cozy_domain.errors import ConfigError
from cozy_domain.models.ports import Embedder, LanguageModel
from cozy_domain.routing.default import OFFLINE
from cozy_domain.routing.embedding import EmbeddingRoutes, embedding_routes
from cozy_server.model_choice import OLLAMA, FoundProvider
from cozy_server.settings.tree import (
    ModelSettings,
    ProviderSettings,
    is_chosen,
    kind_of,
)

SDKS = ("openai", "anthropic")
"""Kinds of providers that need a package of the same name."""


def language_models(
    settings: ModelSettings, simulation: Simulation | None = None
) -> dict[str, LanguageModel]:
    """One adapter for each provider of the settings by name; ``offline`` is always there. A key that happens to be in the
    environment is no reason not to start: without its package such a provider is left out, and `discovery` says why.

    Raises:
        ConfigError: the package of a provider's kind is not installed.
    """
    models: dict[str, LanguageModel] = {OFFLINE.provider: OfflineLanguageModel()}
    if simulation:
        models[SIMULATED] = SimulatedLanguageModel(simulation.first_word_s)
    for name, provider in settings.providers.items():
        kind = kind_of(name, provider)
        problem = missing(kind) if kind in SDKS else None
        if problem is None:
            models[name] = _language_model(name, kind, provider)
        elif is_chosen(name, provider):
            raise ConfigError(f"models.providers.{name}: {problem}")
    return models


def embedders(models: Mapping[str, LanguageModel]) -> Callable[[str], Embedder | None]:
    """Each provider's embedder beside its language model, also of those that are found later."""

    def embedder(provider: str) -> Embedder | None:
        match models.get(provider):
            case OpenAILanguageModel() as model:
                return model.embedder()
            case OfflineLanguageModel():
                return OfflineEmbedder()
            case _:
                return None

    return embedder


def discovery(environment: Mapping[str, str]) -> Callable[[], Awaitable[tuple[FoundProvider, ...]]]:
    """Looks for providers that nobody configured: those whose key was set on purpose first, an Ollama that happens to run
    last."""

    async def discovered() -> tuple[FoundProvider, ...]:
        found = [
            FoundProvider(it.provider, it.found, None if it.problem else it.language_model(), it.problem)
            for it in await discover(environment)
        ]
        if it := anthropic.discover(environment):
            model = None if it.problem else it.language_model()
            found.append(FoundProvider(anthropic.PROVIDER, it.found, model, it.problem))
        return tuple(sorted(found, key=lambda provider: provider.name == OLLAMA))

    return discovered


def embedding_routes_of(settings: ModelSettings) -> EmbeddingRoutes:
    return embedding_routes(settings.embedding, tuple(settings.embeddings.items()))


def _language_model(name: str, kind: str, provider: ProviderSettings) -> LanguageModel:
    if kind == "offline":
        return OfflineLanguageModel()
    key = provider.api_key.reveal() if provider.api_key else ""
    if kind == "anthropic":
        return AnthropicLanguageModel(name, key, base_url=provider.base_url)
    dialect = dialect_of(provider.base_url)
    if provider.token_parameter:
        dialect = replace(dialect, output_limit=provider.token_parameter)
    return OpenAILanguageModel(name, key, base_url=provider.base_url, dialect=dialect)
