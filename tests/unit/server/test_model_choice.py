"""Which models there are after a start, and which one answers."""

import asyncio
from collections.abc import Mapping

import pytest

from cozy_adapters.files.parse import parse
from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.language_model import ScriptedLanguageModel
from cozy_adapters.inmemory.persona_revisions import InMemoryPersonaRevisions
from cozy_domain.errors import ConfigError, ProviderUnavailableError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.persona.document import PersonaDocument
from cozy_domain.persona.surroundings import Surroundings
from cozy_domain.routing.choice import models_named
from cozy_domain.routing.default import OFFLINE, Default
from cozy_server.model_choice import AGAIN_S, LISTING_S, READY_S, FoundProvider, LiveConfiguration
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
    catalog: LiveCatalog | None = None,
) -> LiveConfiguration:
    async def discover() -> tuple[FoundProvider, ...]:
        return discovered

    catalog = catalog or LiveCatalog(NoFiles(), InMemoryPersonaRevisions(), InMemoryClock())
    known = {OFFLINE.provider: with_models("offline"), **(providers or {})}
    return LiveConfiguration(catalog, known, discover, settings, "cozy.yaml:7")


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
    assert configuration.default == Default(ModelRef("silent", "any"), "cozy.yaml:7 names it")


async def test_a_named_model_of_no_provider_is_refused() -> None:
    with pytest.raises(ConfigError, match="no provider 'nobody'"):
        await configured(ModelSettings(default="nobody/x")).settle()


class FaultyModel(ScriptedLanguageModel):
    """With a fault of its adapter's own, which no port allows."""

    def __init__(self, *, opens: bool) -> None:
        super().__init__()
        self.opens = opens

    async def aopen(self) -> None:
        if not self.opens:
            raise RuntimeError("secret of the SDK")

    async def list_models(self) -> tuple[str, ...]:
        raise KeyError("secret of the SDK")


async def test_a_provider_with_a_fault_of_its_own_is_told_and_the_next_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = ("deaf", "dumb", "well")
    providers = dict(
        zip(names, (FaultyModel(opens=False), FaultyModel(opens=True), with_models("one")), strict=True)
    )
    settings = ModelSettings(providers={name: ProviderSettings() for name in names})
    configuration = configured(settings, providers)
    problems = [it.problem for it in await configuration.listings()]
    assert problems == ["it broke unexpectedly (RuntimeError)", "it broke unexpectedly (KeyError)", None]
    assert [vars(record)["provider"] for record in caplog.records if record.msg == "provider_crashed"] == [
        "deaf",
        "dumb",
    ]
    await configuration.settle()
    assert configuration.default.model == ModelRef("well", "one")


@pytest.mark.virtual_time
async def test_a_provider_that_does_not_list_its_models_in_time_is_named_in_the_reason() -> None:
    settings = ModelSettings(providers={"silent": ProviderSettings()})
    configuration = configured(settings, {"silent": SilentModel()})
    await configuration.settle()
    assert asyncio.get_running_loop().time() == pytest.approx(LISTING_S)
    assert configuration.default.model == OFFLINE
    assert "provider 'silent': it did not list its models within 3 s" in configuration.default.reason


class SlowToOpen(ScriptedLanguageModel):
    """Imports for longer than a listing may take, as an SDK does on a slow machine."""

    def __init__(self, takes_s: float = 2 * LISTING_S) -> None:
        super().__init__(models=("one",))
        self.takes_s = takes_s
        self.opened = 0

    async def aopen(self) -> None:
        await asyncio.sleep(0 if self.opened else self.takes_s)
        self.opened += 1

    async def list_models(self) -> tuple[str, ...]:
        if not self.opened:
            await self.aopen()
        return await super().list_models()


@pytest.mark.virtual_time
@pytest.mark.parametrize("default", [None, "slow/one"])
async def test_what_a_provider_needs_to_be_ready_has_no_deadline_and_is_done_at_the_start(
    default: str | None,
) -> None:
    slow = SlowToOpen()
    settings = ModelSettings(default=default, providers={"slow": ProviderSettings()})
    configuration = configured(settings, {"slow": slow})
    await configuration.settle()
    assert configuration.default.model == ModelRef("slow", "one")
    assert slow.opened


