"""Multipart forms: what is taken, what is refused and by which name."""

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.datastructures import Headers
from msgspec import Meta

from cozy_domain.errors import InputError
from cozy_server.form import MAX_FILE_BYTES, MAX_PARTS, MAX_TEXT_BYTES, FormBody, boundary_of, parsed

BOUNDARY = "d1v1der"


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str | None = None


class Asked(msgspec.Struct, frozen=True):
    model: str
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    stream: bool = False
    kinds: tuple[Literal["word", "segment"], ...] = ()
    strategy: str | Inner | None = None
    cozy: Inner | None = None


BODY = FormBody(Asked)


def part(name: str, value: bytes | str, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + (value.encode() if isinstance(value, str) else value) + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join((*parts, f"--{BOUNDARY}--\r\n".encode()))


FILE = part("file", b"\x00\xff\r\n--sound", "speech.wav")
MODEL = part("model", "whisper-1")


def asked(*parts: bytes) -> Asked:
    return BODY.decode(parsed(form(FILE, MODEL, *parts), BOUNDARY))[0]


def refused(*parts: bytes) -> InputError:
    with pytest.raises(InputError) as error:
        BODY.decode(parsed(form(*parts), BOUNDARY))
    return error.value


def test_a_file_comes_out_as_it_went_in() -> None:
    _, upload = BODY.decode(parsed(form(FILE, MODEL), BOUNDARY))
    assert upload.data == b"\x00\xff\r\n--sound"
    assert upload.filename == "speech.wav"


@pytest.mark.parametrize(
    ("head", "sound"),
    [
        ("", b"\x00\xff sound"),
        ("", b"RIFF\x00 sound"),
        ("Content-Type: audio/wav\r\n", b"plain bytes"),
        ("Content-Type: application/octet-stream\r\n", b"\xff"),
    ],
)
def test_a_file_needs_no_name_where_it_can_be_nothing_else(head: str, sound: bytes) -> None:
    nameless = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n{head}\r\n'.encode()
    _, upload = BODY.decode(parsed(form(nameless + sound + b"\r\n", MODEL), BOUNDARY))
    assert (upload.data, upload.filename) == (sound, "")


def test_words_in_the_place_of_the_file_are_told_to_be_no_file() -> None:
    """As of `curl -F file=speech.mp3`, where the @ is missing."""
    error = refused(part("file", "speech.mp3"), MODEL)
    assert (error.code, error.param) == ("missing_required_parameter", "file")
    assert "no file name" in str(error)
    assert refused(FILE, part("model", b"\xff")).param == "model"


def test_texts_become_what_their_fields_are() -> None:
    assert asked(part("temperature", "0.5"), part("stream", "true")) == Asked(
        "whisper-1", temperature=0.5, stream=True
    )


@pytest.mark.parametrize("name", ["kinds", "kinds[]"])
def test_an_array_is_a_name_again_and_again(name: str) -> None:
    assert asked(part(name, "word"), part(name, "segment")).kinds == ("word", "segment")
    assert asked(part(name, "word")).kinds == ("word",)


@pytest.mark.parametrize(("name", "value"), [("cozy[id]", "mei"), ("cozy", '{"id": "mei"}')])
def test_an_object_is_a_name_with_keys_or_json(name: str, value: str) -> None:
    assert asked(part(name, value)).cozy == Inner("mei")


def test_what_may_be_text_or_an_object_is_either() -> None:
    assert asked(part("strategy", "auto")).strategy == "auto"
    assert asked(part("strategy[id]", "x")).strategy == Inner("x")


def test_an_empty_field_counts_as_absent() -> None:
    assert asked(part("temperature", "")).temperature is None


@pytest.mark.parametrize(
    ("parts", "param", "code"),
    [
        ((MODEL,), "file", "missing_required_parameter"),
        ((), "model", "missing_required_parameter"),
        ((FILE,), "model", "missing_required_parameter"),
        ((part("file", "text"), MODEL), "file", "missing_required_parameter"),
        ((FILE, FILE, MODEL), "file", "invalid_value"),
        ((FILE, MODEL, part("other", b"x", "b.wav")), "other", "invalid_value"),
        ((FILE, MODEL, MODEL), "model", "invalid_value"),
        ((FILE, MODEL, part("temperature", "warm")), "temperature", "invalid_type"),
        ((FILE, MODEL, part("temperature", "nan")), "temperature", "invalid_value"),
        ((FILE, MODEL, part("temperature", "1e999")), "temperature", "invalid_value"),
        ((FILE, MODEL, part("temperature[]", "1")), "temperature", "invalid_type"),
        ((FILE, MODEL, part("stream", "yes")), "stream", "invalid_type"),
        ((FILE, MODEL, part("kinds[]", "letter")), "kinds[0]", "invalid_value"),
        ((FILE, MODEL, part("cozy", "mei")), "cozy", "invalid_type"),
        ((FILE, MODEL, part("cozy", "{")), "cozy", "invalid_value"),
        ((FILE, MODEL, part("cozy", '{"id":' * 100)), "cozy", "invalid_value"),
        ((FILE, MODEL, part("cozy[name]", "mei")), "cozy.name", "unknown_parameter"),
        ((FILE, MODEL, part("cozy[id]", "a"), part("cozy[id]", "b")), "cozy", "invalid_value"),
        ((FILE, MODEL, part("cozy[]", "a"), part("cozy[id]", "b")), "cozy", "invalid_value"),
        ((FILE, part("model", b"\xff")), "model", "invalid_value"),
        ((FILE, part("model", b"a\x00b")), "model", "invalid_value"),
        ((FILE, part("model", "x" * (MAX_TEXT_BYTES + 1))), "model", "invalid_value"),
        ((part("file", bytes(MAX_FILE_BYTES + 1), "long.wav"), MODEL), "file", "body_too_large"),
        ((FILE, MODEL, part("<b>", "x")), None, "invalid_form"),
        ((FILE, MODEL, part("", "x")), None, "invalid_form"),
        ((FILE, *[MODEL] * MAX_PARTS), None, "invalid_form"),
    ],
)
def test_what_is_wrong_is_named(parts: tuple[bytes, ...], param: str | None, code: str) -> None:
    error = refused(*parts)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        form(FILE, MODEL)[:-8],
        FILE + MODEL,
        b"--other\r\n" + form(FILE),
        form(FILE.replace(b"\r\n", b"\n")),
        form(FILE.replace(b"form-data", b"attachment")),
        form(b"--d1v1der\r\n" + b"A: b\r\n" * 20 + b"\r\nx\r\n"),
        form(b"--d1v1der\r\nA: " + b"b" * 10_000 + b"\r\n\r\nx\r\n"),
        form(FILE) + form(FILE),
    ],
)
def test_a_broken_form_is_refused(body: bytes) -> None:
    with pytest.raises(InputError) as error:
        BODY.decode(parsed(body, BOUNDARY))
    assert error.value.code in ("invalid_form", "missing_required_parameter")


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=200)
def test_rubbish_is_an_input_error_or_nothing(rubbish: bytes, at: int) -> None:
    whole = form(FILE, MODEL)
    try:
        BODY.decode(parsed(whole[:at] + rubbish + whole[at:], BOUNDARY))
    except InputError:
        pass


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; charset=utf-8; boundary="a b"', "a b"),
        ("Multipart/Form-Data;boundary=----x", "----x"),
    ],
)
def test_the_boundary_stands_in_the_header(header: str, boundary: str) -> None:
    assert boundary_of(Headers({"content-type": header})) == boundary


@pytest.mark.parametrize(
    "header",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=a\tb",
        "multipart/mixed; boundary=abc",
        "application/json; boundary=abc",
        "application/x-www-form-urlencoded",
    ],
)
def test_a_header_without_one_is_refused(header: str) -> None:
    with pytest.raises(InputError) as error:
        boundary_of(Headers({"content-type": header}))
    assert (error.value.code, error.value.param) == ("invalid_content_type", "Content-Type")
