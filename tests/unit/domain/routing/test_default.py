"""Which model answers when nobody configured one."""

import pytest

from cozy_domain.errors import ConfigError
from cozy_domain.models.request import ModelRef
from cozy_domain.routing.default import (
    OFFLINE,
    Default,
    Listing,
    choose_default,
    named_default,
    without_provider,
)

KEY = "OPENAI_API_KEY"
FILE = "cozy.yaml:3"
MANY = Listing("openai", KEY, ("small", "large"))
LOCAL = Listing("ollama", "Ollama on 127.0.0.1:11434", ("llama",))


def test_nothing_found_leaves_the_offline_model_and_says_what_was_looked_for() -> None:
    default = choose_default((), ())
    assert default.model == OFFLINE
    assert default.reason == "no model was found: no key is set and no Ollama runs on this machine"


def test_a_provider_with_one_model_is_taken() -> None:
    chosen = choose_default((LOCAL,), ())
    assert chosen == Default(
        ModelRef("ollama", "llama"), "Ollama on 127.0.0.1:11434 offers this model and no other"
    )


@pytest.mark.parametrize("preferred", [("absent", "large", "small"), ("openai/large", "small")])
def test_of_several_the_first_preferred_one_is_taken(preferred: tuple[str, ...]) -> None:
    chosen = choose_default((MANY,), preferred)
    assert chosen == Default(
        ModelRef("openai", "large"), "OPENAI_API_KEY offers it, and models.preferred names it"
    )


def test_a_preference_for_another_provider_does_not_count() -> None:
    assert choose_default((MANY,), ("ollama/large",)).model == OFFLINE


def test_of_several_without_preference_none_is_guessed() -> None:
    default = choose_default((MANY,), ())
    assert default.model == OFFLINE
    assert "OPENAI_API_KEY offers 2 models, choose one with COZY_MODEL=openai/<id>" in default.reason


def test_a_provider_that_settles_nothing_leaves_it_to_the_next() -> None:
    assert choose_default((MANY, LOCAL), ()).model == ModelRef("ollama", "llama")


def test_a_provider_with_a_problem_is_passed_over_and_named() -> None:
    broken = Listing("openai", KEY, ("only",), problem="the key was refused")
    default = choose_default((broken, Listing("ollama", "Ollama")), ())
    assert default.model == OFFLINE
    assert default.reason == "no model was found: OPENAI_API_KEY: the key was refused; Ollama offers no model"


@pytest.mark.parametrize("origin", ["cozy.yaml:3", "environment COZY_MODEL", "command line --model"])
def test_the_operators_word_wins_and_the_reason_says_where_it_stands(origin: str) -> None:
    default = named_default("openai/a/b", ("openai",), origin)
    assert default == Default(ModelRef("openai", "a/b"), f"{origin} names it")


@pytest.mark.parametrize("wanted", ["offline", "offline/offline"])
def test_the_offline_model_can_be_asked_for(wanted: str) -> None:
    assert named_default(wanted, (), FILE).model == OFFLINE


def test_a_word_without_a_provider_is_refused_with_an_example() -> None:
    with pytest.raises(
        ConfigError, match=r"^cozy\.yaml:3: models\.default is 'large', not written provider/id"
    ) as fault:
        named_default("large", ("openai",), FILE)
    assert fault.value.hint == "Write for example openai/<id>."


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^cozy\.yaml:3: models\.default is .* no provider 'opneai'; there are: openai, offline",
    ):
        named_default("opneai/large", ("openai",), FILE)


@pytest.mark.parametrize(
    ("name", "meant"), [("opneai", "; did you mean openai/a/b?"), ("mistral", ""), ("OFF", "")]
)
def test_a_model_of_an_unknown_provider_is_told_with_its_place(name: str, meant: str) -> None:
    wrong = without_provider("models.allowed[2]", ModelRef(name, "a/b"), ("offline", "openai"))
    assert wrong == (
        f"models.allowed[2]: '{name}/a/b', but there is no provider '{name}'; there are: offline, openai{meant}"
    )


def test_a_model_of_a_known_provider_is_right() -> None:
    assert without_provider("models.allowed[0]", ModelRef("openai", "x"), ("offline", "openai")) is None


def test_the_offline_provider_has_one_model() -> None:
    with pytest.raises(ConfigError, match="the offline provider has one model, offline/offline") as fault:
        named_default("offline/x", ("openai",), FILE)
    assert fault.value.hint == "Write offline."


def test_without_a_provider_the_hint_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError) as fault:
        named_default("large", (), FILE)
    assert (
        fault.value.hint == "Set OPENAI_API_KEY or OPENAI_BASE_URL and write openai/<id>, "
        "or ANTHROPIC_API_KEY and anthropic/<id>, or write offline."
    )


def test_a_personas_name_is_told_where_it_belongs() -> None:
    with pytest.raises(ConfigError) as fault:
        named_default("wren", ("openai",), FILE, ("default", "wren"))
    assert fault.value.hint is not None
    assert fault.value.hint.startswith("'wren' is a persona: requests name it in `model`")
