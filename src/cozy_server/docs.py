"""What the API is: `/openapi.json` (OpenAPI 3.1) for machines, `/docs` for people.

Litestar's own pages load scripts from a CDN, so none of its routes is used. `/docs` is one page without scripts,
made here, under a policy that lets it load nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Redirect
from litestar.routes import HTTPRoute

from cozy_server.auth import PUBLIC
from cozy_server.openapi_page import html, operations, reached
from cozy_server.page import POLICY
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

_EVENTS = {
    "description": "Server-sent events: `data: {…}` each, `data: [DONE]` at the end.",
}

_OPENAI = "As at OpenAI."
_HEARING_WORDS: Mapping[str, str] = {
    "file": "MP3, WAV, M4A, MP4, WebM, OGG, FLAC or AAC, at most 25 MB.",
    "model": "A recogniser of the settings, a persona, or one of OpenAI's names for the first recogniser.",
    "language": "Of what is said; absent: the persona's.",
    "languages": "One at most.",
    "keywords": "Words that may occur, and how they are written.",
    "timestamp_granularities": "With `verbose_json`; `word` needs a recogniser that tells times of words.",
    "stream": "Server-sent events, with `json` only.",
    "include": "Refused: no recogniser here tells what may be listed.",
    "chunking_strategy": "`auto` is what happens anyway.",
    "known_speaker_names": "Refused: speakers are not told apart.",
    "known_speaker_references": "Refused: speakers are not told apart.",
    "cozy": "Our extension: `cozy[personality_id]` and `cozy[user_id]`, or an object as JSON.",
}
_WORDS: Mapping[str, Mapping[str, str]] = {
    "ChatCompletionIn": {
        "model": "A persona's id, an alias, or a provider's model: `GET /v1/models` lists them.",
        "messages": "The conversation, oldest first; with `cozy.session_id` only what is new.",
        "stream": "Chunks as server-sent events instead of one answer.",
        "tools": "Functions of the caller's own, beside those of the server.",
        "safety_identifier": "Who the person is, where `cozy.user_id` is absent.",
        "user": "Who the person is, where `cozy.user_id` and `safety_identifier` are absent.",
        "cozy": "What OpenAI's protocol has no words for.",
    },
    "CozyIn": {
        "personality_id": "The persona that speaks, whatever `model` says.",
        "session_id": "A UUID: the conversation that the server keeps. One that is not known begins it.",
        "user_id": "For which person the key asks; absent: for its account.",
        "timezone": "IANA name of the person's zone, such as `Asia/Shanghai`.",
        "use_personalization": "Whether memory and profile are used; absent: as the persona says.",
        "allowed_tools": "Which of the persona's tools may run: `[]` none; absent: all.",
    },
    "EmbeddingIn": {
        "model": "The embedding model in force, or another name for one: `GET /v1/models` lists them.",
        "input": "A text, or up to 2,048; or the tokens of one, or of several, for models that take tokens.",
        "encoding_format": "`base64` is little-endian float32; numbers by default.",
        "user": "Who the person is.",
    },
    "SpeechIn": {
        "model": "A speech engine of the settings, a persona, or one of OpenAI's names for the first engine.",
        "input": "What to say, at most 4,096 characters.",
        "voice": "A name that the engine knows; a persona's own voice comes first.",
        "cozy": "Our extension.",
    },
    "CozySpeechIn": {
        "personality_id": "The persona that speaks or listens: its voice, recogniser, language and pace.",
        "user_id": "Who the person is, for a key that serves many.",
    },
    "TranscriptionIn": {**_HEARING_WORDS},
    "TranslationIn": {**_HEARING_WORDS, "stream": "Translations are not streamed."},
    "SessionChange": {"title": "Its new name."},
    "OfferIn": {
        "webrtc_id": "Made up by the client; the key to everything of this call, for its caller alone.",
        "type": "`offer`, or `ice-candidate` with a `candidate`.",
        "sdp": "Of an offer: what `createOffer()` gave.",
        "candidate": "What the event `icecandidate` gave.",
        "cozy": "`persona`, `session`, `token`, `user_id`, `timezone` and `call`, as in the query.",
    },
    "Candidate": {
        "candidate": "Empty: there are no more.",
        "sdpMid": "As the browser gives it.",
        "sdpMLineIndex": "As the browser gives it.",
        "usernameFragment": "As the browser gives it.",
    },
    "InputHookIn": {
        "webrtc_id": "The id that the client gave its call.",
        "text": "What was typed; it starts a turn.",
    },
    "ComponentCall": {
        "fn_name": "`offer`, `turn` or `quit_output_stream`.",
        "data": "What the function takes: the body of an offer or a candidate, nothing, or `webrtc_id`.",
    },
}
"""Of the fields of bodies, by schema."""
_QUERY_WORDS: Mapping[str, str] = {
    "user_id": "For which person the key asks, as `cozy.user_id` in a chat request; absent: for its account.",
    "limit": "How many at most.",
    "after": "`next` of the page before.",
    "token": "An API key, where no header can be sent.",
    "persona": "Who answers, by its id; `default` unless given.",
    "session": "The conversation to go on with, by its id; else a new one.",
    "timezone": "IANA zone of who speaks.",
    "call": "The `call_id` of a call whose line was lost.",
    "webrtc_id": "The id that the client gave its call.",
}

_EXAMPLES: Mapping[str, Any] = {
    "ChatCompletionIn": {"model": "default", "messages": [{"role": "user", "content": "Hello"}]},
    "SpeechIn": {"model": "tts-1", "voice": "alloy", "input": "Good evening, and welcome."},
    "EmbeddingIn": {"model": "lexical", "input": ["A walk by the sea", "Rain in Vienna"]},
    "SessionChange": {"title": "A walk by the sea"},
    "OfferIn": {"webrtc_id": "x7f3k", "type": "ice-candidate", "candidate": {"candidate": ""}},
    "InputHookIn": {"webrtc_id": "x7f3k", "text": "Hello"},
    "ComponentCall": {"fn_name": "turn", "data": []},
}
"""Of bodies, by schema."""

Json = dict[str, Any]

_BINARY: Json = {"type": "string", "format": "binary"}


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


class Header(msgspec.Struct, frozen=True):
    """What it is for, and what its value must match as a whole."""

    told: str
    pattern: str


class Taken(msgspec.Struct, frozen=True):
    """What an operation takes besides its path, as its handler's ``opt`` says: a JSON body, or the fields of a form with a
    file; query parameters as the fields of a Struct, headers by name. Handlers read these themselves, strictly, so Litestar
    does not know of them. ``refusal`` is the shape of errors where it is not ours. One that ``streams`` may also answer with
    server-sent events; ``media_types`` are those of an answer that is no JSON."""

    body: type | None = None
    form: type | None = None
    query: type[msgspec.Struct] | None = None
    headers: Mapping[str, Header] = {}
    refusal: type | None = None
    streams: bool = False
    media_types: tuple[str, ...] = ()


class Start(msgspec.Struct, frozen=True):
    """What a program is told that asks for ``/``."""

    version: str
    name: str = "CozyEngine"
    openai_base_url: str = "/v1"
    docs: str = "/docs"
    openapi: str = "/openapi.json"


def document(app: Litestar) -> Json:
    """The OpenAPI document of ``app``: what Litestar knows, what the operations take, and the errors as they are."""
    generated = app.openapi_schema.to_schema()
    handlers = _handlers(app)
    taken = {name: _taken(handler) for name, handler in handlers.items()}
    answered = {name: _answered(handler) for name, handler in handlers.items()}
    bodies = list(dict.fromkeys(kind for it in taken.values() if (kind := it.body or it.form)))
    refusals = list(dict.fromkeys(it.refusal for it in taken.values() if it.refusal))
    forms = {it.form.__name__ for it in taken.values() if it.form}
    answers = list(dict.fromkeys(kind for kinds in answered.values() for kind in kinds.values()))
    schemas, components = msgspec.json.schema_components(
        [*bodies, *answers, *refusals, ErrorBody], ref_template=_REFERENCE
    )
    references = dict(zip([*bodies, *answers, *refusals], schemas, strict=False))
    whole = _whole(components, schemas[len(bodies) :], schemas[: len(bodies)])
    with_files = {name: _with_file(it) if name in forms else it for name, it in whole.items()}
    known = {**_worded(with_files), "Error": _ERROR}
    public = {name for name, handler in handlers.items() if handler.opt.get("access") == PUBLIC["access"]}

    def described(name: str, operation: Mapping[str, Any]) -> Json:
        inputs = _inputs(operation, taken.get(name, Taken()), references)
        kinds = {status: references[kind] for status, kind in answered.get(name, {}).items()}
        told = _answers(operation, kinds, taken.get(name, Taken()), references)
        return {**operation, **inputs, **told, **({"security": []} if name in public else {})}

    paths = {
        path: {method: described(f"{method.upper()} {path}", it) for method, it in operations(item)}
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
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    return Response(html(document(request.app)), headers=headers)


@get("/", media_type=MediaType.JSON, include_in_schema=False, sync_to_thread=False)
def start(request: Request[Any, Any, Any]) -> Response[Any]:
    """Where to go from here: a browser is led to the page, a program is told the addresses."""
    if "text/html" in request.headers.get("accept", ""):
        return Redirect("/docs", status_code=302)
    return Response(Start(version=version("cozy-engine")))


routes: tuple[HTTPRouteHandler, ...] = (openapi_json,)
development_routes: tuple[HTTPRouteHandler, ...] = (docs_page, start)


def _worded(schemas: Json) -> Json:
    """With what each field is for, which types cannot say, and an example of each body."""
    worded = {**schemas, **{name: _with_words(schemas[name], words) for name, words in _WORDS.items()}}
    return {**worded, **{name: {**worded[name], "examples": [it]} for name, it in _EXAMPLES.items()}}


def _with_words(schema: Json, words: Mapping[str, str]) -> Json:
    fields = schema["properties"].items()
    return {
        **schema,
        "properties": {name: {**it, "description": words.get(name, _OPENAI)} for name, it in fields},
    }


def _whole(schemas: Json, answers: Iterable[Json], bodies: Iterable[Json]) -> Json:
    """With what an answer always has: a default leaves no field out of it. In a body it does."""
    named = {*reached(answers, schemas)} - {*reached(bodies, schemas)}
    return {name: _all_sent(schema) if name in named else schema for name, schema in schemas.items()}


def _with_file(schema: Json) -> Json:
    """A form's, whose file is no field of its Struct."""
    properties = {"file": _BINARY, **schema["properties"]}
    return {**schema, "required": ["file", *schema.get("required", ())], "properties": properties}


