"""What is asked, checked before anything is stored."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.chat.admit import (
    able_models,
    offer_tools,
    pinned_revision,
    route,
    sampling_for,
    sort_messages,
)
from cozy_domain.chat.request import ChatRequest
from cozy_domain.errors import InputError, MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from cozy_domain.models.request import Feature, ModelRef, Sampling, ToolChoice, ToolDefinition
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import ModelPreferences, Persona, ToolPermissions
from cozy_domain.routing.choice import Route, RouteTable, Snapshot
from cozy_domain.routing.default import OFFLINE
from cozy_domain.sessions.session import PersonaPin, Session
from cozy_domain.tools.builtin import CALCULATOR, CLOCK
from cozy_domain.tools.tool import Effect, ToolSpec
from tests.fixtures.chat import DEFAULT, OWNER, SCRIPTED, SESSION, asking, published
from tests.fixtures.turns import T0

WREN = Persona(id=PersonaId("wren"), name="Wren")
SMALL = ModelRef("scripted", "small")
SNAPSHOT = Snapshot(
    Catalog(map(published, (DEFAULT, WREN))), RouteTable((SCRIPTED,), (Route("fast", (SMALL,)),))
)
EVERYTHING = frozenset(Feature)
LOOKUP = ToolDefinition("lookup")

messages = st.lists(
    st.one_of(
        st.builds(UserMessage, st.text(max_size=3)),
        st.builds(AssistantMessage, st.text(max_size=3)),
        st.builds(SystemMessage, st.text(max_size=3)),
        st.builds(ToolMessage, st.just("c"), st.text(max_size=3)),
    ),
    max_size=8,
).map(tuple)


def session(persona: str = "wren", revision: int = 2) -> Session:
    return Session(SESSION, OWNER.id, PersonaPin(PersonaId(persona), revision), T0, T0)


# Messages.


@given(messages, st.booleans())
def test_nothing_that_is_new_gets_lost(said: tuple[Message, ...], in_session: bool) -> None:
    """Behind the last answer everything is either instruction or new; without anything new a session has no turn."""
    last = max((i for i, it in enumerate(said) if isinstance(it, AssistantMessage)), default=-1)
    new = [it for it in said[last + 1 :] if not isinstance(it, SystemMessage)]
    if not new and (in_session or not said):
        with pytest.raises(InputError):
            sort_messages(said, in_session=in_session)
        return
    found = sort_messages(said, in_session=in_session)
    assert list(found.instructions) == [it for it in said if isinstance(it, SystemMessage)]
    assert list(found.said[len(found.said) - len(new) :]) == new
    if in_session:
        assert list(found.new) == list(found.said) == new
    else:
        assert list(found.said) == [it for it in said if not isinstance(it, SystemMessage)]
        assert set(found.new) <= set(new)
        assert found.new[-1:] == tuple(new[-1:])


def test_a_stateless_call_stores_the_last_words_or_all_the_results() -> None:
    one, two = ToolMessage("a", "1"), ToolMessage("b", "2")
    spoken = sort_messages((UserMessage("a"), UserMessage("b")), in_session=False)
    assert spoken.new == (UserMessage("b"),)
    assert sort_messages((UserMessage("a"), one, two), in_session=False).new == (one, two)
    assert sort_messages((one, UserMessage("b")), in_session=False).new == (UserMessage("b"),)


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ((), "messages[0].role"),
        ((SystemMessage("be kind"),), "messages[0].role"),
        ((UserMessage("hi"), AssistantMessage("hello")), "messages[1].role"),
    ],
)
def test_a_session_that_is_told_nothing_new_is_refused_where_it_ends(
    said: tuple[Message, ...], param: str
) -> None:
    with pytest.raises(InputError) as refused:
        sort_messages(said, in_session=True)
    assert refused.value.param == param


def test_what_is_looked_for_are_the_users_last_words() -> None:
    picture = UserMessage((TextPart("and this?"), ImagePart("https://example.org/a.png")))
    said = (UserMessage("hi"), picture, ToolMessage("a", "1"))
    assert sort_messages(said, in_session=False).query == "and this?"
    assert sort_messages((ToolMessage("a", "1"),), in_session=True).query == ""


# Persona and models.


def test_the_session_keeps_its_persona_where_the_request_names_none() -> None:
    assert route(asking("hi", model="fast"), session(), SNAPSHOT).persona == "wren"
    assert route(asking("hi", model="fast"), None, SNAPSHOT).persona == "default"
    assert route(asking("hi", model="default"), session(), SNAPSHOT).persona == "default"


def test_an_unknown_model_is_missing() -> None:
    with pytest.raises(MissingError) as missing:
        route(asking("hi", model="nobody"), None, SNAPSHOT)
    assert missing.value.code == "model_not_found"


def test_a_session_needs_to_know_whose_it_is() -> None:
    with pytest.raises(InputError) as refused:
        route(asking("hi", personal=False), None, SNAPSHOT)
    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "cozy.user_id")
    assert route(asking("hi", personal=False, session=None), None, SNAPSHOT).models == (SCRIPTED,)


def test_several_choices_are_only_for_stateless_calls() -> None:
    two = Sampling(choices=2)
    with pytest.raises(InputError) as refused:
        route(asking("hi", sampling=two), None, SNAPSHOT)
    assert refused.value.param == "n"
    assert route(asking("hi", sampling=two, session=None), None, SNAPSHOT).models


@pytest.mark.parametrize(
    ("idle", "revision"), [(timedelta(0), 2), (timedelta(minutes=59, seconds=59), 2), (timedelta(hours=1), 7)]
)
def test_a_session_keeps_its_revision_until_it_was_idle_for_an_hour(idle: timedelta, revision: int) -> None:
    assert pinned_revision(PersonaId("wren"), session(), 7, T0 + idle) == revision


def test_another_persona_or_a_new_session_speaks_in_its_current_revision() -> None:
    assert pinned_revision(PersonaId("default"), session(), 7, T0) == 7
    assert pinned_revision(PersonaId("wren"), None, 7, T0) == 7


def test_models_that_cannot_do_what_is_asked_are_passed_over() -> None:
    able = {SCRIPTED: EVERYTHING - {Feature.SEED}, SMALL: EVERYTHING}
    seeded = asking("hi", sampling=Sampling(seed=1))
    assert able_models(seeded, (SCRIPTED, SMALL), able.__getitem__) == (SMALL,)
    assert able_models(asking("hi"), (SCRIPTED, SMALL), able.__getitem__) == (SCRIPTED, SMALL)


@pytest.mark.parametrize(
    ("request_", "param", "feature"),
    [
        (asking("hi", sampling=Sampling(seed=1)), "seed", "seed"),
        (asking("hi", tools=(LOOKUP,)), "tools", "tools"),
        (asking("hi", parallel_tool_calls=True), "parallel_tool_calls", "parallel_tool_calls"),
        (
            asking("", messages=(UserMessage((ImagePart("https://example.org/a.png"),)),)),
            "messages[0].content[0]",
            "images",
        ),
    ],
)
def test_what_no_model_can_do_is_refused_by_name(request_: ChatRequest, param: str, feature: str) -> None:
    with pytest.raises(InputError) as refused:
        able_models(request_, (SCRIPTED, SMALL), lambda _: frozenset())
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    assert "GET /v1/models" in (refused.value.hint or "")
    assert feature in refused.value.message
    assert str(SCRIPTED) in refused.value.message


def test_what_the_offline_model_cannot_do_is_refused_with_what_brings_one_that_can() -> None:
    picture = asking("", messages=(UserMessage((ImagePart("https://example.org/a.png"),)),))
    with pytest.raises(InputError, match="'offline/offline' does not support 'images'") as refused:
        able_models(picture, (OFFLINE,), lambda _: frozenset())
    assert "OPENAI_API_KEY, or COZY_MODEL=provider/id" in (refused.value.hint or "")


def test_a_wish_of_the_request_goes_before_the_personas() -> None:
    wishes = ModelPreferences(temperature=0.9, top_p=0.8, max_output=100, stop=("END",), reasoning="high")
    persona = replace(WREN, model=wishes)
    own = Sampling(temperature=0.0, top_p=1.0, max_output=7, stop=("STOP",), reasoning_effort="low", seed=3)
    assert sampling_for(own, persona, EVERYTHING) == own
    assert sampling_for(Sampling(seed=3), persona, EVERYTHING) == Sampling(
        temperature=0.9, top_p=0.8, max_output=100, stop=("END",), reasoning_effort="high", seed=3
    )


def test_a_wish_of_the_persona_that_the_model_does_not_know_is_left_out() -> None:
    persona = replace(WREN, model=ModelPreferences(temperature=0.9, stop=("END",), reasoning="high"))
    assert sampling_for(Sampling(), persona, frozenset()) == Sampling()


# Tools.

PERSONA = replace(WREN, tools=ToolPermissions(allow=("calculator", "clock")))
SPECS = (CALCULATOR, CLOCK)


def test_the_model_is_shown_the_servers_tools_and_then_the_clients() -> None:
    found = offer_tools(asking("hi", tools=(LOOKUP,)), PERSONA, SPECS, supported=True)
    assert [tool.name for tool in found.definitions] == ["calculator", "clock", "lookup"]
    assert set(found.server) == {"calculator", "clock"}
    assert found.client == {"lookup"}


def test_a_persona_without_tools_offers_none() -> None:
    found = offer_tools(asking("hi"), WREN, SPECS, supported=True)
    assert (found.definitions, found.server) == ((), {})


def test_a_model_that_cannot_call_tools_is_shown_none_of_the_servers() -> None:
    found = offer_tools(asking("hi"), PERSONA, SPECS, supported=False)
    assert (found.definitions, found.server) == ((), {})


def test_the_request_may_narrow_the_tools() -> None:
    found = offer_tools(asking("hi", allowed_tools=("clock",)), PERSONA, SPECS, supported=True)
    assert set(found.server) == {"clock"}


def test_a_choice_of_tools_leaves_the_others_out_of_what_runs() -> None:
    chosen = asking("hi", tool_choice=ToolChoice("required", ("clock",)))
    found = offer_tools(chosen, PERSONA, SPECS, supported=True)
    assert set(found.server) == {"clock"}


def test_a_stranger_is_one_also_where_the_choice_leaves_its_tools_out() -> None:
    lure = ToolSpec(ToolDefinition("evil__lure"), Effect.READ, server="evil")
    persona = replace(WREN, tools=ToolPermissions(allow=("clock",), mcp=("evil",)))
    chosen = asking("hi", tool_choice=ToolChoice("required", ("clock",)))
    assert offer_tools(chosen, persona, (*SPECS, lure), supported=True).strangers == {"evil"}
    assert offer_tools(asking("hi"), persona, (*SPECS, lure), supported=False).strangers == frozenset()


def test_with_several_choices_no_tool_of_the_server_runs() -> None:
    several = asking("hi", session=None, sampling=Sampling(choices=2), tools=(LOOKUP,))
    found = offer_tools(several, PERSONA, SPECS, supported=True)
    assert [tool.name for tool in found.definitions] == ["lookup"]


@pytest.mark.parametrize(
    "request_",
    [
        asking("hi", allowed_tools=("nothing",)),
        asking("hi", tools=(ToolDefinition("clock"),)),
        asking("hi", tool_choice=ToolChoice("required", ("nothing",))),
    ],
)
def test_tools_that_do_not_fit_are_refused(request_: ChatRequest) -> None:
    with pytest.raises(InputError):
        offer_tools(request_, PERSONA, SPECS, supported=True)
