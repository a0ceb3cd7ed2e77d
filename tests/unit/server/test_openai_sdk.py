"""The real OpenAI client (and LangChain on top of it) on our bytes, in process, with its strictest checks."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import BaseModel, SecretStr

from cozy_domain.errors import LimitError, ProviderUnavailableError
from cozy_domain.models.deltas import RefusalDelta, TextDelta, TokenLogprob, ToolCallDelta
from tests.unit.server.scripted_chat import SESSION, ScriptedChat, Step, app_with, ended, started

HELLO: Any = [{"role": "user", "content": "Hello"}]
LOOK: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string"}},
            "required": ["at"],
            "additionalProperties": False,
        },
    },
}
CALLS: tuple[Step, ...] = (
    started(),
    ToolCallDelta(0, id="call_a", name="look"),
    ToolCallDelta(0, arguments='{"at":"a"}'),
    ToolCallDelta(1, id="call_b", name="look", arguments='{"at":"b"}'),
    ended("tool_calls"),
)


class Places:
    """Clients of applications that play a script; all are closed at the end."""

    def __init__(self) -> None:
        self.open: list[httpx2.AsyncClient] = []

    def transport(self, *script: Step) -> httpx2.AsyncClient:
        app: Any = app_with(ScriptedChat(*script))
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test/v1")
        self.open.append(client)
        return client

    def openai(self, *script: Step) -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key="cz_x",
            base_url="http://test/v1",
            http_client=self.transport(*script),
            _strict_response_validation=True,
            max_retries=0,
        )


@pytest.fixture
async def places() -> AsyncIterator[Places]:
    places = Places()
    yield places
    for client in places.open:
        await client.aclose()


async def test_a_plain_answer_passes_the_strict_checks_with_all_extensions(places: Places) -> None:
    answer = await places.openai(
        started(SESSION),
        TextDelta("Hi", logprobs=(TokenLogprob("Hi", -0.1, (72, 105), (TokenLogprob("Ho", -2.0),)),)),
        ended(),
    ).chat.completions.create(model="anna", messages=HELLO, extra_body={"cozy": {"session_id": str(SESSION)}})
    assert answer.choices[0].message.content == "Hi"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12
    assert answer._request_id is not None
    extension: Any = answer.model_extra
    assert extension["cozy"]["session_id"] == str(SESSION)


async def test_a_stream_passes_the_strict_checks(places: Places) -> None:
    stream = await places.openai(
        started(), TextDelta("Hi "), RefusalDelta("x"), TextDelta("you"), ended()
    ).chat.completions.create(
        model="anna", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hi you"
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


async def test_the_streaming_helper_joins_parallel_tool_calls(places: Places) -> None:
    client = places.openai(*CALLS)
    async with client.chat.completions.stream(model="anna", messages=HELLO, tools=[LOOK]) as stream:
        completion = await stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls or []
    assert [(call.id, call.function.name, call.function.parsed_arguments) for call in calls] == [
        ("call_a", "look", {"at": "a"}),
        ("call_b", "look", {"at": "b"}),
    ]
    assert completion.choices[0].finish_reason == "tool_calls"


async def test_plain_tool_calls_pass_the_strict_checks(places: Places) -> None:
    answer = await places.openai(*CALLS).chat.completions.create(model="anna", messages=HELLO, tools=[LOOK])
    assert answer.choices[0].message.content is None
    assert len(answer.choices[0].message.tool_calls or []) == 2


async def test_parsing_into_a_model_works(places: Places) -> None:
    class Place(BaseModel):
        name: str

    client = places.openai(started(), TextDelta('{"name":"Kyoto"}'), ended())
    answer = await client.chat.completions.parse(model="anna", messages=HELLO, response_format=Place)
    assert answer.choices[0].message.parsed == Place(name="Kyoto")


async def test_models_pass_the_strict_checks(places: Places) -> None:
    client = places.openai()
    assert [model.id async for model in client.models.list()][:2] == ["anna", "default"]
    assert (await client.models.retrieve("openai/org/big")).owned_by == "openai"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("ana")
    assert caught.value.code == "model_not_found"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["hint"] == "Did you mean 'anna'?"


async def test_errors_keep_their_class_and_fields(places: Places) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        await places.openai(LimitError("Slow.", retry_after_s=1)).chat.completions.create(
            model="anna", messages=HELLO, stream=True
        )
    assert (limited.value.code, limited.value.type) == ("rate_limit_exceeded", "requests")
    assert limited.value.request_id is not None
    with pytest.raises(openai.BadRequestError) as bad:
        await places.openai().chat.completions.create(model="anna", messages=HELLO, temperature=3)
    assert bad.value.param == "temperature"


async def test_a_broken_stream_raises_in_the_client(places: Places) -> None:
    stream = await places.openai(
        started(), TextDelta("Half"), ProviderUnavailableError("Gone.", provider="p")
    ).chat.completions.create(model="anna", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass
    assert caught.value.code == "provider_unavailable"


async def test_every_field_of_the_client_is_taken_or_refused_by_name(places: Places) -> None:
    client = places.openai(started(), TextDelta("Hi"), ended())
    answer = await client.chat.completions.create(
        model="anna",
        messages=HELLO,
        frequency_penalty=0.1,
        logit_bias={"1": 1},
        logprobs=True,
        top_logprobs=1,
        max_completion_tokens=5,
        metadata={"a": "b"},
        modalities=["text"],
        n=1,
        parallel_tool_calls=True,
        prediction={"type": "content", "content": "x"},
        presence_penalty=0.1,
        prompt_cache_key="k",
        reasoning_effort="low",
        response_format={"type": "text"},
        safety_identifier="s",
        seed=1,
        service_tier="auto",
        stop=["a"],
        store=True,
        stream=False,
        temperature=0.1,
        tool_choice="none",
        tools=[LOOK],
        top_p=0.1,
        user="u",
        verbosity="low",
        web_search_options={},
    )
    assert answer.choices[0].message.content == "Hi"


async def test_langchain_reads_answers_streams_and_tool_calls(places: Places) -> None:
    def model(*script: Step) -> ChatOpenAI:
        return ChatOpenAI(
            model="anna",
            api_key=SecretStr("cz_x"),
            base_url="http://test/v1",
            http_async_client=places.transport(*script),
            stream_usage=True,
        )

    answer = await model(started(), TextDelta("Hi"), ended()).ainvoke("Hello")
    assert (answer.content, answer.usage_metadata and answer.usage_metadata["total_tokens"]) == ("Hi", 12)
    pieces = [
        piece async for piece in model(started(), TextDelta("Hi "), TextDelta("you"), ended()).astream("x")
    ]
    assert "".join(str(piece.content) for piece in pieces) == "Hi you"
    called = await model(*CALLS).bind_tools([LOOK]).ainvoke("Hello")
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [
        ("look", {"at": "a"}),
        ("look", {"at": "b"}),
    ]
