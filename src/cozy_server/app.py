"""The application: routes, the error table, and the one lifespan that opens and closes what the container made."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from litestar import HttpMethod, Litestar, Response, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import Headers
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.events import BaseEventEmitterBackend
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from cozy_domain.errors import ConfigError, CozyError
from cozy_domain.routing.choice import names
from cozy_domain.routing.embedding import lost
from cozy_server import docs, health
from cozy_server.auth import PUBLIC, Gate, caller_of_request
from cozy_server.container.container import Container
from cozy_server.container.speech import preload_speech
from cozy_server.container.voice import preload_lines
from cozy_server.cozy import blobs, sessions
from cozy_server.fastrtc import gradio, hooks, offer, page, socket, telephone
from cozy_server.handshake import Handshakes, remember
from cozy_server.openai import chat, embeddings, listening, models, speech, transcription
from cozy_server.problems import EXCEPTION_HANDLERS, Stamp, errors_page
from cozy_server.upkeep import upkeep

_log = logging.getLogger(__name__)
DRAIN_S = 10.0
"""So long a call may go on when the server stops: what is being said, and a goodbye."""
MOST_STRANGERS = 100
ORIGIN_CHARACTERS = 200
FASTRTC: tuple[HTTPRouteHandler, ...] = (*offer.routes, *gradio.routes, *hooks.routes, *telephone.routes)
FASTRTC_SOCKETS: tuple[WebsocketRouteHandler, ...] = (*socket.routes, *telephone.socket_routes)
ROUTES: tuple[HTTPRouteHandler, ...] = (
    *chat.routes,
    *embeddings.routes,
    *models.routes,
    *speech.routes,
    *transcription.routes,
    *sessions.routes,
    *blobs.routes,
    *FASTRTC,
    *health.routes,
)

SOCKETS: tuple[WebsocketRouteHandler, ...] = (*listening.routes, *FASTRTC_SOCKETS)


def create_app(container: Container) -> Litestar:
    """The whole server as an ASGI application. It works between the start and the end of its lifespan."""
    routes = (
        *ROUTES,
        *docs.routes,
        *((*docs.development_routes, *page.routes) if container.development() else ()),
    )
    mount = container.settings().voice.mount
    below = (
        [Router(mount, route_handlers=[*_methods_told(FASTRTC), *FASTRTC, *FASTRTC_SOCKETS])] if mount else []
    )
    cors = _cors(container.settings().server.cors_origins)
    app = Litestar(
        [
            *_methods_told(routes),
            *routes,
            *SOCKETS,
            *below,
            Router("/", route_handlers=[errors_page], opt=PUBLIC),
        ],
        dependencies={
            "caller": Provide(caller_of_request, sync_to_thread=False),
            "clock": _from(container.clock),
            "blobs": _from(container.blobs),
            "conversations": _from(container.conversations),
            "embedding": _from(container.embedding),
            "embedding_routes": _from(container.embedding_routes),
            "history": _from(container.history),
            "listening_parts": _from(container.listening_parts),
            "pipeline": _from(container.pipeline),
            "sessions": _from(container.sessions),
            "snapshot": _from(container.snapshot),
            "fastrtc_sockets": _from(container.fastrtc_sockets),
            "speech": _from(container.speech),
            "telephone": _from(container.telephone),
            "transcription_parts": _from(container.transcription_parts),
            "vitals": _from(container.vitals),
            "webrtc": _from(container.webrtc),
        },
        middleware=[
            DefineMiddleware(
                Gate,
                door=container.door(),
                refusals=container.refusals(),
                brake=container.throttle(),
                origins=container.settings().server.cors_origins,
            )
        ],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        event_emitter_backend=_NoEvents,
        openapi_config=docs.openapi_config(),
        cors_config=cors,
        lifespan=[lambda _: opened(container)],
        after_exception=[remember],
        logging_config=None,
        debug=False,
    )
    if container.development():
        app.asgi_handler = Strangers(app.asgi_handler, cors)
    # Around everything, the answers of Litestar's router and of CORS included.
    handshakes = Handshakes(app.asgi_handler)
    app.asgi_handler = Stamp(handshakes, container.ids(), container.clock(), container.access_log())
    return app


class Strangers:
    """Tells the log, once for each, of pages whose origin is not listed: their browser tells them nothing that helps. It is
    around the answers of CORS, for a browser that asks beforehand gets no other."""

    def __init__(self, app: ASGIApp, cors: CORSConfig | None) -> None:
        self._app = app
        self._cors = cors
        self._known: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == HttpMethod.OPTIONS:
            origin = Headers.from_scope(scope).get("origin")
            if origin and not (self._cors and self._cors.is_origin_allowed(origin)):
                self._note(origin)
        await self._app(scope, receive, send)

    def _note(self, origin: str) -> None:
        if origin in self._known or len(self._known) >= MOST_STRANGERS:
            return
        self._known.add(origin)
        _log.warning(
            "origin_not_listed",
            extra={
                "origin": origin[:ORIGIN_CHARACTERS],
                "told": "A page of this origin may call when server.cors_origins lists it.",
            },
        )


def _methods_told(handlers: Iterable[HTTPRouteHandler]) -> Iterator[HTTPRouteHandler]:
    """The answer to OPTIONS for each path, to be registered first. Litestar's own names only the method that a path had
    when it was first registered."""
    by_path: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            by_path.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    for path, methods in by_path.items():
        yield _options(path, ", ".join(sorted(methods)))


def _options(path: str, methods: str) -> HTTPRouteHandler:
    def told() -> Response[None]:
        return Response(None, status_code=204, headers={"allow": methods})

    return HTTPRouteHandler(
        path, http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False
    )(told)


class _NoEvents(BaseEventEmitterBackend):
    """Nothing here emits Litestar's events, and its own backend would wrap whatever fails at the start in a group."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def emit(self, event_id: str, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(event_id)


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[None]:
    """Everything that was opened inside is closed after it, in reverse order, whatever happens.

    Raises:
        ConfigError: personas, routes or the default model are not as they must be.
        StorageUnavailableError: the store cannot be used.
    """
    async with AsyncExitStack() as stack:
        database = container.database()
        await database.aopen()
        stack.push_async_callback(database.aclose)
        stack.push_async_callback(_close_models, container)
        stack.push_async_callback(_close_speech, container)
        if shared := container.shared_limits():
            await stack.enter_async_context(shared.running())
        await configure(container)
        stack.push_async_callback(container.assembly().aclose)
        await stack.enter_async_context(container.tool_servers().running())
        await stack.enter_async_context(
            upkeep(
                container.sealing(),
                container.worker(),
                container.configuration(),
                container.persona_reload(),
            )
        )
        # Answers under way had their time before: the server waits for its clients.
        await stack.enter_async_context(container.pipeline().running(drain_s=0.0))
        stack.push_async_callback(_close_lines, container)
        if calling := container.calling():
            stack.push_async_callback(_close_detector, container)
            await stack.enter_async_context(calling.running(DRAIN_S))
        yield


