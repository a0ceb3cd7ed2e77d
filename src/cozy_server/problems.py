"""Errors as a client sees them: one table from error classes to HTTP, one body, on every path.

The body is OpenAI's error object with ``hint``, ``doc_url`` and ``request_id`` added, because SDKs read nothing else: any
other shape loses the message. What an unexpected exception says never leaves the server; it is logged under the request's
id. `Stamp` puts that id, and the time it took, on every answer.
"""

import logging
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec.structs import replace

from cozy_domain import errors
from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError
from cozy_domain.ids import Ids
from cozy_server.codes import CODES, Code, Language, Words, html

logger = logging.getLogger(__name__)

DOCS = "/docs/errors"
STORAGE_RETRY_S = 2.0
"""A store that does not answer is looked at again soon: its own deadlines are of that size."""

SHED = "server_overloaded"
"""The pipeline tells how many; a line for each would be work for a server that has too much of it."""

_REQUEST = "invalid_request_error"
_SERVER = "server_error"
_LONGEST_PATH_SHOWN = 200
_SWITCHED = 101
_LANGUAGES_READ = 20
_PARAMETER = re.compile(r"parameter '([^']{1,64})'")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Row(msgspec.Struct, frozen=True):
    """HTTP ``status`` and OpenAI ``type`` of an error class; ``by_code`` where single codes differ, else ``by_about`` where
    it matters what a provider minds. What an ``opaque`` error says is for the operator: the client gets the code's own
    sentence."""

    status: int
    type: str
    by_code: Mapping[str, tuple[int, str]] = {}
    by_about: Mapping[str, tuple[int, str]] = {}
    opaque: bool = False


TABLE: Mapping[type[CozyError], Row] = {
    CozyError: Row(500, _SERVER, opaque=True),
    errors.InputError: Row(
        400,
        _REQUEST,
        {
            "method_not_supported": (405, _REQUEST),
            "request_timeout": (408, _REQUEST),
            "body_too_large": (413, _REQUEST),
            "headers_too_large": (431, _REQUEST),
        },
    ),
    errors.AccessError: Row(
        403, _REQUEST, {"invalid_api_key": (401, _REQUEST), "missing_api_key": (401, _REQUEST)}
    ),
    errors.MissingError: Row(404, _REQUEST),
    errors.LimitError: Row(
        429,
        "requests",
        {
            "insufficient_quota": (429, "insufficient_quota"),
            "server_shutdown": (503, _SERVER),
            "server_overloaded": (503, _SERVER),
        },
    ),
    errors.ProviderError: Row(502, _SERVER),
    errors.ProviderTimeoutError: Row(504, _SERVER),
    errors.ProviderUnavailableError: Row(503, _SERVER),
    errors.ProviderOverloadedError: Row(
        429,
        "requests",
        {"insufficient_quota": (429, "insufficient_quota"), errors.OVERLOADED: (503, _SERVER)},
    ),
    # A refusal that is about the request is the caller's to mend; any other (a wrong provider key) is ours, so 502.
    errors.ProviderRefusedError: Row(
        502,
        _SERVER,
        {"insufficient_quota": (429, "insufficient_quota")},
        by_about={"request": (400, _REQUEST)},
    ),
    errors.ProviderMalformedError: Row(502, _SERVER),
    errors.StorageError: Row(500, _SERVER, opaque=True),
    errors.StorageUnavailableError: Row(503, _SERVER, opaque=True),
    # Not 409: SDKs try that again, and a conflict of names is there to stay.
    errors.StorageConflictError: Row(400, _REQUEST),
    errors.ToolError: Row(502, _SERVER),
    errors.PluginError: Row(500, _SERVER, opaque=True),
    errors.ConfigError: Row(500, _SERVER, opaque=True),
    errors.ProtocolError: Row(500, _SERVER, opaque=True),
    errors.LocalProtocolError: Row(500, _SERVER, opaque=True),
    errors.RemoteProtocolError: Row(400, _REQUEST),
}


class ErrorBody(msgspec.Struct, frozen=True):
    """The first four are OpenAI's, and all required; ``param`` is a JSON path into the request."""

    message: str
    type: str
    param: str | None
    code: str | None
    hint: str
    doc_url: str
    request_id: str | None


class Problem(msgspec.Struct, frozen=True):
    """An answer that is an error. ``headers`` in lower case."""

    status: int
    error: ErrorBody
    headers: Mapping[str, str]

    @property
    def body(self) -> bytes:
        """``{"error": {…}}`` as JSON, on one line."""
        return _ENCODER.encode({"error": self.error})


_ENCODER = msgspec.json.Encoder()


