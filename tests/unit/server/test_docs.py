"""The OpenAPI document and its page, of the real application."""

import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from cozy_server import codes, docs, openapi_page
from cozy_server.app import create_app
from cozy_server.container.container import Container
from cozy_server.settings.tree import DataSettings, ModelSettings, Settings

METHODS = {"get", "post", "put", "patch", "delete"}
OPERATION = {
    "tags",
    "summary",
    "description",
    "operationId",
    "parameters",
    "requestBody",
    "responses",
    "deprecated",
    "security",
}
SESSION = "01890000-0000-7000-8000-000000000002"


@pytest.fixture
def app(tmp_path: Path) -> Litestar:
    settings = Settings(data=DataSettings(folder=str(tmp_path)), models=ModelSettings(default="offline"))
    return create_app(Container(settings=settings, audit_key=b"k" * 32, development=True))


@pytest.fixture
def client(app: Litestar) -> Any:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def described(app: Litestar) -> dict[str, Any]:
    return sent(app)


def sent(app: Litestar) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(docs.document(app)))
    return document


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
    shown = {
        route
        for route in routes
        if not re.match(r"options |head |get /(docs|openapi|$)|post /telephone/|get /voice", route)
    }
    assert set(operations(described)) == shown


def test_every_operation_has_a_summary_and_our_errors_and_no_others(described: dict[str, Any]) -> None:
    for name, operation in operations(described).items():
        assert operation.get("summary"), name
        bad = {status for status in operation["responses"] if status[0] in "45"}
        assert bad == {"4XX", "5XX"} | ({"503"} if name == "get /readyz" else set()), name
        schema = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
        kind = "Refused" if fastrtc(name) else "Error"
        assert schema == {"$ref": f"#/components/schemas/{kind}"}


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


def fastrtc(name: str) -> bool:
    """Whether an operation answers in FastRTC's shapes; what it takes is tried in tests/e2e/test_fastrtc.py."""
    return name.endswith(("/webrtc/offer", "/outputs", "/input_hook", "/component_server"))


def parameters(operation: dict[str, Any], place: str) -> dict[str, Any]:
    return {it["name"]: it for it in operation.get("parameters", ()) if it["in"] == place}


def asked(client: Any, name: str, **given: Any) -> Any:
    method, _, path = name.partition(" ")
    return client.request(method, re.sub(r"{[^}]*}", SESSION, path), **given).json().get("error")


def test_every_operation_that_reads_its_query_says_so(client: Any, described: dict[str, Any]) -> None:
    """A parameter that nobody knows is refused by the routes that read any, and by no other."""
    strict = set()
    for name in operations(described):
        if name.endswith("{model}") or "/v1/" not in name:
            continue
        error = asked(client, name, params={"no_such": "x"}, json={} if "post" in name else None)
        if error and error["param"] == "no_such":
            strict.add(name)
    read = {name for name, it in operations(described).items() if parameters(it, "query")}
    known = {name for name in read if not fastrtc(name)}  # pages have parameters of their own there
    assert strict == known
    assert len(known) == 6


def test_every_parameter_of_a_query_is_known_to_its_route(client: Any, described: dict[str, Any]) -> None:
    for name, operation in operations(described).items():
        for parameter in () if fastrtc(name) else parameters(operation, "query"):
            error = asked(client, name, params={parameter: "x" * 300})
            assert error["code"] != "unknown_parameter", (name, parameter)


def test_every_operation_that_reads_a_body_says_so(client: Any, described: dict[str, Any]) -> None:
    reads: dict[str, str] = {}
    kinds = {"invalid_json": "application/json", "invalid_content_type": "multipart/form-data"}
    for name in operations(described):
        if "/v1/" in name and not name.endswith("{model}"):
            error = asked(client, name, content=b"{", headers={"content-type": "application/json"})
            if error and error["code"] in kinds:
                reads[name] = kinds[error["code"]]
    assert reads == {
        name: kind
        for name, it in operations(described).items()
        for kind in it.get("requestBody", {}).get("content", {})
        if not fastrtc(name)
    }
    assert len(set(reads.values())) == 2


def test_nothing_in_it_is_random(tmp_path: Path, described: dict[str, Any]) -> None:
    settings = Settings(data=DataSettings(folder=str(tmp_path)))
    other = create_app(Container(settings=settings, audit_key=b"k" * 32, development=True))
    assert sent(other) == described