async def configure(container: Container) -> None:
    """Loads the personas and settles the default model.

    Raises:
        ConfigError: something is wrong with them; with all of it.
    """
    configuration = container.configuration()
    await configuration.look()
    await container.persona_reload().load()
    await configuration.settle()
    container.voices()  # one that is none is refused now
    container.recognisers()  # likewise
    if wrong := (*configuration.clashes(), *_lost_embedders(container)):
        raise ConfigError("\n".join(wrong))


def _lost_embedders(container: Container) -> Iterator[str]:
    settings, embedder = container.settings().models, container.embedders()
    return lost(
        settings.embedding,
        tuple(settings.embeddings.items()),
        providers=[name for name in container.models() if embedder(name)],
        taken=names(container.snapshot()),
    )


async def _close_models(container: Container) -> None:
    """Those that hold connections; more may have been found since the start."""
    for model in container.models().values():
        if hasattr(model, "aclose"):
            await model.aclose()


async def warm_speech(container: Container) -> None:
    """Loads and starts what connects, speaks and listens, in the order in which a call needs it, so that the first one does
    not wait for it."""
    voices = ((it.name, it.engine) for it in container.voices().engines)
    recognisers = ((it.name, it.engine) for it in container.recognisers().engines)
    await asyncio.gather(asyncio.to_thread(preload_lines), _started(voices))
    await _started([("detector", container.detector())])
    await asyncio.to_thread(preload_speech)
    await _started(recognisers)


async def _started(engines: Iterable[tuple[str, object]]) -> None:
    for name, engine in engines:
        if hasattr(engine, "aopen"):
            try:
                await engine.aopen()
            except CozyError as error:  # whoever asks for it is told too
                _log.warning("speech_engine_unusable", extra={"engine": name, "told": str(error)})


async def _close_lines(container: Container) -> None:
    """Their calls have ended."""
    await container.conversations().aclose()
    if connections := container.peer_connections():
        await connections.aclose()


async def _close_detector(container: Container) -> None:
    detector = container.detector()
    if hasattr(detector, "aclose"):
        await detector.aclose()


async def _close_speech(container: Container) -> None:
    """Those with a thread or a process of their own; the others work over the connections of a model."""
    voices = [it.engine for it in container.voices().engines]
    recognisers = [it.engine for it in container.recognisers().engines]
    for owned in (*voices, *recognisers, container.codec()):
        if owned is not None and hasattr(owned, "aclose"):
            await owned.aclose()


def _from(provider: Callable[[], Any]) -> Provide:
    """The pattern that Litestar and dependency-injector agree on: a plain function, resolved at each request, so that
    ``override`` works in tests."""

    def resolve() -> Any:
        return provider()

    return Provide(resolve, sync_to_thread=False)


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    """For pages of origins that somebody chose. They may send any header, because the SDKs of OpenAI send some of their own
    (``x-stainless-*``), and cookies, because Gradio's client does and a browser keeps the answer from it otherwise; nothing
    here reads a cookie. A proxy in front may: where any origin fits, nobody chose it, and cookies stay away."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["*"],
        allow_credentials=not any("*" in it for it in origins),
        expose_headers=[
            "x-request-id",
            "retry-after",
            "openai-processing-ms",
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
    )
