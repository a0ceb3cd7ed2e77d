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
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

from cozy_server.auth import PUBLIC
from cozy_server.problems import ErrorBody

_REFERENCE = "#/components/schemas/{name}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"$ref": _REFERENCE.format(name="ErrorBody")}},
}
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


class Taken(msgspec.Struct, frozen=True):
    """What an operation takes besides its path, as its handler's ``opt`` says: a JSON body, query parameters as the fields
    of a Struct, headers by name with what they are for. Handlers read these themselves, strictly, so Litestar does not know
    of them."""

    body: type | None = None
    query: type[msgspec.Struct] | None = None
    headers: Mapping[str, str] = {}


def document(app: Litestar) -> Json:
    """The OpenAPI document of ``app``: what Litestar knows, what the operations take, and the errors as they are."""
    generated = app.openapi_schema.to_schema()
    handlers = _handlers(app)
    taken = {name: _taken(handler) for name, handler in handlers.items()}
    bodies = [it.body for it in taken.values() if it.body]
    schemas, components = msgspec.json.schema_components([*bodies, ErrorBody], ref_template=_REFERENCE)
    references = dict(zip(bodies, schemas, strict=False))
    known = {**generated["components"].get("schemas", {}), **components, "Error": _ERROR}
    public = {name for name, handler in handlers.items() if handler.opt.get("access") == PUBLIC["access"]}

    def described(name: str, operation: Json) -> Json:
        inputs = _inputs(operation, taken.get(name, Taken()), references)
        return {**operation, **inputs, **_answers(operation), **({"security": []} if name in public else {})}

    paths = {
        path: {method: described(f"{method.upper()} {path}", it) for method, it in _operations(item)}
        for path, item in generated["paths"].items()
    }
    return {**generated, "components": {**generated["components"], "schemas": known}, "paths": paths}


@get("/openapi.json", media_type=MediaType.JSON, include_in_schema=False, sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> bytes:
    """The document for machines."""
    return msgspec.json.encode(document(request.app))


@get("/docs", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def docs_page(request: Request[Any, Any, Any]) -> Response[str]:
    """The document for people."""
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
    return Response(html(document(request.app)), headers=headers)


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


def _answers(operation: Json) -> Json:
    """Its own good ones, and our errors."""
    good = {
        status: it
        for status, it in operation.get("responses", {}).items()
        if not status.startswith(("4", "5"))
    }
    content = {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}}
    bad = {status: {"description": told, "content": content} for status, told in _ERRORS.items()}
    return {"responses": {**good, **bad}}


def _inputs(operation: Json, taken: Taken, references: Mapping[type, Json]) -> Json:
    inputs: Json = {}
    if taken.body:
        content = {"application/json": {"schema": references[taken.body]}}
        inputs["requestBody"] = {"required": True, "content": content}
    inputs["parameters"] = [*operation.get("parameters", ()), *_query(taken), *_headers(taken)]
    return inputs


def _query(taken: Taken) -> Iterator[Json]:
    if taken.query:
        schema = msgspec.json.schema(taken.query)["$defs"][taken.query.__name__]
        yield from ({"name": name, "in": "query", "schema": it} for name, it in schema["properties"].items())


def _headers(taken: Taken) -> Iterator[Json]:
    text = {"type": "string"}
    for name, told in taken.headers.items():
        yield {"name": name, "in": "header", "description": told, "schema": text}


def _taken(handler: HTTPRouteHandler) -> Taken:
    return msgspec.convert(
        {name: it for name, it in handler.opt.items() if name in Taken.__struct_fields__}, Taken
    )


def _handlers(app: Litestar) -> Mapping[str, HTTPRouteHandler]:
    """By method and path: ``GET /v1/cozy/sessions``."""
    return {
        f"{method} {route.path_format}": handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
    }


def _operations(item: Json) -> Iterator[tuple[str, Json]]:
    methods = ("get", "post", "put", "patch", "delete")
    return ((method, item[method]) for method in methods if method in item)
