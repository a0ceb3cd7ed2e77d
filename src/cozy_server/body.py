"""A request's JSON body: read within bounds, checked before it is decoded, and every fault said as an `InputError`.

msgspec decodes fast and strictly, but it lets a few things through that harm later (NUL characters, which Postgres refuses,
and invalid UTF-8 inside ignored fields), and answers others with exceptions of its own (deep nesting). They are refused
here, in front of it, with scans that run in C. Of equal keys in one object the last one counts (RFC 8259, section 4, leaves
it open); finding them would cost more than all other checks together.
"""

import asyncio
import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import Headers
from msgspec import inspect

from cozy_domain.errors import InputError
from cozy_domain.nearest import nearest
from cozy_server.unstorable import place_of_unstorable

MAX_BYTES = 10_000_000
"""Settled question 19."""
MAX_DEPTH = 64
MAX_CONTAINERS = 200_000
"""Objects and arrays in one body: 20 for each of 10,000 messages. Bounds the work of the depth check."""
MAX_STRINGS = 500_000
"""Likewise, keys included: 50 for each message."""
MAX_STRINGS_NAMED = 10_000
"""Unknown names are looked for among so many strings (6 ms); half a million names would take 0.3 s."""
DRAINED_BYTES = 40_000_000
"""So much of a body that is too large is read and thrown away: a client that is still sending does not read the 413."""
PATIENCE_S = 60.0
"""For the whole body; a phone on a bad line sends 10 MB in that time (1.4 Mbit/s)."""

T = TypeVar("T")

_OTHERS = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_TOKEN = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_NAME = re.compile(r"[\w.:-]{1,64}")


async def read_body(request: Request[Any, Any, Any], *, limit: int = MAX_BYTES) -> bytes:
    """The whole body of a JSON request, at most ``limit`` bytes.

    Raises:
        InputError: it is not JSON by its header, is compressed, or as `read_bytes`.
    """
    check_headers(request.headers)
    return await read_bytes(request, limit)


async def read_bytes(request: Request[Any, Any, Any], limit: int, *, hint: str | None = None) -> bytes:
    """The whole body, whatever it is; ``hint`` tells who sends too much what to do.

    Raises:
        InputError: it is larger than ``limit`` bytes, or does not arrive within `PATIENCE_S`.
    """
    announced = _announced(request.headers)
    if announced > limit and ("expect" in request.headers or announced > DRAINED_BYTES):
        raise _too_large(limit, hint)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _receive(request, limit, hint)
    except TimeoutError:
        raise InputError("The body did not arrive in time.", code="request_timeout") from None


def check_headers(headers: Headers) -> None:
    """
    Raises:
        InputError: the body is not JSON, not UTF-8, or compressed.
    """
    media_type, _, parameters = headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != "application/json" or not _is_utf8(parameters):
        raise InputError(
            "The body must be JSON in UTF-8.",
            code="invalid_content_type",
            param="Content-Type",
            hint="Send the header Content-Type: application/json.",
        )
    check_encoding(headers)


def check_encoding(headers: Headers) -> None:
    """
    Raises:
        InputError: the body is compressed.
    """
    if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise InputError(
            "Compressed bodies are not accepted.",
            code="unsupported_content_encoding",
            param="Content-Encoding",
        )


def check_json(body: bytes) -> None:
    """What must hold before any decoder sees ``body``.

    Raises:
        InputError: ``invalid_json``.
    """
    if not body.strip():
        raise _invalid("The body is empty.")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise _invalid(f"The body is not UTF-8 (byte {error.start}).") from None
    # A backslash that is itself escaped escapes nothing: without such pairs, every escape left is a real one.
    if b"\x00" in body or (b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b"")):
        raise _unstorable(body) or _invalid("The body holds a NUL character.")
    _check_depth(body)