def problem_of(error: Exception, *, request: str | None, language: Language = "en") -> Problem:
    """What the client is told about ``error``; ``request`` is the request's id."""
    known = error if isinstance(error, CozyError) else CozyError("", code="server_error")
    row = _row(known)
    status, kind = _place(known, row)
    code = _code(known, row)
    return Problem(
        status=status,
        error=ErrorBody(
            message=_message(known, row, code.words(language), language),
            type=kind,
            param=known.param,
            code=None if code.code == "missing_api_key" else code.code,
            hint=_hint(known, row, code.words(language), language),
            doc_url=f"{DOCS}#{code.code}",
            request_id=request,
        ),
        headers=_headers(known),
    )


def answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the whole application: no other shape of error leaves the server."""
    problem = problem_in(error, request.scope)
    note_failure(error, problem)
    return Response(
        problem.body,
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type=MediaType.JSON,
    )


def problem_in(error: Exception, scope: Scope) -> Problem:
    """What the client is told about an ``error`` of ours, of Litestar's, or of nobody's, in its own language."""
    known = _of_http(error, scope) if isinstance(error, HTTPException) else error
    problem = problem_of(known, request=request_id(scope), language=language_of(scope))
    if not isinstance(error, HTTPException):
        return problem
    headers = {**_spoken(error.headers or {}), **problem.headers}
    status = problem.status if scope["type"] == ScopeType.WEBSOCKET else _plain_status(error.status_code)
    return replace(problem, status=status, headers=headers)


EXCEPTION_HANDLERS: Mapping[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[Any]]]
EXCEPTION_HANDLERS = {Exception: answer_problem}


def note_failure(error: Exception, problem: Problem) -> None:
    """Logs what is our fault; the caller's own mistakes are no news. A provider's words may quote the conversation, so of
    its failures only the code, the provider and the status are logged."""
    fields = {"request": problem.error.request_id, "code": problem.error.code, "status": problem.status}
    if isinstance(error, HTTPException):
        if problem.status >= 500:
            logger.warning("request_failed", extra=fields)
    elif not isinstance(error, CozyError):
        logger.error("request_crashed", extra=fields, exc_info=error)
    elif problem.status >= 500 and isinstance(error, errors.ProviderError):
        logger.warning("request_failed", extra={**fields, "provider": error.provider})
    elif problem.status >= 500 and error.code != SHED:
        logger.warning("request_failed", extra={**fields, "reason": str(error)})


def request_id(scope: Scope) -> str | None:
    """The id that `Stamp` gave this request; None where nothing stamps."""
    return cast("str | None", scope.get("state", {}).get("request_id"))


def language_of(scope: Scope) -> Language:
    """Chinese when Accept-Language ranks it above English, else English."""
    header = Headers.from_scope(scope).get("accept-language", "").lower()
    ranked: list[tuple[float, Language]] = [(0.0, "en")]
    for item in header.split(",")[:_LANGUAGES_READ]:
        tag, _, quality = item.strip().partition(";q=")
        if tag.startswith("zh"):
            ranked.append((_quality(quality), "zh"))
        elif tag.startswith("en"):
            ranked.append((_quality(quality), "en"))
    return max(ranked, key=lambda pair: pair[0])[1]


@get(DOCS, media_type=MediaType.HTML, sync_to_thread=False, include_in_schema=False)
def errors_page() -> str:
    """What each error code means, with an anchor for each."""
    return html()


Note = Callable[[Scope, int | None, int], None]
"""Told of a request when it is over: its scope, the status (None when nothing was answered) and nanoseconds."""


class Stamp:
    """Wraps the whole application: gives each request its id, and every answer the headers that OpenAI's SDKs read.

    A caller's own ``x-request-id`` is kept when it is 1-64 letters, digits, ``.``, ``_`` or ``-``. Who knows more to tell
    with every answer, an error's too, leaves it in the scope's state as ``answer_headers``, pairs of bytes.
    """

    def __init__(self, app: ASGIApp, ids: Ids, clock: Clock, note: Note | None = None) -> None:
        self._app = app
        self._ids = ids
        self._clock = clock
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began_ns = self._clock.monotonic_ns()
        given = Headers.from_scope(scope).get("x-request-id", "")
        request = given if _REQUEST_ID.fullmatch(given) else f"req_{self._ids.new().hex}"
        state = scope.setdefault("state", {})
        state["request_id"] = request
        status: int | None = None

        # Not a coroutine function: it hands on the awaitable of `send`, so a chunk costs one plain call more.
        def stamped(message: Message) -> Any:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                took_ms = (self._clock.monotonic_ns() - began_ns) // 1_000_000
                extra = [
                    (b"x-request-id", request.encode()),
                    (b"openai-processing-ms", str(took_ms).encode()),
                    *state.get("answer_headers", ()),
                ]
                message["headers"] = [*message["headers"], *extra]
            elif message["type"] == "websocket.accept":
                status = _SWITCHED
                message["headers"] = [*message["headers"], (b"x-request-id", request.encode())]
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._app(scope, receive, stamped)
        finally:
            if self._note:
                self._note(scope, status, self._clock.monotonic_ns() - began_ns)


def _row(error: CozyError) -> Row:
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def _place(error: CozyError, row: Row) -> tuple[int, str]:
    """HTTP status and OpenAI type."""
    about = error.about if isinstance(error, errors.ProviderRefusedError) else ""
    return row.by_code.get(error.code) or row.by_about.get(about) or (row.status, row.type)


def _code(error: CozyError, row: Row) -> Code:
    """Always one of ours: providers make up codes of their own, and their ``invalid_api_key`` means our key, not the
    caller's."""
    ours = isinstance(error, errors.ProviderRefusedError) and error.about == "credential"
    if ours and error.code not in row.by_code:
        return CODES["provider_credential_refused"]
    return CODES.get(error.code) or CODES[error.default_code]


