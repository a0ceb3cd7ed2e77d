"""Query parameters, read as strictly as a body."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from msgspec import inspect

from cozy_domain.errors import InputError
from cozy_server.body import explain

T = TypeVar("T")


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
