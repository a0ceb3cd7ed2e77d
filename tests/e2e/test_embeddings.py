"""Embeddings through unmodified clients: offline, and with a provider behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from langchain_openai import OpenAIEmbeddings
from msgspec.structs import replace
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError
from pydantic import SecretStr

from cozy_domain.errors import ConfigError
from cozy_server.app import opened
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.fake_openai.embeddings import vector
from tests.fixtures.promptness import SOON_S, soonest
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake

RECOVERS = "status?code=503&times=1"
DOWN = "status?code=503&retry_after=60"
HANGS = "hang"


def client_of(server: Running) -> AsyncOpenAI:
    """Not with strict validation: it refuses the base64 that the client itself asks for."""
    return AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0)


@pytest.fixture
async def client(server: Running) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(server) as client:
        yield client


@pytest.fixture
async def backed(tmp_path: Path, fake_openai: FakeOpenAI) -> AsyncIterator[Running]:
    """A server whose embeddings come from the fake provider, under the names that clients know."""
    settings = with_fake(settings_for(tmp_path), fake_openai, "ok")
    aliases = {
        "text-embedding-3-small": "fake/embed",
        "recovers": f"fake/{RECOVERS}",
        "down": f"fake/{DOWN}",
        "hangs": f"fake/{HANGS}",
    }
    models = replace(settings.models, embedding="fake/embed", embeddings=aliases)
    async with running(container_for(replace(settings, models=models))) as server:
        yield server


async def test_without_a_provider_words_are_compared_and_it_says_so(client: AsyncOpenAI) -> None:
    texts = ["Where do cats sleep?", "A cat sleeps on the sofa.", "Interest rates fell again."]
    answer = await client.embeddings.create(model="lexical", input=texts)
    asked, near, far = (it.embedding for it in answer.data)
    assert sum(map(float.__mul__, asked, near)) > sum(map(float.__mul__, asked, far))
    assert answer.model_extra is not None
    assert answer.model_extra["cozy"] == {"model": "offline/lexical"}
    assert answer.usage.prompt_tokens > 0
    assert "offline/lexical" in [model.id async for model in client.models.list()]


async def test_openai_python_gets_numbers_by_default_and_on_request(client: AsyncOpenAI) -> None:
    by_default = await client.embeddings.create(model="lexical", input="hello", dimensions=16)
    as_numbers = await client.embeddings.create(
        model="lexical", input="hello", dimensions=16, encoding_format="float"
    )
    as_text = await client.embeddings.create(
        model="lexical", input="hello", dimensions=16, encoding_format="base64"
    )
    assert len(by_default.data[0].embedding) == 16
    assert by_default.data[0].embedding == as_numbers.data[0].embedding
    assert isinstance(as_text.data[0].embedding, str)  # type: ignore[unreachable]  # the SDK's type promises numbers


async def test_what_the_provider_gives_arrives_bit_by_bit(backed: Running, fake_openai: FakeOpenAI) -> None:
    async with client_of(backed) as client:
        answer = await client.embeddings.create(
            model="text-embedding-3-small", input=["one", "two more"], dimensions=5
        )
        tokens = await client.embeddings.create(model="fake/embed", input=[[1, 2, 3], [4]])
    assert [it.embedding for it in answer.data] == [vector("one", 5), vector("two more", 5)]
    assert [it.embedding for it in tokens.data] == [vector([1, 2, 3]), vector([4])]
    assert (answer.model, answer.usage.total_tokens) == ("text-embedding-3-small", 11)
    assert fake_openai.embeddings()[0].body == {
        "model": "embed",
        "input": ["one", "two more"],
        "encoding_format": "base64",
        "dimensions": 5,
    }


async def test_langchain_embeds_documents_and_queries(server: Running) -> None:
    embeddings = OpenAIEmbeddings(
        model="lexical",
        base_url=server.base_url,
        api_key=SecretStr("none"),
        check_embedding_ctx_length=False,  # else it sends tokens of OpenAI's own models
        max_retries=0,
    )
    documents = await embeddings.aembed_documents(["a cat", "two cats", "a dog"])
    query = await embeddings.aembed_query("a cat")
    await embeddings.async_client._client.close()  # LangChain itself never does
    assert query == documents[0]
    assert documents[1] != documents[2]


async def test_tokens_for_the_offline_model_are_refused_with_the_way_out(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.embeddings.create(model="lexical", input=[[9906, 1917]])
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "input")
    assert isinstance(caught.value.body, dict)
    assert "check_embedding_ctx_length=False" in caught.value.body["hint"]


async def test_an_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.embeddings.create(model="text-embedding-9", input="hello")
    assert caught.value.code == "model_not_found"


async def test_one_failure_of_the_provider_is_made_up_for(backed: Running, fake_openai: FakeOpenAI) -> None:
    async with client_of(backed) as client:
        assert (await client.embeddings.create(model="recovers", input="hello")).data
    assert len(fake_openai.embeddings()) == 2


async def test_a_provider_that_stays_away_keeps_its_meaning(backed: Running) -> None:
    async with client_of(backed) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.embeddings.create(model="down", input="hello")
    assert (caught.value.status_code, caught.value.code) == (503, "provider_unavailable")
    assert caught.value.response.headers["retry-after"] == "60"
    async with httpx2.AsyncClient(timeout=60) as plain:
        engines = (await plain.get(f"{backed.url}/health/engines")).json()["engines"]
    assert f"fake/{DOWN}" in engines


async def test_leaving_stops_the_provider(backed: Running, fake_openai: FakeOpenAI) -> None:
    body = json.dumps({"model": "hangs", "input": "hello"}).encode()

    async def leave() -> float:
        before = len(fake_openai.closed_early)
        _, writer = await asyncio.open_connection("127.0.0.1", backed.port)
        writer.write(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await fake_openai.until(lambda: bool(fake_openai.open_streams))
        left = asyncio.get_running_loop().time()
        writer.transport.abort()
        await fake_openai.until(lambda: len(fake_openai.closed_early) > before)
        return fake_openai.closed_early[-1].at_s - left

    assert await soonest(leave) < SOON_S


@pytest.mark.parametrize(
    ("models", "place"),
    [
        ({"embedding": "lexical"}, "models.embedding"),
        ({"embedding": "nobody/x"}, "models.embedding"),
        ({"embeddings": {"default": "offline/lexical"}}, "'default'"),
    ],
)
async def test_settings_that_lead_nowhere_end_the_start(
    tmp_path: Path, models: dict[str, object], place: str
) -> None:
    settings = settings_for(tmp_path)
    container = container_for(replace(settings, models=replace(settings.models, **models)))
    with pytest.raises(ConfigError, match=place):
        async with opened(container):
            pass
