"""How FastRTC's clients are told no.

Refusals that FastRTC knows keep its status 200 and its very bodies, for its clients show ``meta.error`` and read nothing of
another status. Everything else is ``{"status": "failed", "meta": {...}}`` with the status that it deserves, and in ``meta``
what every error of ours says. A body without what it must have is 422 in FastAPI's words.
"""

from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from cozy_server.fastrtc.wire import ENCODER, Refusal
from cozy_server.problems import Problem, answer_problem, language_of, note_failure, problem_of, request_id

EXISTS = "connection_already_exists"
BAD_CANDIDATE = "invalid_candidate_format"
CLOSED = "connection_closed"


class RefusedError(Exception):
    """One of FastRTC's own refusals."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.meta["error"])
        self.refusal = refusal


class IncompleteError(Exception):
    """Fields are missing or of the wrong type. ``complaints`` are FastAPI's."""

    def __init__(self, complaints: list[dict[str, Any]]) -> None:
        super().__init__("incomplete")
        self.complaints = complaints


def refused(error: str) -> RefusedError:
    """One that says no more than its name."""
    return RefusedError(Refusal(meta={"error": error}))


def too_many(limit: int, reason: str | None = None) -> RefusedError:
    """``reason`` is ours, where the limit is not the caller's own."""
    more = {"reason": reason} if reason else {}
    return RefusedError(Refusal(meta={"error": "concurrency_limit_reached", "limit": limit, **more}))


def failed(problem: Problem) -> Refusal:
    """Any other error in the same shape."""
    it = problem.error
    meta: dict[str, str | int | None] = {"error": it.code or "missing_api_key", "message": it.message}
    meta |= {"hint": it.hint, "doc_url": it.doc_url, "request_id": it.request_id}
    return Refusal(meta={**meta, "param": it.param} if it.param else meta)


def incomplete(body: bytes, kind: type[msgspec.Struct]) -> IncompleteError | None:
    """What FastAPI would say of a JSON ``body`` that lacks fields of ``kind``, or None when it lacks none. Of what was
    sent only names are told back."""
    try:
        given = _OBJECT.decode(body)
    except msgspec.DecodeError:
        return None
    required = [it.encode_name for it in msgspec.structs.fields(kind) if it.required]
    names = {name: "..." for name in given if name in kind.__struct_fields__}
    missing = [
        {"type": "missing", "loc": ["body", name], "msg": "Field required", "input": names}
        for name in required
        if name not in given
    ]
    return IncompleteError(missing) if missing else None


def answer_refusal(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The exception handler of FastRTC's routes."""
    if isinstance(error, RefusedError):
        return _json(200, error.refusal)
    if isinstance(error, IncompleteError):
        return _json(422, {"detail": error.complaints})
    if isinstance(error, HTTPException):
        return answer_problem(request, error)
    problem = problem_of(error, request=request_id(request.scope), language=language_of(request.scope))
    note_failure(error, problem)
    answer = _json(problem.status, failed(problem))
    answer.headers.update(problem.headers)
    return answer


def refusal_of(error: Exception, scope: Any) -> Refusal:
    """The same for a socket, where there is no status."""
    if isinstance(error, RefusedError):
        return error.refusal
    problem = problem_of(error, request=request_id(scope), language=language_of(scope))
    note_failure(error, problem)
    return failed(problem)


def _json(status: int, body: object) -> Response[bytes]:
    return Response(ENCODER.encode(body), status_code=status, media_type=MediaType.JSON)


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
