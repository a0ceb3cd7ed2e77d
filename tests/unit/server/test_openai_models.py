"""What can be asked for as a model."""

from typing import Any

import pytest
from litestar.testing import TestClient

from tests.unit.server.scripted_chat import app_with


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
        ],
    }


@pytest.mark.parametrize("name", ["anna", "fast", "openai/org/big", "openai%2Forg%2Fbig"])
def test_every_listed_model_can_be_read_also_with_slashes(client: Any, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["id"]) == (200, name.replace("%2F", "/"))


@pytest.mark.parametrize("name", ["gpt-9", "openai/org", "%00", "..%2F..%2Fetc", "a" * 300])
def test_what_is_not_listed_is_model_not_found(client: Any, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_near_miss_gets_a_suggestion(client: Any) -> None:
    assert client.get("/v1/models/ana").json()["error"]["hint"] == "Did you mean 'anna'?"