class JsonBody(Generic[T]):
    """Decodes one type of body."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._info = inspect.type_info(kind)  # 4 ms for a large type, so not at each request
        self._known = {field.encode_name for struct in _structs((self._info,)) for field in struct.fields}

    def decode(self, body: bytes) -> T:
        """
        Raises:
            InputError: it is not JSON, or not of this type; ``param`` is the JSON path.
        """
        check_json(body)
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise self._explain(str(error)) from None
        except msgspec.DecodeError as error:
            raise _unstorable(body) or _invalid(_malformed(str(error))) from None
        except (RecursionError, UnicodeError):
            raise _invalid("The body cannot be decoded.") from None

    def unknown(self, body: bytes) -> tuple[str, ...]:
        """Top-level names of a decodable ``body`` that the type does not know, made safe to log; at most 10, and none of a
        body of more than `MAX_STRINGS_NAMED` strings."""
        if body.count(b'"') > 2 * MAX_STRINGS_NAMED:
            return ()
        names = (name for name in _KEYS.decode(body) if name not in self._known)
        return tuple(_shown(name) for name, _ in zip(names, range(10), strict=False))

    def _explain(self, text: str) -> InputError:
        complaint, _, place = text.partition(" - at `")
        tokens = tuple(name or index for name, index in _TOKEN.findall(place.rstrip("`")))
        return explain(complaint, tokens, self._info)


def explain(complaint: str, tokens: tuple[str, ...], info: inspect.Type) -> InputError:
    """msgspec's ``complaint`` about the value at ``tokens`` in OpenAI's words, without the value itself."""
    param = path_of(tokens) or None
    subject = f"'{param}'" if param else "the body"
    if name := _between(complaint, "Object missing required field `"):
        missing = path_of((*tokens, name))
        return InputError(
            f"Missing required parameter: '{missing}'.{_accepting(info, (*tokens, name))}",
            code="missing_required_parameter",
            param=missing,
        )
    if name := _between(complaint, "Object contains unknown field `"):
        return _unknown_field(tokens, _shown(name), info)
    if complaint.startswith(("Invalid enum value", "Invalid value")):
        return InputError(f"Invalid value for {subject}.{_accepting(info, tokens)}", param=param)
    if ", got `" in complaint:
        return InputError(
            f"Invalid type for {subject}: {_plain(complaint)}.{_accepting(info, tokens)}",
            code="invalid_type",
            param=param,
        )
    code = "array_above_max_length" if complaint.startswith("Expected `array` of length <=") else None
    return InputError(f"Invalid value for {subject}: {_plain(complaint)}.", code=code, param=param)


def path_of(tokens: Iterable[str]) -> str:
    """``("messages", "2", "role")`` → ``messages[2].role``."""
    steps = (f"[{token}]" if token.isdigit() else f".{token}" for token in tokens if token != "...")  # noqa: S105
    return "".join(steps).lstrip(".")


_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def _receive(request: Request[Any, Any, Any], limit: int, hint: str | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise _invalid("The body ended early.")
        chunk = message["body"]
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        if size > DRAINED_BYTES or not message["more_body"]:
            break
    if size > limit:
        raise _too_large(limit, hint)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def _is_utf8(parameters: str) -> bool:
    _name, _, charset = parameters.partition("charset=")
    return not charset or charset.split(";")[0].strip().strip('"') in ("utf-8", "utf8", "us-ascii")


def _check_depth(body: bytes) -> None:
    """Brackets outside of strings, as +1 and -1, summed up. Escapes go first, so that every quote left is a string's end.

    Two quotes with no bracket between them change nothing behind them, and few others are left then.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if bare.count(b'"') > 2 * MAX_STRINGS:
        raise _invalid(f"The body holds more than {MAX_STRINGS} strings.")
    outside = bare.translate(None, _OTHERS).replace(b'""', b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(_STEPS)
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise _invalid(f"The body holds more than {MAX_CONTAINERS} objects and arrays.")
    if max(accumulate(array("b", brackets)), default=0) > MAX_DEPTH:
        raise _invalid(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _too_large(limit: int, hint: str | None) -> InputError:
    return InputError(f"The body is larger than {limit} bytes.", code="body_too_large", hint=hint)


def _invalid(message: str) -> InputError:
    return InputError(message, code="invalid_json")


def _unstorable(body: bytes) -> InputError | None:
    """The same fault with the name of its field, where that can be found."""
    tokens = place_of_unstorable(body)
    if not tokens or not all(map(_NAME.fullmatch, tokens)):
        return None
    said = f"'{path_of(tokens)}' holds a NUL character or half of a surrogate pair."
    return InputError(said, code="invalid_json", param=path_of(tokens))


def _malformed(complaint: str) -> str:
    if (
        complaint == "Input data was truncated"
    ):  # also what msgspec says of a lone surrogate before the closing quote
        return "The body is malformed JSON: it ends early, or holds half of a surrogate pair."
    return f"The body is malformed JSON: {complaint.removeprefix('JSON is malformed: ')}."


def _unknown_field(tokens: tuple[str, ...], name: str, info: inspect.Type) -> InputError:
    known = sorted({field.encode_name for struct in _structs(_at(info, tokens)) for field in struct.fields})
    close = nearest(name, known)
    param = path_of((*tokens, name))
    hint = f"Did you mean '{path_of((*tokens, close))}'?" if close else f"Known are: {', '.join(known)}."
    return InputError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param, hint=hint)


def _accepting(info: inspect.Type, tokens: tuple[str, ...]) -> str:
    """`` Accepted: 'a', 'b'.`` where only some values are, else nothing."""
    values = dict.fromkeys(_values(info, tokens))
    return f" Accepted: {', '.join(values)}." if values else ""


def _values(info: inspect.Type, tokens: tuple[str, ...]) -> Iterator[str]:
    if tokens:  # the last one may name the field that tells the members of a union apart
        structs = _structs(_at(info, tokens[:-1]))
        yield from (f"'{struct.tag}'" for struct in structs if struct.tag_field == tokens[-1])
    for member in _at(info, tokens):
        if isinstance(member, inspect.LiteralType):
            yield from (f"'{value}'" for value in member.values)


def _at(info: inspect.Type, tokens: tuple[str, ...]) -> tuple[inspect.Type, ...]:
    """The types that may stand at the end of the path."""
    here = _members(info)
    for token in tokens:
        here = tuple(member for kind in here for inner in _inside(kind, token) for member in _members(inner))
    return here


def _inside(kind: inspect.Type, token: str) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        yield from (field.type for field in kind.fields if field.encode_name == token)
    elif isinstance(kind, inspect.VarTupleType):
        yield kind.item_type
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        return _members(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(member for part in kind.types for member in _members(part))
    return (kind,)


def _structs(kinds: Iterable[inspect.Type]) -> Iterator[inspect.StructType]:
    return (kind for kind in kinds if isinstance(kind, inspect.StructType))


def _between(text: str, start: str) -> str | None:
    return text.removeprefix(start).rstrip("`") if text.startswith(start) else None


def _plain(complaint: str) -> str:
    """JSON's words for types instead of Python's."""
    for python, json in (
        ("`str", "`string"),
        ("| str", "| string"),
        ("`int", "`integer"),
        ("`float", "`number"),
    ):
        complaint = complaint.replace(python, json)
    return complaint[:1].lower() + complaint[1:]


def _shown(name: str) -> str:
    """A name that a client chose, only when it is harmless in a log and short."""
    return name if _NAME.fullmatch(name) else "(not shown)"
