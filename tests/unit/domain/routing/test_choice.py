"""From the name asked for to persona and models."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_domain.errors import ConfigError, MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import ModelPreferences, Persona, PublishedPersona
from cozy_domain.routing.choice import (
    Choice,
    Route,
    RouteTable,
    Snapshot,
    choose,
    clashes,
    models_of,
    names,
    parse_ref,
)
from cozy_domain.sessions.session import PersonaPin

LOCAL = ModelRef("ollama", "llama")
CHEAP = ModelRef("openai", "small")
DEAR = ModelRef("openai", "large")
TWIN = ModelRef("elsewhere", "large")
MEI, DEFAULT = PersonaId("mei"), PersonaId("default")


def persona(name: str, route: str | None = None, *fallbacks: str) -> Persona:
    return Persona(id=PersonaId(name), name=name, model=ModelPreferences(route=route, fallbacks=fallbacks))


def snapshot(*personas: Persona, table: RouteTable | None = None) -> Snapshot:
    routes = table or RouteTable(
        default=(LOCAL,),
        routes=(Route("fast", (CHEAP, LOCAL)),),
        allowed=(DEAR, TWIN, LOCAL),
    )
    return Snapshot(
        Catalog(PublishedPersona(one, 1, "h", 0) for one in (*personas, persona("default"))), routes
    )


SHOP = snapshot(persona("mei", "fast", "openai/large"))


def test_a_persona_brings_its_route_and_then_its_fallbacks() -> None:
    assert choose("mei", None, None, SHOP) == Choice(MEI, (CHEAP, LOCAL, DEAR))


def test_a_persona_without_a_route_uses_the_default_one() -> None:
    assert choose("default", None, None, SHOP) == Choice(DEFAULT, (LOCAL,))


def test_an_alias_speaks_as_the_default_persona() -> None:
    assert choose("fast", None, None, SHOP) == Choice(DEFAULT, (CHEAP, LOCAL))


def test_a_provider_model_stands_alone() -> None:
    assert choose("openai/large", None, None, SHOP) == Choice(DEFAULT, (DEAR,))


def test_a_bare_id_is_enough_where_only_one_provider_has_it() -> None:
    assert choose("llama", None, None, SHOP).models == (LOCAL,)


def test_a_bare_id_of_two_providers_is_not_guessed() -> None:
    with pytest.raises(MissingError, match="'large' does not exist"):
        choose("large", None, None, SHOP)


def test_a_model_that_is_not_allowed_does_not_exist() -> None:
    with pytest.raises(MissingError):
        choose("openai/small", None, None, SHOP)


def test_a_session_keeps_its_persona_when_the_model_names_none() -> None:
    assert choose("fast", None, PersonaPin(MEI, 3), SHOP) == Choice(MEI, (CHEAP, LOCAL))


def test_a_session_changes_its_persona_when_the_model_names_another() -> None:
    assert choose("default", None, PersonaPin(MEI, 3), SHOP).persona == DEFAULT


def test_the_personality_id_wins_over_model_and_session() -> None:
    assert choose("default", MEI, PersonaPin(DEFAULT, 1), SHOP) == Choice(MEI, (CHEAP, LOCAL, DEAR))


def test_the_personality_id_leaves_an_alias_its_models() -> None:
    assert choose("fast", MEI, None, SHOP) == Choice(MEI, (CHEAP, LOCAL))


def test_an_unknown_model_is_missing_and_the_nearest_name_is_offered() -> None:
    with pytest.raises(MissingError) as missing:
        choose("fsat", None, None, SHOP)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.hint == "Did you mean 'fast'?"


def test_an_unknown_model_like_no_other_is_told_all_names() -> None:
    with pytest.raises(MissingError) as missing:
        choose("qqqq", None, None, SHOP)
    assert missing.value.hint == "There are: default, mei, fast, openai/large, elsewhere/large, ollama/llama."


def test_a_model_of_a_known_provider_is_said_not_to_be_allowed() -> None:
    table = RouteTable((LOCAL,), allowed=(LOCAL,), providers=("openai", "ollama"))
    with pytest.raises(MissingError, match=r"'openai/zzz' is not in `models\.allowed`") as missing:
        choose("openai/zzz", None, None, snapshot(table=table))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(MissingError, match="'nobody/zzz' does not exist"):
        choose("nobody/zzz", None, None, snapshot(table=table))


def test_a_slip_in_a_model_of_a_known_provider_is_told_the_nearest() -> None:
    table = RouteTable((LOCAL,), allowed=(LOCAL,), providers=("ollama",))
    with pytest.raises(MissingError) as missing:
        choose("ollama/lama", None, None, snapshot(table=table))
    assert missing.value.hint == "Did you mean 'ollama/llama'?"


def test_a_model_is_also_known_by_its_id_alone() -> None:
    table = RouteTable((LOCAL,), allowed=(LOCAL, ModelRef("other", "llama")))
    with pytest.raises(MissingError) as missing:
        choose("lama", None, None, snapshot(table=table))
    assert missing.value.hint == "Did you mean 'ollama/llama'?"


@pytest.mark.parametrize(
    ("asked", "pin"), [(PersonaId("nobody"), None), (None, PersonaPin(PersonaId("nobody"), 1))]
)
def test_a_persona_that_is_gone_is_missing(asked: PersonaId | None, pin: PersonaPin | None) -> None:
    with pytest.raises(MissingError) as missing:
        choose("fast", asked, pin, SHOP)
    assert (missing.value.code, missing.value.param) == ("persona_not_found", "cozy.personality_id")


def test_a_fallback_named_twice_is_tried_once() -> None:
    assert models_of(persona("a", "fast", "ollama/llama", "fast"), SHOP.routes) == (CHEAP, LOCAL)


def test_a_persona_may_use_a_model_that_requests_may_not_name() -> None:
    assert models_of(persona("a", "openai/small"), SHOP.routes) == (CHEAP,)


def test_a_persona_whose_route_leads_nowhere_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="persona 'a': the model 'fasst'") as fault:
        models_of(persona("a", "fasst"), SHOP.routes)
    assert fault.value.hint == "Did you mean 'fast'?"


def test_names_are_what_a_request_may_ask_for() -> None:
    assert names(SHOP) == ("default", "mei", "fast", "openai/large", "elsewhere/large", "ollama/llama")


def test_a_sound_configuration_has_no_clash() -> None:
    assert clashes(SHOP) == ()


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("mei", RouteTable((LOCAL,), (Route("mei", (CHEAP,)),))),
        ("fast", RouteTable((LOCAL,), (Route("fast", (CHEAP,)), Route("fast", (DEAR,))))),
        ("llama", RouteTable((LOCAL,), (Route("llama", (CHEAP,)),), (LOCAL,))),
        ("openai/large", RouteTable((LOCAL,), (Route("openai/large", (CHEAP,)),), (DEAR,))),
        ("mei", RouteTable((LOCAL,), (), (ModelRef("openai", "mei"),))),
    ],
)
def test_a_name_with_two_meanings_is_a_clash(name: str, table: RouteTable) -> None:
    faults = clashes(snapshot(persona("mei"), table=table))
    assert faults == (f"'{name}' is the name of more than one persona, alias or model: rename all but one",)


@pytest.mark.parametrize(
    ("fault", "table"),
    [
        ("the default route has no model", RouteTable(())),
        ("the route 'fast' has no model", RouteTable((LOCAL,), (Route("fast", ()),))),
    ],
)
def test_a_route_without_models_is_refused(fault: str, table: RouteTable) -> None:
    assert fault in clashes(snapshot(table=table))


def test_a_persona_whose_route_leads_nowhere_is_found_beforehand() -> None:
    (fault,) = clashes(snapshot(persona("a", "fasst")))
    assert fault.startswith("persona 'a'")


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("a/b", ModelRef("a", "b")),
        ("a/b/c", ModelRef("a", "b/c")),
        ("a", None),
        ("/b", None),
        ("a/", None),
        ("", None),
    ],
)
def test_a_reference_is_written_provider_slash_id(text: str, ref: ModelRef | None) -> None:
    assert parse_ref(text) == ref


words = st.sampled_from(["a", "b", "c", "d"])
refs = st.builds(ModelRef, st.sampled_from(["p", "q"]), words)
chains = st.lists(refs, min_size=1, max_size=3).map(tuple)
tables = st.builds(
    RouteTable,
    default=chains,
    routes=st.lists(st.builds(Route, words, chains), max_size=2).map(tuple),
    allowed=st.lists(refs, max_size=3).map(tuple),
)
people = st.lists(words.map(persona), unique_by=lambda one: one.id, max_size=3)


@settings(max_examples=100)
@given(somebody=people, table=tables)
def test_without_clashes_every_name_leads_to_models(somebody: list[Persona], table: RouteTable) -> None:
    shop = snapshot(*somebody, table=table)
    if clashes(shop):
        return
    for name in names(shop):
        choice = choose(name, None, None, shop)
        assert choice.models
        assert choice.persona == (name if name in shop.catalog else DEFAULT)
