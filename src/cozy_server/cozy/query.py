"""Query parameters, read as strictly as a body."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from litestar import Request
from msgspec import inspect

from cozy_domain.access.caller import Caller
from cozy_domain.errors import InputError
from cozy_domain.ids import Owner
from cozy_server.body import explain
from cozy_server.cozy.wire import OwnerQuery

T = TypeVar("T")
Query = TypeVar("Query", bound=OwnerQuery)


def asked(request: Request[Any, Any, Any], caller: Caller, kind: type[Query]) -> tuple[Query, Owner]:
    """What the query says, and whose things it is about.

    Raises:
        InputError: a parameter is not accepted, or the key serves many people and nobody is named.
    """
    query = read_query(request.query_params.multi_items(), kind)
    if not caller.is_personal(query.user_id):
        raise InputError(
            "This key serves many people, so it must be said whose things are asked for.",
            code="missing_required_parameter",
            param="user_id",
            hint="Add ?user_id= with the cozy.user_id of the chat requests.",
        )
    return query, caller.owner(query.user_id)


def read_query(items: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """The parameters as a ``kind``, a Struct that forbids unknown fields.

    Raises:
        InputError: one is unknown, repeated, or has a value that is not accepted; ``param`` is its name.
    """
    given: dict[str, str] = {}
    for name, value in items:
        if name in given:
            raise InputError(f"'{name}' is given twice.", param=name)
        if "\x00" in value:
            raise InputError(f"'{name}' holds a NUL character.", param=name)
        if (
            "\ufffd" in value
        ):  # what stands in the place of bytes that are no UTF-8: different ones would look alike
            raise InputError(f"'{name}' is not UTF-8.", param=name)
        given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        complaint, _, place = str(error).partition(" - at `")
        name = place.rstrip("`").removeprefix("$").removeprefix(".")
        raise explain(complaint, (name,) if name else (), inspect.type_info(kind)) from None
