"""Which model embeds."""

import pytest

from cozy_domain.errors import MissingError
from cozy_domain.models.request import ModelRef
from cozy_domain.routing.embedding import (
    LEXICAL,
    EmbeddingRoutes,
    choose_embedder,
    embedder_named,
    embedding_routes,
    lost,
    names,
)

SMALL, LARGE = ModelRef("openai", "small"), ModelRef("local", "org/large")
ROUTES = EmbeddingRoutes(SMALL, (("text-embedding-3-large", LARGE), ("ada", SMALL)))


def test_settings_that_name_nothing_mean_the_lexical_one() -> None:
    assert embedding_routes(None, ()) == EmbeddingRoutes(LEXICAL)


def test_settings_become_routes() -> None:
    aliases = (("text-embedding-3-large", "local/org/large"), ("ada", "openai/small"))
    assert embedding_routes("openai/small", aliases) == ROUTES


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("ada", SMALL),
        ("text-embedding-3-large", LARGE),
        ("openai/small", SMALL),
        ("small", SMALL),
        ("local/org/large", LARGE),
        ("org/large", LARGE),
    ],
)
def test_a_model_is_found_by_alias_full_and_bare_id(name: str, model: ModelRef) -> None:
    assert choose_embedder(name, ROUTES) == model


def test_a_bare_id_that_two_providers_have_names_neither() -> None:
    routes = EmbeddingRoutes(ModelRef("a", "one"), (("other", ModelRef("b", "one")),))
    assert embedder_named("one", routes) is None
    assert embedder_named("b/one", routes) == ModelRef("b", "one")


def test_an_alias_stands_before_a_bare_id() -> None:
    routes = EmbeddingRoutes(SMALL, (("small", LARGE),))
    assert embedder_named("small", routes) == LARGE


def test_every_name_is_listed_once_aliases_first() -> None:
    assert names(ROUTES) == ("text-embedding-3-large", "ada", "openai/small", "local/org/large")


def test_a_near_miss_gets_a_suggestion() -> None:
    with pytest.raises(MissingError) as caught:
        choose_embedder("openai/smal", ROUTES)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.hint == "Did you mean 'openai/small'?"


def test_an_unknown_model_gets_the_list() -> None:
    with pytest.raises(MissingError) as caught:
        choose_embedder("???", ROUTES)
    assert caught.value.hint is not None
    assert "openai/small" in caught.value.hint


def test_good_settings_have_nothing_wrong() -> None:
    assert not [*lost("openai/small", (("ada", "openai/small"),), ["openai"], ["default"])]
    assert not [*lost(None, (), [], [])]


def test_what_is_wrong_with_settings_is_said_by_place() -> None:
    wrong = [*lost("small", (("default", "nobody/x"),), ["openai", "offline"], ["default"])]
    assert wrong == [
        "models.embedding is 'small', not written provider/id",
        "models.embeddings.default: 'nobody' is no provider of embeddings; there are: offline, openai",
        "'default' is the name of a persona, alias or model, so it cannot be one in models.embeddings",
    ]
