"""The OpenAPI document and its page, of the real application."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from cozy_server import docs
from cozy_server.app import TAKEN, create_app
from cozy_server.container import Container
from cozy_server.settings.tree import DataSettings, Settings

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def app(tmp_path: Path) -> Litestar:
    settings = Settings(data=DataSettings(folder=str(tmp_path)))
    return create_app(Container(settings=settings, audit_key=b"k" * 32, development=True))


@pytest.fixture
def described(app: Litestar) -> dict[str, Any]:
    return docs.document(app, TAKEN)


def operations(described: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{method} {path}": operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_it_is_openapi_3_1_and_has_every_route_of_the_api(app: Litestar, described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    routes = {
        f"{method.lower()} {route.path_format}"
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
    }
    shown = {route for route in routes if not re.match(r"options |get /(docs|openapi)", route)}
    assert set(operations(described)) == shown


def test_every_operation_has_a_summary_and_our_errors_and_no_others(described: dict[str, Any]) -> None:
    for name, operation in operations(described).items():
        assert operation.get("summary"), name
        bad = {status for status in operation["responses"] if status[0] in "45"}
        assert bad == {"4XX", "5XX"}, name
        schema = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Error"}


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    @cache
    def names() -> set[str]:
        return set(described["components"]["schemas"])

    found = set(re.findall(r"'#/components/schemas/([^']+)'", str(described)))
    assert "Error" in found
    assert found <= names()


def test_the_error_schema_requires_what_openai_requires(described: dict[str, Any]) -> None:
    schema = described["components"]["schemas"]["ErrorBody"]
    assert {"message", "type", "param", "code"} <= set(schema["required"])


def test_what_is_posted_and_asked_for_is_described(described: dict[str, Any]) -> None:
    found = operations(described)
    for name, operation in found.items():
        assert name.startswith(("get", "delete")) or operation["requestBody"]["required"], name
    schema = found["post /v1/chat/completions"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ChatCompletionIn"}
    assert "cozy" in described["components"]["schemas"]["ChatCompletionIn"]["properties"]
    parameters = found["get /v1/cozy/sessions/{session_id}/messages"]["parameters"]
    assert [(it["name"], it["in"]) for it in parameters] == [
        ("session_id", "path"),
        ("user_id", "query"),
        ("limit", "query"),
        ("after", "query"),
    ]


def test_every_row_of_what_is_taken_is_an_operation(described: dict[str, Any]) -> None:
    assert {f"{row.partition(' ')[0].lower()} {row.partition(' ')[2]}" for row in TAKEN} <= set(
        operations(described)
    )


def test_only_public_operations_ask_for_no_key(described: dict[str, Any]) -> None:
    assert described["security"] == [{"key": []}]
    free = {name for name, operation in operations(described).items() if operation.get("security") == []}
    assert free == {"get /livez", "get /readyz", "get /health"}


def test_schemas_of_requests_and_answers_do_not_take_each_others_names(
    app: Litestar, described: dict[str, Any]
) -> None:
    for name, schema in app.openapi_schema.to_schema()["components"]["schemas"].items():
        assert described["components"]["schemas"][name] == schema


def test_the_page_lists_every_operation_and_loads_nothing(described: dict[str, Any]) -> None:
    page = docs.html(described)
    for name in operations(described):
        method, _, path = name.partition(" ")
        assert f"<b>{method.upper()}</b> <code>{path}</code>" in page
    assert not re.search(r"<script|<link|<img|https?://|@import|url\(", page)


def test_text_of_the_document_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>"
    operation = {
        "summary": evil,
        "tags": [evil],
        "parameters": [{"name": evil, "in": evil}],
        "responses": {evil: {}},
    }
    page = docs.html({"info": {"title": evil, "version": evil}, "paths": {f"/{evil}": {"get": operation}}})
    assert "<script" not in page
