"""The embeddings route, through the whole application, with the in-memory embedder behind it."""

import asyncio
from base64 import b64decode
from typing import Any

import msgspec
import pytest

from cozy_adapters.inmemory.embedder import InMemoryEmbedder
from cozy_domain.access.caller import Caller
from cozy_domain.errors import ProviderOverloadedError, ProviderRefusedError
from cozy_domain.models.embedding import unpacked
from cozy_server.openai.wire.embeddings import MAX_CHARACTERS, MAX_INPUTS, MAX_TOKENS
from tests.unit.server.scripted_chat import Client, app_with

PATH = "/v1/embeddings"


async def ask(
    embedder: InMemoryEmbedder | None = None, caller: Caller | None = None, **fields: Any
) -> Client:
    client = Client(app_with(embedder=embedder, caller=caller))
    await client.post(PATH, msgspec.json.encode({"model": "lexical", "input": "hello", **fields}))
    return client


def body_of(client: Client) -> Any:
    return msgspec.json.decode(client.body)


async def refusal(**fields: Any) -> tuple[int | None, str, str, str]:
    client = await ask(**fields)
    error = body_of(client)["error"]
    return client.status, error["code"], error["param"], error["message"]


async def test_the_answer_is_openais_with_who_answered() -> None:
    client = await ask(input=["one", "four"], dimensions=2, model="text-embedding-3-small")
    body = body_of(client)
    vectors = [it.pop("embedding") for it in body["data"]]
    assert (client.status, client.headers["content-type"]) == (200, "application/json")
    assert body == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
        "cozy": {"model": "offline/lexical"},
    }
    assert all(len(vector) == 2 for vector in vectors)


async def test_base64_holds_the_same_numbers_little_endian() -> None:
    numbers = body_of(await ask())["data"][0]["embedding"]
    text = body_of(await ask(encoding_format="base64"))["data"][0]["embedding"]
    assert unpacked(b64decode(text, validate=True)) == tuple(numbers)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("one", ("one",)),
        (["one", "two"], ("one", "two")),
        ([1, 2, 3], ((1, 2, 3),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
        ([0] * MAX_TOKENS, ((0,) * MAX_TOKENS,)),
        (["a"] * MAX_INPUTS, ("a",) * MAX_INPUTS),
    ],
)
async def test_all_four_forms_of_input_arrive(given: object, inputs: tuple[object, ...]) -> None:
    embedder = InMemoryEmbedder()
    client = await ask(embedder, input=given)
    assert client.status == 200
    assert embedder.requests[0].inputs == inputs


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ("", "invalid_value", "input"),
        ([], "invalid_value", "input"),
        (["a", ""], "invalid_value", "input[1]"),
        ([[]], "invalid_value", "input[0]"),
        ([-1], "invalid_value", "input[0]"),
        ([1.5], "invalid_type", "input[0]"),
        (None, "invalid_type", "input"),
        ({"text": "a"}, "invalid_type", "input"),
        (["a", 1], "invalid_type", "input"),
        ([1, [2]], "invalid_type", "input"),
        (["a", [2]], "invalid_type", "input"),
        (["a"] * (MAX_INPUTS + 1), "array_above_max_length", "input"),
        ([0] * (MAX_TOKENS + 1), "context_length_exceeded", "input"),
        ([[0] * (MAX_TOKENS + 1)], "array_above_max_length", "input[0]"),
        ([[0] * MAX_TOKENS] * 37, "context_length_exceeded", "input"),
        ("a" * (MAX_CHARACTERS + 1), "context_length_exceeded", "input"),
    ],
)
async def test_what_cannot_be_embedded_is_400_by_place(given: object, code: str, param: str) -> None:
    assert (await refusal(input=given))[:3] == (400, code, param)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"encoding_format": "hex"}, "invalid_value", "encoding_format"),
        ({"dimensions": 0}, "invalid_value", "dimensions"),
        ({"dimensions": "3"}, "invalid_type", "dimensions"),
        ({"model": ""}, "invalid_value", "model"),
        ({"user": "x" * 257}, "invalid_value", "user"),
    ],
)
async def test_other_bad_fields_are_400_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    assert (await refusal(**fields))[:3] == (400, code, param)


async def test_an_unknown_model_is_404_with_a_hint() -> None:
    client = await ask(model="text-embedding-3-smal")
    error = body_of(client)["error"]
    assert (client.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert error["hint"] == "Did you mean 'text-embedding-3-small'?"


async def test_a_persona_does_not_embed() -> None:
    assert (await refusal(model="anna"))[:2] == (404, "model_not_found")


async def test_the_person_goes_to_the_provider_as_an_opaque_id() -> None:
    embedder = InMemoryEmbedder()
    await ask(embedder, Caller("acme"), user="mei@example.org")
    assert embedder.requests[0].end_user == Caller("acme").owner("mei@example.org").id.hex


async def test_what_the_provider_minds_is_the_callers_to_mend() -> None:
    embedder = InMemoryEmbedder()
    embedder.add(ProviderRefusedError("no tokens", provider="p", code="unsupported_value", param="input"))
    client = await ask(embedder)
    error = body_of(client)["error"]
    assert (client.status, error["code"], error["param"]) == (400, "unsupported_value", "input")


async def test_a_busy_provider_is_429_with_its_wish() -> None:
    embedder = InMemoryEmbedder()
    embedder.add(ProviderOverloadedError("busy", provider="p", retry_after_s=60.0))
    client = await ask(embedder)
    assert (client.status, client.headers["retry-after"]) == (429, "60")


async def test_a_client_that_leaves_ends_the_call() -> None:
    embedder = InMemoryEmbedder()
    never = asyncio.Event()
    embedder.add(never)
    client = Client(app_with(embedder=embedder))
    call = asyncio.create_task(client.post(PATH, b'{"model":"lexical","input":"hello"}'))
    async with asyncio.timeout(60):
        await embedder.asked.wait()
        client.leave()
        await call
    assert client.status == 499
