"""Whatever is sent, the running server answers 4xx in OpenAI's shape, and goes on serving."""

import gzip
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.fixtures.server import Running

JSON = {"content-type": "application/json"}
HELLO = b'{"model":"default","messages":[{"role":"user","content":"Hello"}]}'


def saying(content: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"default","messages":[{"role":"user","content":%s}]%s}' % (content, more)


BODIES = {
    "truncated": HELLO[:-5],
    "empty": b"",
    "not an object": b"[1]",
    "NaN": saying(b'"a"', b',"temperature":NaN'),
    "5,000 digits": saying(b'"a"', b',"seed":' + b"9" * 5_000),
    "a lone surrogate": saying(b'"\\ud800"'),
    "invalid UTF-8": saying(b'"\xff\xfe"'),
    "invalid UTF-8 in an ignored field": saying(b'"a"', b',"nothing":"\xff"'),
    "100,000 levels": saying(b'"a"', b',"nothing":' + b"[" * 100_000 + b"]" * 100_000),
    "an escaped NUL": saying(b'"a\\u0000b"'),
    "a NUL": saying(b'"a\x00b"'),
    "10,001 messages": b'{"model":"default","messages":[%s]}'
    % b",".join([b'{"role":"user","content":"a"}'] * 10_001),
    "no messages": b'{"model":"default","messages":[]}',
    "an unknown role": b'{"model":"default","messages":[{"role":"boss","content":"a"}]}',
    "an unknown field of ours": saying(b'"a"', b',"cozy":{"sesion_id":"x"}'),
    "a session that is no UUID": saying(b'"a"', b',"cozy":{"session_id":"../../etc"}'),
    "a persona that is a path": saying(b'"a"', b',"cozy":{"personality_id":"../default"}'),
    "a model with a NUL": b'{"model":"a\\u0000","messages":[{"role":"user","content":"a"}]}',
}


@pytest.fixture
async def client(server: Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client
        assert (await client.get("/readyz")).status_code == 200


def assert_refused(answer: httpx2.Response, *statuses: int) -> None:
    assert answer.status_code in (statuses or (400, 404)), answer.text
    error = answer.json()["error"]
    assert {"message", "type", "param", "code", "hint", "doc_url", "request_id"} == set(error)
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_bad_body_is_refused(client: httpx2.AsyncClient, body: bytes) -> None:
    assert_refused(await client.post("/v1/chat/completions", content=body, headers=JSON))


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_11_mb_is_413_and_can_be_read(client: httpx2.AsyncClient, *, chunked: bool) -> None:
    large = saying(b'"%s"' % (b"a" * 11_000_000))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    content = pieces() if chunked else large
    assert_refused(await client.post("/v1/chat/completions", content=content, headers=JSON), 413)


async def test_a_compressed_body_is_refused(client: httpx2.AsyncClient) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    assert_refused(await client.post("/v1/chat/completions", content=gzip.compress(HELLO), headers=headers))


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1"],
)
async def test_another_content_type_is_refused(client: httpx2.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert_refused(await client.post("/v1/chat/completions", content=HELLO, headers=headers))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v1/models/a%00b",
        "/v1/models/" + "a" * 300,
        "/v1/models/dеfault",  # a Cyrillic letter is the point
        "/v1/cozy/sessions/%00",
        "/v1/cozy/sessions/..%2f..%2f",
        "/v1/cozy/sessions/con",
        "/v1/cozy/sessions?limit=0",
        "/v1/cozy/sessions?limit=abc",
        "/v1/cozy/sessions?after=' OR 1=1 --",
        "/v1/cozy/sessions?user_id=%00",
        "/v1/cozy/sessions?unknown=1",
    ],
)
async def test_an_id_that_is_none_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    assert_refused(await client.get(path))


async def test_another_verb_is_405(client: httpx2.AsyncClient) -> None:
    assert_refused(await client.put("/v1/chat/completions", content=HELLO, headers=JSON), 405)


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE turns; --",
        "{{7*7}} ${7*7} <%= 7*7 %>",
        "%_\\%",
        "(a+)+$" * 50,
        "\u202egnp.exe\u200b\u200d",
        "a\r\nSet-Cookie: x=1",
    ],
)
async def test_hostile_text_is_stored_and_given_back_as_it_is(client: httpx2.AsyncClient, text: str) -> None:
    session = "018f0000-0000-7000-8000-000000000001"
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": text}],
        "cozy": {"session_id": session},
    }
    assert (
        await client.post("/v1/chat/completions", content=json.dumps(body), headers=JSON)
    ).status_code == 200
    stored = (await client.get(f"/v1/cozy/sessions/{session}/messages")).json()["data"]
    assert stored[0]["content"] == text
