"""What can be asked for as a model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient

from cozy_domain.errors import MissingError
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import Catalog
from cozy_domain.routing.choice import Route, RouteTable, Snapshot, choose
from cozy_domain.routing.embedding import EmbeddingRoutes
from cozy_server.openai.models import named
from tests.unit.server.scripted_chat import app_with, published


@pytest.fixture
def client() -> Any:
    with TestClient(app_with()) as client:
        yield client


def test_personas_come_first_then_aliases_then_models(client: Any) -> None:
    assert client.get("/v1/models").json() == {
        "object": "list",
        "data": [
            {"id": "anna", "object": "model", "created": 1_700_000_000, "owned_by": "cozyengine"},
            {"id": "default", "object": "model", "created": 1_700_000_000, "owned_by": "cozyengine"},
            {"id": "fast", "object": "model", "created": 0, "owned_by": "cozyengine"},
            {"id": "openai/org/big", "object": "model", "created": 0, "owned_by": "openai"},
            {"id": "text-embedding-3-small", "object": "model", "created": 0, "owned_by": "cozyengine"},
            {"id": "offline/lexical", "object": "model", "created": 0, "owned_by": "offline"},
        ],
    }


@pytest.mark.parametrize("name", ["anna", "fast", "openai/org/big", "openai%2Forg%2Fbig", "offline/lexical"])
def test_every_listed_model_can_be_read_also_with_slashes(client: Any, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["id"]) == (200, name.replace("%2F", "/"))


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("org/big", "openai"),
        ("org%2Fbig", "openai"),
        ("default", "cozyengine"),
        ("lexical", "offline"),
        ("text-embedding-3-small", "cozyengine"),
    ],
)
def test_a_model_can_be_read_by_its_bare_id_too(client: Any, name: str, owner: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert answer.json() == {**answer.json(), "id": name.replace("%2F", "/"), "owned_by": owner}


NAMES = ("a", "b", "p/a", "q/a", "p/b", "default", "q/c/d", "c/d")
refs = st.sampled_from([ModelRef("p", "a"), ModelRef("q", "a"), ModelRef("p", "b"), ModelRef("q", "c/d")])


@given(
    name=st.sampled_from(NAMES),
    aliases=st.sets(st.sampled_from(NAMES)),
    allowed=st.lists(refs).map(tuple),
)
def test_what_can_be_read_is_what_chat_accepts(
    name: str, aliases: set[str], allowed: tuple[ModelRef, ...]
) -> None:
    routes = tuple(Route(alias, (ModelRef("r", "x"),)) for alias in aliases)
    snapshot = Snapshot(Catalog([published("default")]), RouteTable((ModelRef("r", "x"),), routes, allowed))
    try:
        choose(name, None, None, snapshot)
    except MissingError:
        assert named(name, snapshot, EmbeddingRoutes()) is None
    else:
        found = named(name, snapshot, EmbeddingRoutes())
        assert found is not None
        assert found.id == name


@pytest.mark.parametrize("name", ["gpt-9", "big", "openai/org", "%00", "..%2F..%2Fetc", "a" * 300])
def test_what_is_not_listed_is_model_not_found(client: Any, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_near_miss_gets_a_suggestion(client: Any) -> None:
    assert client.get("/v1/models/ana").json()["error"]["hint"] == "Did you mean 'anna'?"
