"""Which models there are after a start, and which one answers."""

import asyncio
from collections.abc import Mapping

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.language_model import ScriptedLanguageModel
from cozy_adapters.inmemory.persona_revisions import InMemoryPersonaRevisions
from cozy_domain.errors import ConfigError, ProviderUnavailableError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.persona.document import PersonaDocument
from cozy_domain.routing.default import OFFLINE
from cozy_server.model_choice import LISTING_S, FoundProvider, LiveConfiguration
from cozy_server.settings.tree import ModelSettings, ProviderSettings


class NoFiles:
    async def read(self) -> tuple[PersonaDocument, ...]:
        return ()


class SilentModel(ScriptedLanguageModel):
    async def list_models(self) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()


class BrokenModel(ScriptedLanguageModel):
    async def list_models(self) -> tuple[str, ...]:
        raise ProviderUnavailableError("it is down", provider="broken")


def with_models(*names: str) -> ScriptedLanguageModel:
    return ScriptedLanguageModel(models=names)


def configured(
    settings: ModelSettings,
    providers: Mapping[str, LanguageModel] | None = None,
    *discovered: FoundProvider,
) -> LiveConfiguration:
    async def discover() -> tuple[FoundProvider, ...]:
        return discovered

    catalog = LiveCatalog(NoFiles(), InMemoryPersonaRevisions(), InMemoryClock())
    known = {OFFLINE.provider: with_models("offline"), **(providers or {})}
    return LiveConfiguration(catalog, known, discover, settings)


async def test_with_nothing_found_the_offline_model_answers_and_says_why() -> None:
    configuration = configured(ModelSettings())
    await configuration.settle()
    assert configuration.snapshot().routes.default == (OFFLINE,)
    assert "no key is set" in configuration.default.reason


async def test_a_discovered_provider_with_one_model_answers() -> None:
    found = FoundProvider("ollama", "Ollama on 127.0.0.1:11434", with_models("qwen"))
    configuration = configured(ModelSettings(), None, found)
    await configuration.settle()
    assert configuration.default.model == ModelRef("ollama", "qwen")
    assert "Ollama on 127.0.0.1:11434" in configuration.default.reason


async def test_a_provider_of_the_settings_comes_before_a_discovered_one() -> None:
    settings = ModelSettings(providers={"local": ProviderSettings(base_url="http://x/v1")})
    found = FoundProvider("ollama", "Ollama", with_models("qwen"))
    configuration = configured(settings, {"local": with_models("mine")}, found)
    await configuration.settle()
    assert configuration.default.model == ModelRef("local", "mine")


async def test_what_the_settings_say_of_a_discovered_provider_holds() -> None:
    settings = ModelSettings(providers={"openai": ProviderSettings()})
    found = FoundProvider("openai", "OPENAI_API_KEY", with_models("theirs"), problem="no such address")
    configuration = configured(settings, {"openai": with_models("mine")}, found)
    await configuration.settle()
    assert configuration.default.model == ModelRef("openai", "mine")
    assert configuration.default.reason.startswith("OPENAI_API_KEY")


async def test_the_named_model_wins_without_asking_anybody() -> None:
    settings = ModelSettings(default="silent/any", providers={"silent": ProviderSettings()})
    configuration = configured(settings, {"silent": SilentModel()})
    await configuration.settle()
    assert configuration.default.model == ModelRef("silent", "any")


async def test_a_named_model_of_no_provider_is_refused() -> None:
    with pytest.raises(ConfigError, match="no provider 'nobody'"):
        await configured(ModelSettings(default="nobody/x")).settle()


@pytest.mark.virtual_time
async def test_a_provider_that_does_not_list_its_models_in_time_is_named_in_the_reason() -> None:
    settings = ModelSettings(providers={"silent": ProviderSettings()})
    configuration = configured(settings, {"silent": SilentModel()})
    await configuration.settle()
    assert asyncio.get_running_loop().time() == pytest.approx(LISTING_S)
    assert configuration.default.model == OFFLINE
    assert "provider 'silent': it did not list its models within 3 s" in configuration.default.reason


async def test_a_provider_that_fails_is_named_in_the_reason() -> None:
    settings = ModelSettings(providers={"broken": ProviderSettings()})
    configuration = configured(settings, {"broken": BrokenModel()})
    await configuration.settle()
    assert "it is down" in configuration.default.reason


async def test_routes_and_allowed_models_stand_in_the_snapshot() -> None:
    settings = ModelSettings(routes={"fast": ("a/x", "b/y")}, allowed=("a/x",))
    routes = configured(settings).snapshot().routes
    assert routes.routes[0].models == (ModelRef("a", "x"), ModelRef("b", "y"))
    assert routes.allowed == (ModelRef("a", "x"),)


@pytest.mark.parametrize("settings", [ModelSettings(routes={"fast": ("x",)}), ModelSettings(allowed=("x",))])
async def test_a_model_without_its_provider_is_refused(settings: ModelSettings) -> None:
    with pytest.raises(ConfigError, match="'x' is not written provider/id"):
        configured(settings).snapshot()