def _all_sent(schema: Json) -> Json:
    defaulted = [name for name, it in schema["properties"].items() if "default" in it]
    return {**schema, "required": [*schema.get("required", ()), *defaulted]}


def _answers(
    operation: Mapping[str, Any], kinds: Mapping[str, Json], taken: Taken, references: Mapping[type, Json]
) -> Json:
    """Its own ones, and our errors."""
    own = {
        status: {**it, **_content(kinds[status], taken)} if status in kinds else {**it, **_bytes(taken)}
        for status, it in operation.get("responses", {}).items()
        if status in kinds or not status.startswith(("4", "5"))
    }
    shape = references[taken.refusal] if taken.refusal else {"$ref": _REFERENCE.format(name="Error")}
    content = _content(shape, Taken())
    bad = {status: {"description": told, **content} for status, told in _ERRORS.items()}
    return {"responses": {**own, **bad}}


def _content(schema: Json, taken: Taken) -> Json:
    others = _bytes(taken).get("content", {})
    events = {"text/event-stream": {"schema": _EVENTS}} if taken.streams else {}
    return {"content": {"application/json": {"schema": schema}, **others, **events}}


def _bytes(taken: Taken) -> Json:
    if not taken.media_types:
        return {}
    events = {"text/event-stream": {"schema": _EVENTS}} if taken.streams else {}
    return {"content": {**{it: {"schema": _schema_of(it)} for it in taken.media_types}, **events}}


