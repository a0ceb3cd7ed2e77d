"""What every store can keep, the same in all of them (pure)."""

from operator import is_
from typing import TypeVar, cast

import msgspec
from msgspec.structs import replace

from cozy_domain.text import whole

T = TypeVar("T")

_ENCODE = msgspec.json.Encoder().encode


def storable(value: T) -> T:
    """The value with `whole` text throughout its Structs and tuples. An answer that was paid for is better kept with a
    character replaced than refused. Nearly always there is nothing to mend, which one pass in C shows."""
    try:
        _ENCODE(value)
    except UnicodeEncodeError:
        return cast(T, _mended(value))
    return value


def _mended(value: object) -> object:
    match value:
        case str():
            return whole(value)
        case tuple():
            items = tuple(map(_mended, value))
            return value if all(map(is_, items, value)) else items
        case msgspec.Struct():
            return _mended_struct(value)
        case _:
            return value


def _mended_struct(value: msgspec.Struct) -> msgspec.Struct:
    found = ((name, getattr(value, name)) for name in value.__struct_fields__)
    changes = {name: new for name, old in found if (new := _mended(old)) is not old}
    return replace(value, **changes) if changes else value
