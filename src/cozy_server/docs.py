"""What the API is: `/openapi.json` (OpenAPI 3.1) for machines, `/docs` for people.

Litestar's own pages load scripts from a CDN, so none of its routes is used. `/docs` is one page without scripts,
made here, under a policy that lets it load nothing.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from cozy_server.problems import ErrorBody

_ERRORS = {
    "4XX": "Refused: what is wrong with the request, and what to do.",
    "5XX": "Failed: on our side or the provider's.",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2rem; border-bottom: 1px solid #8884; } h3 { margin-bottom: 0; }
code { background: #8882; padding: 0.1em 0.3em; border-radius: 0.2em; } dd { margin-left: 1rem; }
b { display: inline-block; min-width: 4.5rem; } :root { color-scheme: light dark; }
"""
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

Json = dict[str, Any]


class _NoRoutes(Router):
    """Where Litestar would put its own pages."""

    def register(self, value: object) -> list[Any]:  # noqa: ARG002  # what is not wanted
        return []


def openapi_config() -> OpenAPIConfig:
    """For Litestar: what the document says in general."""
    bearer = SecurityScheme(type="http", scheme="bearer", description="An API key, cz_…")
    return OpenAPIConfig(
        title="CozyEngine",
        version=version("cozy-engine"),
        description="Personas over the OpenAI protocol, with sessions of their own.",
        components=Components(security_schemes={"key": bearer}),
        security=[{"key": []}],
        use_handler_docstrings=True,
        openapi_router=_NoRoutes("/", route_handlers=[]),
    )


def document(generated: Json) -> Json:
    """The document with every operation's errors as they are, instead of as Litestar would have them."""
    schemas = {**generated.get("components", {}).get("schemas", {}), **_error_schemas()}
    components = {**generated["components"], "schemas": schemas}
    paths = {path: _with_errors(item) for path, item in generated["paths"].items()}
    return {**generated, "components": components, "paths": paths}


@get("/openapi.json", media_type=MediaType.JSON, include_in_schema=False, sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> bytes:
    """The OpenAPI 3.1 document."""
    return msgspec.json.encode(document(request.app.openapi_schema.to_schema()))


@get("/docs", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def docs_page(request: Request[Any, Any, Any]) -> Response[str]:
    """The operations, for people."""
    page = html(document(request.app.openapi_schema.to_schema()))
    return Response(page, headers={"content-security-policy": _POLICY, "x-content-type-options": "nosniff"})


routes: tuple[HTTPRouteHandler, ...] = (openapi_json,)
development_routes: tuple[HTTPRouteHandler, ...] = (docs_page,)


def html(described: Json) -> str:
    """One page with every operation of an OpenAPI document."""
    info = described["info"]
    sections: dict[str, list[str]] = {}
    for path, item in described["paths"].items():
        for method, operation in _operations(item):
            tag = (operation.get("tags") or ["more"])[0]
            sections.setdefault(tag, []).append(_article(path, method, operation))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(articles)}" for tag, articles in sections.items())
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(info['title'])}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info.get('description', ''))} For machines: <a href='/openapi.json'>/openapi.json</a>. "
        f"<a href='/docs/errors'>Error codes</a>.</p>{body}</body></html>"
    )


def _article(path: str, method: str, operation: Json) -> str:
    parameters = "".join(
        f"<dt><code>{escape(it['name'])}</code> ({escape(it['in'])})</dt><dd>{escape(it.get('description', ''))}</dd>"
        for it in operation.get("parameters", ())
    )
    answers = ", ".join(escape(status) for status in operation.get("responses", {}))
    told = operation.get("description") or operation.get("summary") or ""
    return (
        f"<h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3><p>{escape(told)}</p>"
        f"<dl>{parameters}</dl><p>Answers: {answers}</p>"
    )


def _with_errors(item: Json) -> Json:
    changed = {method: _error_responses(operation) for method, operation in _operations(item)}
    return {**item, **changed}


def _error_responses(operation: Json) -> Json:
    good = {
        status: it
        for status, it in operation.get("responses", {}).items()
        if not status.startswith(("4", "5"))
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    bad = {status: {"description": told, "content": content} for status, told in _ERRORS.items()}
    return {**operation, "responses": {**good, **bad}}


def _error_schemas() -> Mapping[str, Json]:
    _, parts = msgspec.json.schema_components([ErrorBody], ref_template="#/components/schemas/{name}")
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"$ref": "#/components/schemas/ErrorBody"}},
    }
    return {**parts, "Error": error}


def _operations(item: Json) -> Iterator[tuple[str, Json]]:
    methods = ("get", "post", "put", "patch", "delete")
    return ((method, item[method]) for method in methods if method in item)
