"""A request's multipart/form-data body (RFC 7578): read within bounds, strictly, and every fault said as an `InputError`.

Fields are named as OpenAI's SDKs name them: an array is ``name[]`` again and again (``name`` is taken too), an object is
``name[key]`` for each of its fields, or ``name`` with JSON in it, as OpenAPI has it. A field without a value counts as
absent. Names and types are then checked as those of a JSON body are.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import Headers
from msgspec import inspect
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from cozy_domain.audio import Upload
from cozy_domain.errors import InputError
from cozy_server.body import check_encoding, check_json, explain, read_bytes

MAX_FILE_BYTES = 25 * 1024 * 1024
"""Of a file: 25 MB, OpenAI's limit for sound (API reference, audio/transcriptions)."""
FILE = "file"
"""The field that holds it."""
MAX_TEXT_BYTES = 100_000
"""Of a field that is no file."""
MAX_PARTS = 64
MAX_BYTES = MAX_FILE_BYTES + 1_000_000
"""Of the whole body: a file, and fields with what stands between them."""
_SMALLER = "Send at most 25 MB; MP3 or Opus needs a tenth of what WAV does."
_BOUNDARY = re.compile(
    r""";\s*boundary=(?:"([0-9A-Za-z'()+_,./:=? -]{1,70})"|([0-9A-Za-z'()+_,./:=?-]{1,70}))\s*(?:;|$)""",
    re.IGNORECASE,
)
"""RFC 2046, section 5.1.1."""
_NAME = re.compile(r"([A-Za-z_][\w-]{0,63})(?:\[([\w-]{0,64})\])?", re.ASCII)

_TOKEN = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

T = TypeVar("T")


class Field(msgspec.Struct, frozen=True):
    """``key`` is what stands in brackets behind the name: None without brackets, empty for ``name[]``."""

    name: str
    key: str | None
    text: str


class Form(msgspec.Struct, frozen=True):
    """Files by the names of their fields, and the other fields in order."""

    files: Mapping[str, Upload]
    fields: tuple[Field, ...]


async def read_form(request: Request[Any, Any, Any]) -> Form:
    """The whole form of a request, at most `MAX_BYTES`.

    Raises:
        InputError: it is no form by its header or its bytes, is too large, or comes too slowly.
    """
    boundary = boundary_of(request.headers)
    check_encoding(request.headers)
    return parsed(await read_bytes(request, MAX_BYTES, hint=_SMALLER), boundary)


def boundary_of(headers: Headers) -> str:
    """
    Raises:
        InputError: ``invalid_content_type``.
    """
    said = headers.get("content-type", "")
    found = _BOUNDARY.search(said)
    if said.partition(";")[0].strip().lower() != "multipart/form-data" or not found:
        raise InputError(
            "The body must be a form with a file: multipart/form-data with a boundary.",
            code="invalid_content_type",
            param="Content-Type",
            hint="Let your HTTP client write the header; with curl: -F file=@speech.mp3 -F model=whisper-1.",
        )
    return found[1] or found[2]


def parsed(body: bytes, boundary: str) -> Form:
    """
    Raises:
        InputError: ``invalid_form``, or it has a part that is too large, twice there, or no text.
    """
    files: dict[str, Upload] = {}
    fields: list[Field] = []
    for part, data in _parts(body, boundary):
        name, key = _named(part.name)
        if not _is_file(part, name, data):
            if text := _text(name, data):
                fields.append(Field(name, key, text))
        elif name in files:
            raise _wrong(name, f"'{name}' is there more than once; send one file.")
        elif len(data) > MAX_FILE_BYTES:
            said = f"The file is larger than {MAX_FILE_BYTES} bytes."
            raise InputError(said, code="body_too_large", param=name, hint=_SMALLER)
        else:
            files[name] = Upload(data, (part.filename or "")[:256], (part.content_type or "")[:256])
    return Form(files, tuple(fields))