def _message(error: CozyError, row: Row, words: Words, language: Language) -> str:
    said = "" if row.opaque else error.message
    if language == "zh":
        return f"{words.cause}（{said}）" if said else words.cause
    return said or words.cause


def _hint(error: CozyError, row: Row, words: Words, language: Language) -> str:
    said = None if row.opaque else error.hint
    if language == "zh" and said:
        return f"{words.hint}（{said}）"
    return said or words.hint


def _headers(error: CozyError) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    wait_s = _retry_after_s(error)
    if wait_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
        headers["retry-after-ms"] = str(max(1, math.ceil(wait_s * 1_000)))
    if _is_final(error, wait_s):
        headers["x-should-retry"] = "false"
    if isinstance(error, errors.AccessError) and error.code.endswith("_api_key"):
        headers["www-authenticate"] = "Bearer"
    return headers


def _retry_after_s(error: CozyError) -> float | None:
    if isinstance(error, errors.LimitError):
        return None if error.code == "insufficient_quota" else error.retry_after_s
    if isinstance(error, errors.ProviderError):
        return error.retry_after_s
    return STORAGE_RETRY_S if isinstance(error, errors.StorageUnavailableError) else None


def _is_final(error: CozyError, wait_s: float | None) -> bool:
    """Whether an SDK must not send it again by itself: the money is spent, or the chain of models was retried here."""
    if isinstance(error, errors.ProviderError):
        return error.billed or error.retried or not error.retryable or wait_s is None
    if isinstance(error, errors.LimitError):
        return error.code == "insufficient_quota"
    return not error.retryable and _row(error).status >= 500


def _spoken(headers: Mapping[str, str]) -> dict[str, str]:
    """Litestar counts a socket among the methods of its path."""
    return {
        name: ", ".join(it for it in value.split(", ") if it != "websocket") if name == "allow" else value
        for name, value in headers.items()
    }


def _plain_status(status: int) -> int:
    """OpenAI answers 400 to whatever is wrong with a request, and SDKs know it so."""
    return 400 if status in (415, 422) else status


def _of_http(error: HTTPException, scope: Scope) -> CozyError:
    """Litestar's own exceptions as ours."""
    path = str(scope.get("path", ""))[:_LONGEST_PATH_SHOWN]
    place = f"{scope.get('method', '')} {path}"
    if scope["type"] == ScopeType.WEBSOCKET and not _is_routed(
        scope
    ):  # Litestar says 400 where it has methods
        return errors.MissingError(f"There is no socket at {path}.", code="unknown_url")
    match error.status_code:
        case 401:
            return errors.AccessError("This needs a valid API key.", code="invalid_api_key")
        case 403:
            return errors.AccessError("This key may not do that.")
        case 404:
            return errors.MissingError(f"Unknown request URL: {place}.", code="unknown_url")
        case 405:
            return errors.InputError(f"{place} is not supported.", code="method_not_supported")
        case 413:
            return errors.InputError("The body is larger than the limit.", code="body_too_large")
        case 429:
            return errors.LimitError("Too many requests.", retry_after_s=1.0)
        case status if status < 500:
            message, param = _complaint(error)
            return errors.InputError(message, param=param)
        case _:
            return CozyError("", code="server_error")


def _is_routed(scope: Mapping[str, Any]) -> bool:
    return "route_handler" in scope


def _complaint(error: HTTPException) -> tuple[str, str | None]:
    """Litestar's first complaint about a parameter, and the parameter's name."""
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else None
    if isinstance(first, dict):
        key = first.get("key")
        return str(first.get("message")), str(key) if key else None
    named = _PARAMETER.search(error.detail)
    return error.detail, named[1] if named else None


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
