"""``/voice``: a small page to call a persona from, for whoever runs `cozy dev`. It loads nothing from elsewhere."""

from importlib.resources import files
from typing import Any

import msgspec
from litestar import HttpMethod, MediaType, Request, Response, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation

from cozy_domain.routing.choice import Snapshot

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_LOADED = (HttpMethod.GET, HttpMethod.HEAD)
_STATIC = files("cozy_server.fastrtc") / "static"


class PersonaOut(msgspec.Struct, frozen=True):
    id: str
    name: str


class PersonasOut(msgspec.Struct, frozen=True):
    """Who can be called; `default` first."""

    personas: tuple[PersonaOut, ...]


@route(
    "/voice", http_method=_LOADED, media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False
)
def voice() -> Response[bytes]:
    """The page."""
    return _file("voice.html", "text/html; charset=utf-8")


@route(
    ["/voice/voice.js", "/voice/call.js", "/voice/texts.js"],
    http_method=_LOADED,
    include_in_schema=False,
    sync_to_thread=False,
)
def script(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What it does."""
    return _file(request.url.path.rpartition("/")[2], "text/javascript; charset=utf-8")


@route("/voice/voice.css", http_method=_LOADED, include_in_schema=False, sync_to_thread=False)
def style() -> Response[bytes]:
    """How it looks."""
    return _file("voice.css", "text/css; charset=utf-8")


@route("/voice/personas", http_method=_LOADED, include_in_schema=False, sync_to_thread=False)
def personas(snapshot: NamedDependency[SkipValidation[Snapshot]]) -> PersonasOut:
    """Whom it offers."""
    catalog = snapshot.catalog
    known = sorted(catalog.ids(), key=lambda it: (it != "default", it))
    return PersonasOut(tuple(PersonaOut(it, catalog.get(it).persona.name) for it in known))


routes: tuple[HTTPRouteHandler, ...] = (voice, script, style, personas)


def _file(name: str, kind: str) -> Response[bytes]:
    return Response((_STATIC / name).read_bytes(), media_type=kind, headers=_HEADERS)