def _schema_of(media_type: str) -> Json:
    return {"type": "string"} if media_type.startswith("text/") else _BINARY


def _inputs(operation: Mapping[str, Any], taken: Taken, references: Mapping[type, Json]) -> Json:
    inputs: Json = {}
    if taken.body:
        content = {"application/json": {"schema": references[taken.body]}}
        inputs["requestBody"] = {"required": True, "content": content}
    if taken.form:
        content = {"multipart/form-data": {"schema": references[taken.form]}}
        inputs["requestBody"] = {"required": True, "content": content}
    inputs["parameters"] = [*operation.get("parameters", ()), *_query(taken), *_headers(taken)]
    return inputs


def _query(taken: Taken) -> Iterator[Json]:
    if taken.query:
        schema = msgspec.json.schema(taken.query)["$defs"][taken.query.__name__]
        for name, it in schema["properties"].items():
            required = {"required": True} if name in schema.get("required", ()) else {}
            yield {"name": name, "in": "query", "description": _QUERY_WORDS[name], **required, "schema": it}


def _headers(taken: Taken) -> Iterator[Json]:
    for name, it in taken.headers.items():
        schema = {"type": "string", "pattern": f"^{it.pattern}$"}
        yield {"name": name, "in": "header", "description": it.told, "schema": schema}


def _taken(handler: HTTPRouteHandler) -> Taken:
    return msgspec.convert(
        {name: it for name, it in handler.opt.items() if name in Taken.__struct_fields__}, Taken
    )


def _answered(handler: HTTPRouteHandler) -> Mapping[str, type[msgspec.Struct]]:
    """The objects that it answers, by status. Litestar's own schemas of them lack discriminators and descriptions."""
    returned = handler.parsed_fn_signature.return_type
    if returned.is_subclass_of(Response) and returned.inner_types:
        returned = returned.inner_types[0]
    specs = {str(status): spec.data_container for status, spec in (handler.responses or {}).items()}
    kinds = {str(handler.status_code): returned.annotation, **specs}
    return {
        status: kind
        for status, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }


def _handlers(app: Litestar) -> Mapping[str, HTTPRouteHandler]:
    """By method and path: ``GET /v1/cozy/sessions``."""
    return {
        f"{method} {route.path_format}": handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
    }
