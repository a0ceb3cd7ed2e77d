"""Anthropic is found by its key in the environment, and by the settings."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_adapters.anthropic.chat import AnthropicLanguageModel
from cozy_adapters.anthropic.discovery import Discovered, discover
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_domain.errors import ConfigError
from cozy_domain.models.request import ModelRef
from cozy_server.container.container import Container
from cozy_server.container.models import discovery, language_models
from cozy_server.settings.secret import Secret
from cozy_server.settings.tree import ModelSettings, ProviderSettings
from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import AUDIT_KEY, settings_for

pytest_plugins = ["tests.fixtures.fake_anthropic.plugin", "tests.fixtures.fake_openai.plugin"]

NOBODY = "127.0.0.1:1"
"""Where no Ollama listens."""


def test_a_key_or_an_address_is_a_provider() -> None:
    keyed = discover({"ANTHROPIC_API_KEY": " sk-ant ", "ANTHROPIC_BASE_URL": ""})
    assert keyed == Discovered("ANTHROPIC_API_KEY", None, "sk-ant")
    local = discover({"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"})
    assert local == Discovered("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    assert discover({"OPENAI_API_KEY": "sk"}) is None


def test_the_key_is_not_shown() -> None:
    assert "sk-canary" not in repr(discover({"ANTHROPIC_API_KEY": "sk-canary"}))


async def test_it_is_asked_behind_openai_and_before_ollama(
    fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    environment = {
        "OPENAI_BASE_URL": fake_openai.base_url,
        "ANTHROPIC_API_KEY": "sk",
        "ANTHROPIC_BASE_URL": fake_anthropic.base_url,
        "OLLAMA_HOST": f"127.0.0.1:{fake_openai.port}",
    }
    found = await discovery(environment)()
    assert [provider.name for provider in found] == ["openai", "anthropic", "ollama"]
    model = found[1].model
    assert model is not None
    assert "ok" in await model.list_models()
    assert isinstance(model, AnthropicLanguageModel)
    await model.aclose()


def container(folder: Path, models: ModelSettings, environment: Mapping[str, str]) -> Container:
    settings = replace(settings_for(folder), models=models)
    return Container(
        settings=settings, audit_key=AUDIT_KEY, environment={**environment, "OLLAMA_HOST": NOBODY}
    )


async def test_a_key_alone_makes_its_only_preferred_model_answer(
    tmp_path: Path, fake_anthropic: FakeAnthropic
) -> None:
    environment = {"ANTHROPIC_API_KEY": "sk", "ANTHROPIC_BASE_URL": fake_anthropic.base_url}
    running = container(tmp_path, ModelSettings(preferred=("echo",)), environment)
    configuration = running.configuration()
    await configuration.settle()
    assert configuration.default.model == ModelRef("anthropic", "echo")
    assert configuration.default.reason.startswith("ANTHROPIC_API_KEY offers it")
    model = running.models()["anthropic"]
    assert isinstance(model, AnthropicLanguageModel)
    assert model.features("empty") != model.features("echo")
    await model.aclose()


def test_a_provider_is_of_the_kind_that_is_written_or_that_its_name_says() -> None:
    models = language_models(
        ModelSettings(
            providers={
                "anthropic": ProviderSettings(api_key=Secret("k")),
                "local": ProviderSettings(kind="anthropic", base_url="http://127.0.0.1:9"),
                "other": ProviderSettings(),
            }
        )
    )
    kinds = {name: type(model) for name, model in models.items() if name != "offline"}
    assert kinds == {
        "anthropic": AnthropicLanguageModel,
        "local": AnthropicLanguageModel,
        "other": OpenAILanguageModel,
    }


# Without the package.


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)


@pytest.mark.usefixtures("without_package")
@pytest.mark.parametrize("name", ["mine", "anthropic"])
def test_settings_that_ask_for_it_say_what_to_type(name: str) -> None:
    settings = ModelSettings(providers={name: ProviderSettings(kind="anthropic")})
    with pytest.raises(ConfigError, match=r"pip install 'cozy-engine\[anthropic\]'"):
        language_models(settings)


@pytest.mark.usefixtures("without_package")
async def test_a_key_that_happens_to_be_there_is_no_reason_not_to_start(tmp_path: Path) -> None:
    environment = {"ANTHROPIC_API_KEY": "sk"}
    models = ModelSettings(providers={"anthropic": ProviderSettings(api_key=Secret("sk"))})
    configuration = container(tmp_path, models, environment).configuration()
    await configuration.settle()
    assert "pip install 'cozy-engine[anthropic]'" in configuration.default.reason
    assert configuration.standing_in


@pytest.mark.usefixtures("without_package")
async def test_a_default_model_of_it_is_refused_with_the_line_to_type(tmp_path: Path) -> None:
    models = ModelSettings(default="anthropic/any")
    configuration = container(tmp_path, models, {"ANTHROPIC_API_KEY": "sk"}).configuration()
    with pytest.raises(ConfigError, match=r"ANTHROPIC_API_KEY: .*pip install"):
        await configuration.settle()
