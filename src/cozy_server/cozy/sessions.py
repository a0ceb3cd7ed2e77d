"""``/v1/cozy/sessions``: list, read, rename and delete conversations.

They belong to the account of the credential and the person it asks for: the query parameter ``user_id`` is the
``cozy.user_id`` of the chat requests that made them. Without it they are the account's own; a key that serves many people
has none of its own and must name somebody. Whatever is another owner's does not exist here. Bodies and queries are read
here and not by Litestar, which answers errors of its own; ``opt`` names their types for the OpenAPI document.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from litestar import Request, delete, get, patch
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.clock import Clock
from cozy_domain.errors import InputError, MissingError
from cozy_domain.ids import SessionId
from cozy_domain.sessions.ports import SessionStore, TurnHistory
from cozy_server.body import JsonBody, read_body
from cozy_server.cozy.query import asked
from cozy_server.cozy.translate import cursor_of, message_out, place_of, session_out
from cozy_server.cozy.wire import (
    MessageList,
    MessagesQuery,
    OwnerQuery,
    SessionChange,
    SessionList,
    SessionOut,
    SessionsQuery,
)

_CHANGE = JsonBody(SessionChange)

AnyRequest = Request[Any, Any, Any]


@get("/v1/cozy/sessions", opt={"query": SessionsQuery}, tags=["Sessions"])
async def list_sessions(
    request: AnyRequest,
    caller: NamedDependency[SkipValidation[Caller]],
    sessions: NamedDependency[SkipValidation[SessionStore]],
) -> SessionList:
    """The owner's sessions, newest last turn first. Query: `limit` (1-100, default 20), `after`, `user_id`."""
    query, owner = asked(request, caller, SessionsQuery)
    after = None if query.after is None else _session_id(query.after, param="after")
    with _missing_session(param="after"):
        found = await sessions.list(owner, query.limit + 1, after)
    page = found[: query.limit]
    return SessionList(
        tuple(map(session_out, page)), next=str(page[-1].id) if len(found) > query.limit else None
    )


@get("/v1/cozy/sessions/{session_id:str}", opt={"query": OwnerQuery}, tags=["Sessions"])
async def read_session(
    request: AnyRequest,
    session_id: FromPath[str],
    caller: NamedDependency[SkipValidation[Caller]],
    history: NamedDependency[SkipValidation[TurnHistory]],
) -> SessionOut:
    """One session. Query: `user_id`."""
    _, owner = asked(request, caller, OwnerQuery)
    with _missing_session():
        session = await history.session(owner, _session_id(session_id))
    if session is None:
        raise _missing("session_id")
    return session_out(session)


@get("/v1/cozy/sessions/{session_id:str}/messages", opt={"query": MessagesQuery}, tags=["Sessions"])
async def list_messages(
    request: AnyRequest,
    session_id: FromPath[str],
    caller: NamedDependency[SkipValidation[Caller]],
    sessions: NamedDependency[SkipValidation[SessionStore]],
) -> MessageList:
    """A session's messages, oldest first. Query: `limit` (1-1000, default 100), `after`, `user_id`."""
    query, owner = asked(request, caller, MessagesQuery)
    with _missing_session():
        found = await sessions.messages(
            owner, _session_id(session_id), query.limit + 1, place_of(query.after)
        )
    page = found[: query.limit]
    return MessageList(
        tuple(map(message_out, page)), next=cursor_of(page[-1]) if len(found) > query.limit else None
    )


@patch(
    "/v1/cozy/sessions/{session_id:str}",
    opt={"query": OwnerQuery, "body": SessionChange},
    request_max_body_size=None,
    tags=["Sessions"],
)
async def rename_session(
    request: AnyRequest,
    session_id: FromPath[str],
    caller: NamedDependency[SkipValidation[Caller]],
    sessions: NamedDependency[SkipValidation[SessionStore]],
) -> SessionOut:
    """Renames a session. Body: `{"title": "…"}`, 1-200 characters. Query: `user_id`."""
    _, owner = asked(request, caller, OwnerQuery)
    title = _CHANGE.decode(await read_body(request)).title.strip()
    if not title:
        raise InputError("'title' must hold more than spaces.", param="title")
    with _missing_session():
        return session_out(await sessions.rename(owner, _session_id(session_id), title))


@delete("/v1/cozy/sessions/{session_id:str}", opt={"query": OwnerQuery}, tags=["Sessions"])
async def delete_session(
    request: AnyRequest,
    session_id: FromPath[str],
    caller: NamedDependency[SkipValidation[Caller]],
    sessions: NamedDependency[SkipValidation[SessionStore]],
    clock: NamedDependency[SkipValidation[Clock]],
) -> None:
    """Hides a session and its turns; only an audited erasure removes them. Query: `user_id`."""
    _, owner = asked(request, caller, OwnerQuery)
    with _missing_session():
        await sessions.delete(owner, _session_id(session_id), clock.now())


routes: list[HTTPRouteHandler] = [list_sessions, read_session, list_messages, rename_session, delete_session]


def _session_id(text: str, param: str = "session_id") -> SessionId:
    """What is not a UUID is no session either."""
    try:
        return SessionId(UUID(text))
    except ValueError:
        raise _missing(param) from None


@contextmanager
def _missing_session(param: str = "session_id") -> Iterator[None]:
    """One error for what never was and for what is another owner's: the difference is nobody's business."""
    try:
        yield
    except MissingError:
        raise _missing(param) from None


def _missing(param: str) -> MissingError:
    return MissingError("There is no such session.", code="session_not_found", param=param)