@pytest.mark.virtual_time
async def test_a_provider_that_no_request_can_name_is_not_made_ready() -> None:
    used, unused = SlowToOpen(), SlowToOpen()
    providers = {"used": ProviderSettings(), "unused": ProviderSettings()}
    settings = ModelSettings(default="offline", routes={"fast": ("used/one",)}, providers=providers)
    await configured(settings, {"used": used, "unused": unused}).settle()
    assert (used.opened, unused.opened) == (1, 0)


class Routed:
    """Two personas: one with a model of its own, and one whose model nobody can know."""

    async def read(self) -> tuple[PersonaDocument, ...]:
        texts = ("id: own\nname: Own\nmodel: {route: only/one}", "id: lost\nname: Lost\nmodel: {route: none}")
        return tuple(parse(f"schema: persona/1\n{text}\n".encode(), f"{text[4:7]}.yaml") for text in texts)


class NeverReady(ScriptedLanguageModel):
    async def aopen(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.virtual_time
@pytest.mark.parametrize("never", [False, True])
async def test_what_only_a_persona_needs_is_made_ready_meanwhile_and_waited_for_within_a_bound(
    never: bool,
) -> None:
    only = NeverReady(models=("one",)) if never else SlowToOpen(READY_S / 2)
    settings = ModelSettings(default="used/one", providers={"used": ProviderSettings()})
    used = SlowToOpen(READY_S / 2)
    catalog = LiveCatalog(Routed(), InMemoryPersonaRevisions(), InMemoryClock())
    assert await catalog.reload() == ()
    configuration = configured(settings, {"used": used, "only": only}, catalog=catalog)
    await configuration.settle()
    assert used.opened == 1
    assert asyncio.get_running_loop().time() == pytest.approx(READY_S if never else READY_S / 2)
    assert never or (isinstance(only, SlowToOpen) and only.opened == 1)


class LateModel(ScriptedLanguageModel):
    """Lists one model at the ``answers_at``-th time, and nothing before."""

    def __init__(self, answers_at: int, *, fails: bool) -> None:
        super().__init__(models=("one",))
        self.asked = 0
        self._answers_at = answers_at
        self._fails = fails

    async def list_models(self) -> tuple[str, ...]:
        self.asked += 1
        if self.asked >= self._answers_at:
            return await super().list_models()
        if self._fails:
            raise ProviderUnavailableError("it is down", provider="late")
        return ()


def stands_in(configuration: LiveConfiguration) -> bool:
    """Asked anew: it changes while a test waits."""
    return configuration.standing_in


@pytest.mark.virtual_time
@pytest.mark.parametrize("fails", [True, False])
async def test_a_provider_that_does_not_answer_at_the_start_is_asked_again_until_it_does(fails: bool) -> None:
    late = LateModel(3, fails=fails)
    configuration = configured(ModelSettings(providers={"late": ProviderSettings()}), {"late": late})
    await configuration.settle()
    assert stands_in(configuration)
    assert configuration.default.model == OFFLINE
    assert configuration.default.reason.endswith("looking again every 30 s")
    began = asyncio.get_running_loop().time()
    await configuration.keep_looking(asyncio.Event())
    assert asyncio.get_running_loop().time() - began == pytest.approx(2 * AGAIN_S)
    assert not stands_in(configuration)
    assert configuration.snapshot().routes.default == (ModelRef("late", "one"),)


@pytest.mark.virtual_time
async def test_a_provider_that_is_found_later_answers() -> None:
    found = [(FoundProvider("ollama", "OLLAMA_HOST", problem="nothing listens"),)]

    async def discover() -> tuple[FoundProvider, ...]:
        return found[-1]

    catalog = LiveCatalog(NoFiles(), InMemoryPersonaRevisions(), InMemoryClock())
    known: dict[str, LanguageModel] = {OFFLINE.provider: with_models("offline")}
    configuration = LiveConfiguration(catalog, known, discover, ModelSettings(), "cozy.yaml:7")
    await configuration.settle()
    found.append((FoundProvider("ollama", "OLLAMA_HOST", with_models("qwen")),))
    await configuration.keep_looking(asyncio.Event())
    assert configuration.default.model == ModelRef("ollama", "qwen")
    assert "ollama" in known


@pytest.mark.parametrize(
    ("settings", "provider"),
    [
        (ModelSettings(default="offline"), BrokenModel()),
        (ModelSettings(providers={"p": ProviderSettings()}), with_models("one")),
        (ModelSettings(providers={"p": ProviderSettings()}), with_models("one", "two")),
        (ModelSettings(), BrokenModel()),
    ],
)
async def test_nobody_is_asked_again_where_the_choice_is_made_or_the_operators(
    settings: ModelSettings, provider: LanguageModel
) -> None:
    configuration = configured(settings, {"p": provider})
    await configuration.settle()
    assert not configuration.standing_in
    await configuration.keep_looking(asyncio.Event())


async def test_looking_again_ends_with_the_server() -> None:
    configuration = configured(
        ModelSettings(providers={"broken": ProviderSettings()}), {"broken": BrokenModel()}
    )
    await configuration.settle()
    stop = asyncio.Event()
    looking = asyncio.create_task(configuration.keep_looking(stop))
    stop.set()
    async with asyncio.timeout(60):
        await looking
    assert configuration.standing_in


async def test_requests_may_name_the_default_model_in_force() -> None:
    settings = ModelSettings(providers={"p": ProviderSettings()}, allowed=("q/two",))
    configuration = configured(settings, {"p": with_models("one")})
    await configuration.settle()
    routes = configuration.snapshot().routes
    assert routes.allowed == (ModelRef("q", "two"), ModelRef("p", "one"))
    assert models_named("one", routes) == models_named("p/one", routes) == (ModelRef("p", "one"),)
    assert set(routes.providers) == {"offline", "p"}


async def test_a_default_model_that_is_called_like_an_alias_keeps_nothing_from_starting() -> None:
    settings = ModelSettings(routes={"one": ("p/other",)}, providers={"p": ProviderSettings()})
    configuration = configured(settings, {"p": with_models("one")})
    await configuration.settle()
    # The catalogue of this test is empty; nothing else may be wrong.
    assert configuration.clashes() == ()
    assert models_named("one", configuration.snapshot().routes) == (ModelRef("p", "other"),)


async def test_what_personas_may_name_is_what_was_configured_or_found() -> None:
    settings = ModelSettings(routes={"fast": ("p/x",)}, allowed=("p/y",))
    found = FoundProvider("anthropic", "ANTHROPIC_API_KEY", problem="there is no adapter")
    configuration = configured(settings, {"p": with_models("x")}, found)
    await configuration.look()
    around = configuration.surroundings(("clock",))
    assert around == Surroundings(("clock",), ("fast",), ("offline", "p", "anthropic"), ("y",), ("ollama",))


async def test_models_of_providers_that_nobody_configured_are_told_with_their_place() -> None:
    settings = ModelSettings(
        allowed=("groq/x", "q/x", "ollama/x", "offline/offline"),
        routes={"fast": ("anthropic/y", "grok/y")},
        providers={"groq": ProviderSettings()},
    )
    found = FoundProvider("anthropic", "ANTHROPIC_API_KEY", problem="there is no adapter")
    configuration = configured(settings, {"groq": with_models("one")}, found)
    await configuration.settle()
    told = [one.partition(":")[0] for one in configuration.clashes()]
    assert told == ["models.allowed[1]", "models.routes.fast[1]"]
    assert "did you mean groq/y?" in configuration.clashes()[1]


async def test_a_provider_that_fails_is_named_in_the_reason() -> None:
    settings = ModelSettings(providers={"broken": ProviderSettings()})
    configuration = configured(settings, {"broken": BrokenModel()})
    await configuration.settle()
    assert "it is down" in configuration.default.reason


async def test_routes_and_allowed_models_stand_in_the_snapshot() -> None:
    settings = ModelSettings(routes={"fast": ("a/x", "b/y")}, allowed=("a/x",))
    routes = configured(settings).snapshot().routes
    assert routes.routes[0].models == (ModelRef("a", "x"), ModelRef("b", "y"))
    assert routes.allowed == (ModelRef("a", "x"), OFFLINE)


@pytest.mark.parametrize("settings", [ModelSettings(routes={"fast": ("x",)}), ModelSettings(allowed=("x",))])
async def test_a_model_without_its_provider_is_refused(settings: ModelSettings) -> None:
    with pytest.raises(ConfigError, match="'x' is not written provider/id"):
        configured(settings).snapshot()