class FormBody(Generic[T]):
    """Decodes one type of form, a Struct for its fields, and one file."""

    def __init__(self, kind: type[T], file: str = FILE) -> None:
        self._kind = kind
        self._file = file
        self._info = inspect.type_info(kind)
        fields = self._info.fields if isinstance(self._info, inspect.StructType) else ()
        self._lists = {it.encode_name for it in fields if _is(it.type, inspect.VarTupleType)}
        self._objects = {it.encode_name for it in fields if _is(it.type, inspect.StructType)}

    def decode(self, form: Form) -> tuple[T, Upload]:
        """
        Raises:
            InputError: the file is missing, or a field is not as the type has it; ``param`` is its name.
        """
        asked = self._asked(form.fields)
        for name in form.files:
            if name != self._file:
                raise _wrong(name, f"'{name}' must not be a file; the only one is '{self._file}'.")
        if self._file in form.files:
            return asked, form.files[self._file]
        as_text = any(it.name == self._file for it in form.fields)
        raise InputError(
            f"'{self._file}' has no file name, so it is no file."
            if as_text
            else f"Missing required parameter: '{self._file}'.",
            code="missing_required_parameter",
            param=self._file,
            hint=f"Send the sound as a file; with curl: -F {self._file}=@speech.mp3.",
        )

    def _asked(self, fields: tuple[Field, ...]) -> T:
        try:
            return msgspec.convert(self._grouped(fields), self._kind, strict=False)
        except msgspec.ValidationError as error:
            complaint, _, place = str(error).partition(" - at `")
            tokens = tuple(name or index for name, index in _TOKEN.findall(place.rstrip("`")))
            raise explain(complaint, tokens, self._info) from None

    def _grouped(self, fields: tuple[Field, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for it in fields:
            if it.key:
                value: Any = {it.key: it.text}
            else:
                listed = it.key is not None or it.name in self._lists
                value = [it.text] if listed else self._value(it)
            values[it.name] = _joined(it.name, values.get(it.name), value)
        return values

    def _value(self, field: Field) -> Any:
        if field.name not in self._objects or not field.text.lstrip().startswith("{"):
            return field.text
        try:
            check_json(field.text.encode())
            return msgspec.json.decode(field.text)
        except (InputError, msgspec.DecodeError):
            raise _wrong(field.name, f"'{field.name}' is no JSON that can be read.") from None


def _parts(body: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, bytes]]:
    """Each part with its bytes.

    Raises:
        InputError: ``invalid_form``.
    """
    parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS, strict=True)
    part: MultipartSegment | None = None
    pieces: list[bytes] = []
    try:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                part, pieces = event, []
            elif event:
                pieces.append(bytes(event))
            elif part is not None:
                yield part, b"".join(pieces)
        parser.close()
    except ParserLimitReached:
        raise _malformed(f"has more than {MAX_PARTS} parts, or long headers in one of them") from None
    except (MultipartError, UnicodeError):
        raise _malformed("is broken, ends early, or is divided otherwise than its header says") from None


def _named(name: str) -> tuple[str, str | None]:
    found = _NAME.fullmatch(name)
    if not found:
        raise _malformed("has a part whose name is not letters, digits, '-' and '_', at most 64 of them")
    return found[1], found[2]


def _is_file(part: MultipartSegment, name: str, data: bytes) -> bool:
    """By its file name, which OpenAI's SDKs leave out where they are given bytes without one; then by its type, and by what
    no text holds."""
    if part.filename is not None:
        return True
    kind = (part.content_type or "").lower()
    if name != FILE or kind.startswith("text/"):
        return False
    return bool(kind) or not _is_text(data)


def _is_text(data: bytes) -> bool:
    try:
        return "\x00" not in data.decode()
    except UnicodeDecodeError:
        return False


def _text(name: str, data: bytes) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise _wrong(name, f"'{name}' is longer than {MAX_TEXT_BYTES} bytes.")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _wrong(name, f"'{name}' is not UTF-8.") from None
    if "\x00" in text:
        raise _wrong(name, f"'{name}' holds a NUL character.")
    return text


def _joined(name: str, before: Any, more: Any) -> Any:
    match before, more:
        case None, _:
            return more
        case list(), list():
            return [*before, *more]
        case dict(), dict() if not before.keys() & more.keys():
            return {**before, **more}
        case _:
            raise _wrong(name, f"'{name}' is there more than once.")


def _is(kind: inspect.Type, wanted: type[inspect.Type]) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is(kind.type, wanted)
    if isinstance(kind, inspect.UnionType):
        return any(_is(it, wanted) for it in kind.types)
    return isinstance(kind, wanted)


def _wrong(name: str, said: str) -> InputError:
    return InputError(said, param=name)


def _malformed(what: str) -> InputError:
    return InputError(f"The form {what}.", code="invalid_form")
