"""Reading and decoding bodies: what is hostile is refused with a 4xx, whatever it is, and quickly."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar import Request

from cozy_domain.errors import InputError
from cozy_server.body import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_STRINGS,
    MAX_STRINGS_NAMED,
    JsonBody,
    check_json,
    read_body,
)
from cozy_server.openai.wire.request import ChatCompletionIn
from tests.unit.server.scripted_chat import Client, app_with, http_scope

CHAT = JsonBody(ChatCompletionIn)
PATH = "/v1/chat/completions"


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    names: tuple[str, ...] = ()


class Outer(msgspec.Struct, frozen=True):
    text: str = ""
    number: int | None = None
    choice: Literal["a", "b"] | None = None
    inner: Inner = Inner()
    more: tuple[Inner, ...] = ()
    kept: msgspec.Raw = msgspec.Raw()


OUTER = JsonBody(Outer)


def refusal(body: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        OUTER.decode(body)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   \n",
        b'{"text":"a"',
        b'{"text":"a"}}',
        b'{"text":"a"} {}',
        b'{"text":NaN}',
        b'{"kept":Infinity}',
        b'{"kept":-Infinity}',
        b'{"text":"\xff"}',
        b'{"ignored":"\xff"}',
        b'{"text":"\xed\xa0\x80"}',
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"text":"a"}',
        b'{"text":"\\ud800"}',
        b'{"text":"\\udc00\\ud800"}',
        b'{"kept":"\\ud800"}',
        b'{"ignored":"\\ud800"}',
        b'{"text":"a\x00b"}',
        b'{"text":"a\\u0000b"}',
        b'{"ignored":{"\\u0000":1}}',
        b'{"text":"\\\\\\u0000"}',
        b'{"text":"a\nb"}',
        b"{'text':'a'}",
        b'{"text":"a",}',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 100_000,
        b'{"kept":' * 65 + b"1" + b"}" * 65,
        b'{"ignored":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"kept":"\\"[","ignored":' + b"[" * 64 + b"]" * 64 + b"}",
    ],
)
def test_what_is_not_our_json_is_invalid_json(body: bytes) -> None:
    assert refusal(body).code == "invalid_json"


def test_a_number_of_five_thousand_digits_is_refused_by_name() -> None:
    assert refusal(b'{"number":' + b"9" * 5_000 + b"}").param == "number"


def test_of_equal_keys_the_last_one_counts() -> None:
    assert OUTER.decode(b'{"text":"a","text":"b"}').text == "b"


@pytest.mark.parametrize(
    "body",
    [
        b'{"text":"\\\\u0000"}',
        b'{"text":"\xe2\x80\xae\xe2\x80\x8b\xf0\x9f\x98\x80"}',
        b'{"text":"\\ud83d\\ude00"}',
        b'{"kept":' + b"[" * 63 + b"]" * 63 + b"}",
        b'{"text":"' + b"[" * 1_000 + b'"}',
        b'{"text":"' + b'\\"[\\\\' * 1_000 + b'"}',
        b'{"kept":[' + b",".join([b'{"a":"{[\\""}'] * 1_000) + b"]}",
    ],
)
def test_what_only_looks_bad_is_let_through(body: bytes) -> None:
    OUTER.decode(body)


@pytest.mark.parametrize(
    ("body", "code", "param", "said"),
    [
        (b"[]", "invalid_type", None, "expected `object`, got `array`"),
        (b'{"text":3}', "invalid_type", "text", "expected `string`, got `integer`"),
        (b'{"number":"x"}', "invalid_type", "number", "got `string`"),
        (b'{"choice":"c"}', "invalid_value", "choice", "Accepted: 'a', 'b'"),
        (b'{"inner":{"nam":1}}', "unknown_parameter", "inner.nam", "inner.nam"),
        (b'{"more":[{},{"names":[1]}]}', "invalid_type", "more[1].names[0]", "more[1].names[0]"),
    ],
)
def test_every_complaint_names_its_place(body: bytes, code: str, param: str | None, said: str) -> None:
    error = refusal(body)
    assert (error.code, error.param) == (code, param)
    assert said in error.message


def test_a_misspelt_field_gets_a_suggestion_and_a_strange_one_the_list() -> None:
    assert refusal(b'{"inner":{"nam":1}}').hint == "Did you mean 'inner.name'?"
    assert refusal(b'{"inner":{"zzz":1}}').hint == "Known are: name, names."
    assert "(not shown)" in refusal(b'{"inner":{"a\\u001b[31m":1}}').message


def test_a_value_is_never_repeated() -> None:
    assert "my secret" not in str(refusal(b'{"choice":"my secret"}'))


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"{}" * (depth % 2) + b"]}" * (depth // 2)


@given(st.integers(0, 200))
@settings(max_examples=50)
def test_depth_is_counted_exactly(depth: int) -> None:
    body = nested(depth) or b"1"
    if depth > MAX_DEPTH:
        with pytest.raises(InputError):
            check_json(body)
    else:
        check_json(body)


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=200,
    )
)
@settings(max_examples=100)
def test_depth_is_the_depth_of_the_value(value: Any) -> None:
    body = msgspec.json.encode([[value]] * 40)  # enough brackets to be counted
    too_deep = depth_of(value) + 2 > MAX_DEPTH
    refused = b"\\u0000" in body
    if too_deep or refused:
        with pytest.raises(InputError):
            check_json(body)
    else:
        check_json(body)


def depth_of(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(depth_of, children), default=0)


@given(st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", "a"]), max_size=60).map("".join))
@settings(max_examples=150)
def test_brackets_in_strings_are_no_depth_however_they_are_escaped(text: str) -> None:
    body = b"[" * (MAX_DEPTH - 2) + text.encode()
    if depth_read_one_by_one(body) > MAX_DEPTH:
        assert "nested" in refusal(body).message
    else:
        check_json(body)


def depth_read_one_by_one(body: bytes) -> int:
    """The deepest nesting, read as a person would: an escaped quote is none, the others open and close strings."""
    depth = deepest = place = 0
    inside = False
    while place < len(body):
        character = chr(body[place])
        place += 2 if body[place : place + 2] in (b"\\\\", b'\\"') else 1
        if character == '"':
            inside = not inside
        elif not inside:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
            deepest = max(deepest, depth)
    return deepest


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(max_examples=300)
def test_no_bytes_raise_anything_but_our_errors(body: bytes) -> None:
    for kind in (OUTER, CHAT):
        with suppress(InputError):
            kind.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 9_999_999,
        b"[]," * 3_333_333,
        b'{"a":"' + b"\\n" * 4_999_990 + b'"}' + b"[" * 100,
        b'""' * 4_999_000 + b"[" * 100,
        b"[" * 65 + b'"aaaaaaaaaaaaaaaaaa"' * 499_000,
        b"\\u0000"[:5] * 1_999_999,
        b"\\" * 9_999_000 + b"u0000",
        b'{"messages":' * 833_000,
        "长".encode() * 3_333_333,
    ],
    ids=[
        "open",
        "flat",
        "escapes",
        "strings",
        "fewer-strings",
        "half-nul",
        "backslashes",
        "objects",
        "chinese",
    ],
)
def test_ten_hostile_megabytes_are_refused_within_a_second(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InputError):
        CHAT.decode(body)
    assert time.process_time() - began < 1.0


def test_nearly_half_a_million_strings_are_checked_within_a_tenth_of_a_second() -> None:
    bodies = (b'{"a":"b"}', b'{"[":"{"}')
    for body in (b"[" + b",".join([one] * 190_000) + b"]" for one in bodies):
        assert min(_cpu_s_of_check(body) for _ in range(3)) < 0.1


def _cpu_s_of_check(body: bytes) -> float:
    began = time.process_time()
    check_json(body)
    return time.process_time() - began


def test_ten_honest_megabytes_are_taken() -> None:
    message = b'{"role":"user","content":"' + b"word " * 200 + b'"}'
    body = b'{"model":"m","messages":[' + b",".join([message] * 9_600) + b"]}"
    assert len(CHAT.decode(body).messages) == 9_600


def test_more_than_ten_thousand_messages_are_refused_by_name() -> None:
    body = b'{"model":"m","messages":[' + b",".join([b'{"role":"user","content":"a"}'] * 10_001) + b"]}"
    with pytest.raises(InputError) as caught:
        CHAT.decode(body)
    assert (caught.value.code, caught.value.param) == ("array_above_max_length", "messages")


def test_too_many_objects_are_refused() -> None:
    assert "objects and arrays" in refusal(b'{"kept":[' + b"[]," * MAX_CONTAINERS + b"[]]}").message


def test_too_many_strings_are_refused() -> None:
    strings = b'"",' * (MAX_STRINGS + 1)
    assert "strings" in refusal(b'{"kept":[' + b"[]," * MAX_DEPTH + strings + b"[]]}").message


def test_unknown_names_are_listed_safely_and_not_all() -> None:
    body = msgspec.json.encode({"text": "", **{f"x{i}": i for i in range(20)}, "a b": 1})
    assert OUTER.unknown(body) == tuple(f"x{i}" for i in range(10))
    assert OUTER.unknown(b'{"a\\nb":1}') == ("(not shown)",)


def test_unknown_names_are_not_looked_for_among_too_many_strings() -> None:
    def names(count: int) -> tuple[str, ...]:
        return OUTER.unknown(b'{"text":"",' + b",".join([b'"x":1'] * count) + b"}")

    assert names(MAX_STRINGS_NAMED - 2) == ("x",)
    assert names(MAX_STRINGS_NAMED - 1) == ()


class Upload:
    """Gives a body in pieces, and remembers how much of it was taken."""

    def __init__(self, pieces: Sequence[bytes], *, cut: bool = False, stall: bool = False) -> None:
        self._pieces = list(pieces)
        self._cut = cut
        self._stall = stall
        self.taken = 0

    async def receive(self) -> Any:
        if self._pieces:
            piece = self._pieces.pop(0)
            self.taken += len(piece)
            more = bool(self._pieces) or self._cut or self._stall
            return {"type": "http.request", "body": piece, "more_body": more}
        if self._stall:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def read(self, headers: dict[str, str] | None = None, limit: int = 1_000) -> bytes:
        request: Any = Request(scope=http_scope("POST", "/", headers), receive=self.receive)  # type: ignore[arg-type]
        return await read_body(request, limit=limit)


async def test_a_body_in_pieces_is_put_together() -> None:
    assert await Upload([b"a", b"", b"bc"]).read() == b"abc"
    assert await Upload([b"abc"]).read() == b"abc"
    assert await Upload([b"x" * 1_000]).read() == b"x" * 1_000


async def test_a_body_too_large_is_read_to_its_end_so_that_the_answer_can_be_read() -> None:
    upload = Upload([b"x" * 1_000] * 5)
    with pytest.raises(InputError) as caught:
        await upload.read({"content-length": "5000"})
    assert caught.value.code == "body_too_large"
    assert upload.taken == 5_000


async def test_an_endless_body_is_cut() -> None:
    upload = Upload([b"x" * 10_000_000] * 10)
    with pytest.raises(InputError):
        await upload.read()
    assert upload.taken == 50_000_000


@pytest.mark.parametrize(
    "headers", [{"content-length": "999999999999"}, {"content-length": "2000", "expect": "100-continue"}]
)
async def test_an_announcement_is_enough_when_nobody_is_sending_yet(headers: dict[str, str]) -> None:
    upload = Upload([b"x"])
    with pytest.raises(InputError):
        await upload.read(headers)
    assert upload.taken == 0


@pytest.mark.virtual_time
async def test_a_body_that_never_ends_is_a_timeout() -> None:
    with pytest.raises(InputError) as caught:
        await Upload([b"{"], stall=True).read()
    assert caught.value.code == "request_timeout"


async def test_a_body_that_breaks_off_is_refused() -> None:
    with pytest.raises(InputError):
        await Upload([b"{"], cut=True).read()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "text/plain"}, "invalid_content_type"),
        ({"content-type": ""}, "invalid_content_type"),
        ({"content-type": "multipart/form-data; boundary=x"}, "invalid_content_type"),
        ({"content-type": "application/json; charset=utf-16"}, "invalid_content_type"),
        ({"content-encoding": "gzip"}, "unsupported_content_encoding"),
        ({"content-encoding": "br, gzip"}, "unsupported_content_encoding"),
    ],
)
async def test_what_is_not_plain_json_by_its_headers_is_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(InputError) as caught:
        await Upload([b"{}"]).read(headers)
    assert caught.value.code == code
    assert caught.value.param in ("Content-Type", "Content-Encoding")


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_by_any_spelling_is_taken(kind: str) -> None:
    assert await Upload([b"{}"]).read({"content-type": kind, "content-encoding": "identity"}) == b"{}"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x" * 10_000_001, 413), (b'{"a":"\xff"}', 400), (b"[" * 100_000, 400), (b'{"model":1}', 400)],
    ids=["large", "utf8", "deep", "type"],
)
async def test_the_route_answers_in_openais_shape(body: bytes, status: int) -> None:
    client = Client(app_with())
    await client.post(PATH, body)
    assert client.status == status
    assert set(msgspec.json.decode(client.body)["error"]) >= {
        "message",
        "type",
        "param",
        "code",
        "request_id",
    }