def test_an_idempotency_key_is_described_where_it_is_read(described: dict[str, Any]) -> None:
    found = {
        name for name, it in operations(described).items() if "Idempotency-Key" in parameters(it, "header")
    }
    assert found == {"post /v1/chat/completions"}


def test_its_parts_are_what_openapi_3_1_allows(described: dict[str, Any]) -> None:
    """By hand after the specification (OpenAPI 3.1.0, sections 4.8.8 to 4.8.30)."""
    assert {"title", "version"} <= set(described["info"])
    names = [operation["operationId"] for operation in operations(described).values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in described["components"]["schemas"])
    schemes = set(described["components"]["securitySchemes"])
    for name, operation in operations(described).items():
        assert set(operation) <= OPERATION, name
        assert {scheme for row in operation.get("security", ()) for scheme in row} <= schemes
        in_path = set(re.findall(r"{([^}]*)}", name))
        assert set(parameters(operation, "path")) == in_path, name
        places = [(it["name"], it["in"]) for it in operation.get("parameters", ())]
        assert len(places) == len(set(places)), name
        for parameter in operation.get("parameters", ()):
            assert set(parameter) <= {"name", "in", "description", "required", "deprecated", "schema"}
            assert parameter["in"] != "path" or parameter["required"] is True
            assert "schema" in parameter
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5](\d\d|XX)", status)
            assert set(response) <= {"description", "headers", "content", "links"}
            assert response["description"]
            assert all(set(it) == {"schema"} for it in response.get("content", {}).values())


def test_its_schemas_are_json_schema_of_2020(described: dict[str, Any]) -> None:
    found = list(schemas(described))
    assert len(found) > len(described["components"]["schemas"])
    for schema in found:
        Draft202012Validator.check_schema(schema)


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema at its root: those of parameters, bodies and answers, and those with names."""
    if isinstance(node, list):
        for item in node:
            yield from schemas(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "schema":
                yield value
            elif key == "schemas":
                yield from value.values()
            else:
                yield from schemas(value)


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ({"model": "default", "messages": [{"role": "user", "content": "Hello"}]}, True),
        ({"model": "default", "messages": [{"role": "user", "content": None}]}, False),
        ({"model": "default", "messages": []}, False),
        ({"messages": [{"role": "user", "content": "Hello"}]}, False),
    ],
)
def test_the_described_body_of_chat_accepts_what_the_server_does(
    client: Any, described: dict[str, Any], body: dict[str, Any], accepted: bool
) -> None:
    schema = {"$ref": "#/components/schemas/ChatCompletionIn", "components": described["components"]}
    assert Draft202012Validator(schema).is_valid(body) is accepted
    assert (client.post("/v1/chat/completions", json=body).status_code == 200) is accepted


def test_only_public_operations_ask_for_no_key(described: dict[str, Any]) -> None:
    assert described["security"] == [{"key": []}]
    free = {name for name, operation in operations(described).items() if operation.get("security") == []}
    assert free == {"get /livez", "get /readyz", "get /health"}


def test_schemas_of_requests_and_answers_do_not_take_each_others_names(described: dict[str, Any]) -> None:
    """msgspec gives two types of one name the names of their modules, which are nobody's business."""
    assert not [name for name in described["components"]["schemas"] if "." in name or "cozy_" in name]


