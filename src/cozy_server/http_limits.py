"""Bounds on a connection that uvicorn does not have: slow headers, large headers, slow bodies, readers that stall.

uvicorn keeps half a request's headers open for ever (measured: over 50 s). What lives here is one timer for each connection,
running while the client owes us something: the end of its headers, the end of its body, or room in its receive buffer.
Errors that are found below the application have the application's shape.
"""

import asyncio
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cozy_domain.errors import InputError
from cozy_server.problems import Problem, problem_of


class HttpLimits(msgspec.Struct, frozen=True):
    """``send_s``: how long a client may leave an answer unread while our buffer for it is full."""

    header_s: float = 30.0
    header_bytes: int = 16_384
    body_s: float = 65.0
    send_s: float = 60.0


def bounded_protocol(limits: HttpLimits) -> type[HttpToolsProtocol]:
    """The protocol class to give uvicorn as ``http=``."""
    return type("BoundedHttpProtocol", (_BoundedHttp,), {"limits": limits})


class _BoundedHttp(HttpToolsProtocol):
    limits: ClassVar[HttpLimits] = HttpLimits()

    _owed: asyncio.TimerHandle | None = None
    """Runs while the request on its way is not complete."""
    _unread: asyncio.TimerHandle | None = None
    _in_headers = True
    _head_bytes = 0
    """As they come over the wire, while the end of the headers has not."""
    _parsed_bytes = 0
    _unanswered = 0
    """Requests that the application has, or will have when those before them are answered."""
    _refusal: bytes | None = None
    """The last thing to be said on this connection; what comes in after it was due is not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect(self.limits.header_s, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        if self._in_headers:
            self._head_bytes += len(data)
            if self._owed is None:  # a kept connection speaks again
                self._expect(self.limits.header_s, self._headers_late)
        super().data_received(data)
        if self._in_headers and self._head_bytes > self.limits.header_bytes:
            self._refuse(_too_large(self.limits))

    def on_message_begin(self) -> None:
        self._parsed_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._parsed_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._parsed_bytes += len(name) + len(value) + len(b": \r\n")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._refusal is not None:
            return
        if problem := self._wrong_with_headers():
            self._refuse(problem)
            return
        self._in_headers = False
        self._head_bytes = 0
        self._unanswered += 1
        self._expect(self.limits.body_s, self._body_late)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._refusal is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._settle()
        self._in_headers = True
        if self._refusal is None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        super().on_response_complete()
        if self._refusal is not None:
            self._part()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _should_upgrade(self) -> bool:
        """A WebSocket begins with a GET without a body (RFC 6455, section 4.1); anything else is plain HTTP."""
        plain = self.parser.get_method() != b"GET" or self._values(b"content-length")
        return not plain and not self._values(b"transfer-encoding") and super()._should_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text; ours has the usual shape
        self._refuse(_problem("malformed_request", "This is not a valid HTTP request."))

    def _wrong_with_headers(self) -> Problem | None:
        """Beside their size, what a proxy in front may read otherwise than we do (RFC 9112, sections 3.2 and 6.1)."""
        if self._parsed_bytes > self.limits.header_bytes:
            return _too_large(self.limits)
        if len(self._values(b"host")) > 1:
            return _problem("malformed_request", "The request has more than one Host header.")
        if self._unanswered and self._values(b"upgrade"):
            said = "The connection may become another only when all its requests are answered."
            return _problem("malformed_request", said)
        codings = self._values(b"transfer-encoding")
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            said = "The request has a Transfer-Encoding other than chunked."
            return _problem("malformed_request", said)
        return None

    def _values(self, header: bytes) -> list[bytes]:
        return [value for name, value in self.headers if name == header]

    def _expect(self, within_s: float, otherwise: Callable[[], None]) -> None:
        self._settle()
        self._owed = self.loop.call_later(within_s, otherwise)

    def _settle(self) -> None:
        if self._owed is not None:
            self._owed.cancel()
            self._owed = None

    def _headers_late(self) -> None:
        if self._head_bytes:
            self._refuse(_late("headers"))
        else:
            self.transport.close()

    def _body_late(self) -> None:
        self._refuse(_late("body"))

    def _refuse(self, problem: Problem) -> None:
        """Answers as the last one, after those under way, and closes."""
        if self._refusal is not None:
            return
        self._settle()
        self._refusal = _rendered(problem)
        if not self._in_headers:
            self._give_up_newest()
        self._part()

    def _give_up_newest(self) -> None:
        """Its body will never be whole: the application sees that the client has gone, if it was to see it at all."""
        if self.cycle.response_started:  # another answer would be taken for that to the next request
            self._refusal = b""
            self._unanswered = 0
            return
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
        self._unanswered -= 1
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _part(self) -> None:
        if self._unanswered or self.transport.is_closing():
            return
        self.transport.write(self._refusal or b"")
        self.transport.close()


def _late(what: str) -> Problem:
    return _problem("request_timeout", f"The {what} of the request did not arrive in time.")


def _too_large(limits: HttpLimits) -> Problem:
    said = f"The line and headers of the request are larger than {limits.header_bytes} bytes."
    return _problem("headers_too_large", said)


def _problem(code: str, said: str) -> Problem:
    """No application has seen this request, so its id is made here."""
    return problem_of(InputError(said, code=code), request=f"req_{secrets.token_hex(16)}")


def _rendered(problem: Problem) -> bytes:
    body = problem.body
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {problem.error.request_id}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
