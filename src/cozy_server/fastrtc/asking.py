"""Who asks, and for what: from the header, the query or the body, since FastRTC's clients can set only some of these."""

from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from msgspec import inspect
from msgspec.structs import replace

from cozy_domain.access.caller import Caller
from cozy_domain.errors import InputError
from cozy_server.auth import admit, has_credential
from cozy_server.body import JsonBody, check_json, explain, read_body
from cozy_server.fastrtc.refusals import incomplete
from cozy_server.fastrtc.wire import CallWish

BODY_BYTES = 98_304
"""An SDP of 64 kB whose lines' ends are escaped, and what stands around it."""

Connection = ASGIConnection[Any, Any, Any, Any]
Kind = TypeVar("Kind", bound=msgspec.Struct)


def wish_in_query(connection: Connection, kind: type[Kind]) -> Kind:
    """Parameters that are not ours are left aside: pages have their own.

    Raises:
        InputError: a value is not accepted.
    """
    given: dict[str, str] = {}
    for name, value in connection.query_params.multi_items():
        if name in kind.__struct_fields__:
            if name in given:
                raise InputError(f"'{name}' is given twice.", param=name)
            if "\x00" in value or "\ufffd" in value:
                raise InputError(f"'{name}' is not UTF-8 without NUL.", param=name)
            given[name] = value
    return _converted(given, kind)


def with_body(wish: Kind, said: dict[str, Any] | None) -> Kind:
    """``said``, an object of the body, counts more than the query.

    Raises:
        InputError: it is not accepted.
    """
    if said is None:
        return wish
    kind = type(wish)
    try:
        given = msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind, "cozy") from None
    return replace(wish, **{it: getattr(given, it) for it in kind.__struct_fields__ if it in said})


async def read_json(request: Request[Any, Any, Any], body: JsonBody[Kind], kind: type[Kind]) -> Kind:
    """
    Raises:
        IncompleteError: required fields are missing.
        InputError: it is not JSON, too large, or a field is not accepted.
    """
    raw = await read_body(request, limit=BODY_BYTES)
    check_json(raw)
    if wrong := incomplete(raw, kind):
        raise wrong
    return body.decode(raw)


async def admit_first(connection: Connection, wish: CallWish) -> Caller | None:
    """Who asks, unless only the body may say it. Before anything of that is read.

    Raises:
        AccessError, LimitError, StorageUnavailableError: as `admit`.
    """
    if not (has_credential(connection.scope) or wish.token):
        return None
    return await admit(connection.scope, wish.token)


def _converted(given: dict[str, str], kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind) from None


def _explained(told: str, kind: type[msgspec.Struct], *prefix: str) -> InputError:
    complaint, _, place = told.partition(" - at `")
    name = place.rstrip("`").removeprefix("$").removeprefix(".")
    error = explain(complaint, (name,) if name else (), inspect.type_info(kind))
    error.param = ".".join((*prefix, *((name,) if name else ()))) or None
    return error