def test_a_union_says_which_field_tells_its_members_apart(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    parts = schemas["StoredMessageOut"]["properties"]["content"]["anyOf"][1]["items"]
    assert parts["discriminator"]["propertyName"] == "type"
    assert parts["discriminator"]["mapping"]["image_url"] == "#/components/schemas/ImagePartOut"
    messages = schemas["ChatCompletionIn"]["properties"]["messages"]["items"]
    assert messages["discriminator"]["propertyName"] == "role"


def test_a_body_that_takes_no_unknown_fields_says_so(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["CozyIn"]["additionalProperties"] is False
    assert schemas["SessionChange"]["additionalProperties"] is False


def test_an_answer_says_which_fields_it_always_has(described: dict[str, Any]) -> None:
    """Defaults are sent, unset fields are not."""
    stored = described["components"]["schemas"]["StoredMessageOut"]
    assert "object" in stored["required"]
    assert "tool_calls" not in stored["required"]
    assert described["components"]["schemas"]["ChatCompletionIn"]["required"] == ["model", "messages"]


def test_an_answer_of_another_shape_than_our_error_is_described(described: dict[str, Any]) -> None:
    found = operations(described)
    refusal = found["get /readyz"]["responses"]["503"]["content"]["application/json"]["schema"]
    assert refusal == {"$ref": "#/components/schemas/Status"}
    answered = found["post /v1/chat/completions"]["responses"]["200"]["content"]
    assert set(answered) == {"application/json", "text/event-stream"}


def test_every_example_is_what_it_is_an_example_of(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    examples = [(name, it) for name, schema in schemas.items() for it in schema.get("examples", ())]
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for operation in operations(described).values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert {name for name, _ in examples} == bodies
    for name, example in examples:
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        assert Draft202012Validator(schema).is_valid(example), name


def told(page: str, row: str) -> list[str]:
    """The cells beside a name, as text."""
    (cells,) = re.findall(rf"<tr><td><code>{row}</code></td>(.*?)</tr>", page)
    return [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", cells)]


def test_the_page_tells_the_fields_of_every_body_and_every_parameter(described: dict[str, Any]) -> None:
    page = openapi_page.html(described)
    chat = page.partition("/v1/chat/completions")[2].partition("<h3>")[0]
    assert told(chat, "model") == [
        "string, 1 to 256 characters",
        "yes",
        "A persona's id, an alias, or a provider's model: GET /v1/models lists them.".replace("'", "&#x27;"),
    ]
    assert told(chat, "temperature")[:2] == ["number, 0 to 2", "no"]
    assert told(chat, "cozy")[0] == "CozyIn"
    assert told(chat, "Idempotency-Key")[0] == "header"
    messages = page.partition("{session_id}/messages")[2].partition("<h3>")[0]
    assert told(messages, "limit") == [
        "query",
        "integer, 1 to 1000",
        "no",
        "How many at most. Default 100.",
    ]
    assert told(messages, "session_id")[:3] == ["path", "string", "yes"]


def test_every_field_of_a_body_and_every_query_parameter_says_what_it_is_for(
    described: dict[str, Any],
) -> None:
    schemas = described["components"]["schemas"]
    for operation in operations(described).values():
        for parameter in [
            *parameters(operation, "query").values(),
            *parameters(operation, "header").values(),
        ]:
            assert parameter["description"]
        for body in operation.get("requestBody", {}).get("content", {}).values():
            fields = schemas[body["schema"]["$ref"].rpartition("/")[2]]["properties"]
            assert all(field["description"] for field in fields.values())
    assert all(field["description"] for field in schemas["CozyIn"]["properties"].values())


def test_tags_are_written_alike(described: dict[str, Any]) -> None:
    tags = {tag for operation in operations(described).values() for tag in operation["tags"]}
    assert all(tag[0].isupper() for tag in tags), tags


def test_every_link_within_the_page_leads_somewhere(described: dict[str, Any]) -> None:
    page = openapi_page.html(described)
    links = set(re.findall(r"href='#([^']+)'", page))
    assert "object-CozyIn" in links
    assert links <= set(re.findall(r"id='([^']+)'", page))


def test_no_page_shows_raw_backticks_and_all_fit_a_small_screen(described: dict[str, Any]) -> None:
    for page in (openapi_page.html(described), codes.html()):
        assert "`" not in page
        assert "<meta name='viewport'" in page


def test_the_page_of_errors_looks_like_the_other_and_loads_nothing(client: Any) -> None:
    page = client.get("/docs/errors").text
    assert re.search(r"<style>[^<]*max-width", page)
    (style,) = re.findall(r"<style>([^<]*)</style>", page)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    for text in (page, client.get("/docs").text):
        assert "default-src 'none'" in text
        assert f"style-src 'sha256-{digest}'" in text
    assert f"'sha256-{digest}'" in client.get("/docs").headers["content-security-policy"]
    assert not re.search(r"<script|<link|<img|src=|href=.https?:|@import|url\(", page)


def test_a_browser_at_the_start_is_led_to_the_page_and_a_program_told_the_addresses(client: Any) -> None:
    browser = client.get("/", headers={"accept": "text/html,*/*;q=0.8"}, follow_redirects=False)
    assert (browser.status_code, browser.headers["location"]) == (302, "/docs")
    program = client.get("/", headers={"accept": "*/*"}, follow_redirects=False)
    assert program.status_code == 200
    assert program.json()["openai_base_url"] == "/v1"
    assert program.json()["docs"] == "/docs"


def test_the_page_lists_every_operation_and_loads_nothing(described: dict[str, Any]) -> None:
    page = openapi_page.html(described)
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
    page = openapi_page.html(
        {"info": {"title": evil, "version": evil}, "paths": {f"/{evil}": {"get": operation}}}
    )
    assert "<script" not in page
