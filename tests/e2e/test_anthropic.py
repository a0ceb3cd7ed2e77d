"""openai-python before a server whose model is Anthropic's: the client notices nothing of the other protocol."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletionMessageParam

from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.server import container_for, running, server_process, settings_for, with_fake

pytest_plugins = ["tests.fixtures.fake_anthropic.plugin"]

WHOLE = " ".join(f"word{n}" for n in range(1, 9))
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS_WEATHER = 'tool?name=weather&args={"city":"Oslo"}'
CALLS_BOTH = 'mixed?name=calculator&name=weather&args={"expression":"6*7"}&args={"city":"Oslo"}'
CLAUDE = "ok?key=claude"
REFUSING = "refusal"
THOUGHT = "My%20secret%20plan."
THINKS = f"tool?thought={THOUGHT}&rounds=2"
THINKS_ABOUT_BOTH = f"{CALLS_BOTH}&thought={THOUGHT}"
THINKS_IN_SECRET = f"{CALLS_WEATHER}&thought=redacted"


@pytest.fixture
async def client(tmp_path: Path, fake_anthropic: FakeAnthropic) -> AsyncIterator[AsyncOpenAI]:
    models = (
        "ok",
        "echo",
        "tool",
        CALLS_WEATHER,
        CALLS_BOTH,
        CLAUDE,
        REFUSING,
        THINKS,
        THINKS_ABOUT_BOTH,
        THINKS_IN_SECRET,
    )
    container = container_for(with_fake(settings_for(tmp_path), fake_anthropic, *models))
    async with (
        running(container) as server,
        AsyncOpenAI(
            base_url=server.base_url, api_key="none", max_retries=0, _strict_response_validation=True
        ) as client,
    ):
        yield client


async def test_plain_and_streamed_answers_are_the_same_with_their_usage(
    client: AsyncOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    plain = await client.chat.completions.create(model="default", messages=HELLO)
    stream = await client.chat.completions.create(
        model="default", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == plain.choices[0].message.content == WHOLE
    assert plain.usage is not None
    assert plain.usage.prompt_tokens_details is not None
    first, second = plain.usage, chunks[-1].usage
    assert second is not None
    assert second.prompt_tokens_details is not None
    # The persona and the tools were written to the provider's cache by the first, and read by the second.
    assert first.prompt_tokens_details.cached_tokens == 0  # type: ignore[union-attr]
    assert (second.prompt_tokens_details.cached_tokens or 0) > 100
    assert first.completion_tokens == second.completion_tokens
    body = fake_anthropic.chats()[0].body
    assert body["metadata"] == {"user_id": body["metadata"]["user_id"]}
    assert "cache_control" in body["system"][0]


async def test_a_session_is_remembered_and_its_history_cached(
    client: AsyncOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    extra = {"cozy": {"session_id": str(uuid4())}}
    cached = []
    for words in ("My name is Robin.", "What is my name?", "And now?"):
        answer = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": words}], extra_body=extra
        )
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        cached.append(answer.usage.prompt_tokens_details.cached_tokens or 0)
    told = json.dumps(fake_anthropic.chats()[-1].body["messages"])
    assert "My name is Robin." in told
    assert cached[0] < cached[1] < cached[2]


async def test_client_tools_go_out_and_their_results_come_back(client: AsyncOpenAI) -> None:
    model = f"fake/{CALLS_WEATHER}"
    first = await client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER])
    calls = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in calls if call.type == "function"] == [
        {"city": "Oslo"}
    ]
    second = await client.chat.completions.create(
        model=model,
        messages=[
            *HELLO,
            {"role": "assistant", "tool_calls": [calls[0].model_dump()]},  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": calls[0].id, "content": "snow, -3"},
        ],
        tools=[WEATHER],
    )
    assert "snow, -3" in (second.choices[0].message.content or "")


async def test_the_streaming_helper_puts_a_tool_call_together(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model=f"fake/{CALLS_WEATHER}", messages=HELLO, tools=[WEATHER]
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Oslo"}'


async def test_tools_of_the_server_run_and_both_sides_results_meet(client: AsyncOpenAI) -> None:
    alone = await client.chat.completions.create(model="fake/tool", messages=HELLO)
    assert alone.choices[0].message.content == "The tools said: 42"
    model = f"fake/{CALLS_BOTH}"
    first = await client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER])
    calls = first.choices[0].message.tool_calls or []
    second = await client.chat.completions.create(
        model=model,
        messages=[
            *HELLO,
            {"role": "assistant", "tool_calls": [calls[0].model_dump()]},  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": calls[0].id, "content": "snow"},
        ],
        tools=[WEATHER],
    )
    said = second.choices[0].message.content or ""
    assert "42" in said
    assert "snow" in said


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_go_back_with_the_results_of_the_servers_tools(
    client: AsyncOpenAI, fake_anthropic: FakeAnthropic, *, stream: bool
) -> None:
    """The fake refuses results without them."""
    if stream:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model=f"fake/{THINKS}", messages=HELLO, stream=True
            )
        ]
        told = "".join(chunk.model_dump_json() for chunk in chunks)
    else:
        told = (
            await client.chat.completions.create(model=f"fake/{THINKS}", messages=HELLO)
        ).model_dump_json()
    assert "secret plan" not in told
    kinds = [[it["type"] for it in turn["content"]] for turn in fake_anthropic.chats()[-1].body["messages"]]
    assert [kind for kind in kinds if "tool_use" in kind] == [["thinking", "tool_use"]] * 2


@pytest.mark.parametrize("session", [None, "a session"])
@pytest.mark.parametrize("model", [THINKS_ABOUT_BOTH, THINKS_IN_SECRET])
async def test_thoughts_go_back_with_the_results_of_the_clients_tools(
    client: AsyncOpenAI, fake_anthropic: FakeAnthropic, model: str, session: str | None
) -> None:
    extra = {"cozy": {"session_id": str(uuid4())}} if session else {}
    ask = partial(client.chat.completions.create, model=f"fake/{model}", tools=[WEATHER], extra_body=extra)
    first = await ask(messages=HELLO)
    calls = first.choices[0].message.tool_calls or []
    assert "secret plan" not in first.model_dump_json()
    answered: Any = [
        *HELLO,
        {"role": "assistant", "tool_calls": [calls[0].model_dump()]},
        {"role": "tool", "tool_call_id": calls[0].id, "content": "snow"},
    ]
    second = await ask(messages=answered)
    assert "snow" in (second.choices[0].message.content or "")
    assert "secret plan" not in second.model_dump_json()
    if session:
        third = await ask(messages=[{"role": "user", "content": "And tomorrow?"}])
        assert third.choices[0].finish_reason == "tool_calls"
        thoughts = json.dumps(fake_anthropic.chats()[-1].body["messages"]).count("thinking")
        assert thoughts


async def test_thoughts_of_one_model_are_not_shown_to_another(
    client: AsyncOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    extra = {"cozy": {"session_id": str(uuid4())}}
    await client.chat.completions.create(model=f"fake/{THINKS}", messages=HELLO, extra_body=extra)
    await client.chat.completions.create(model="fake/ok", messages=HELLO, extra_body=extra)
    told = json.dumps(fake_anthropic.chats()[-1].body["messages"])
    assert "tool_use" in told
    assert "thinking" not in told


async def test_images_files_and_schemas_reach_the_model(
    client: AsyncOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    pdf = base64.b64encode(b"%PDF-1.7 made up").decode()
    content: Any = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pdf}"}},
    ]
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "thing",
            "schema": {"type": "object", "required": ["a"], "properties": {"a": {"const": 7}}},
        },
    }
    answer = await client.chat.completions.create(
        model="fake/ok", messages=[{"role": "user", "content": content}], response_format=schema
    )
    assert json.loads(answer.choices[0].message.content or "") == {"a": 7}
    blocks = [it for turn in fake_anthropic.chats()[-1].body["messages"] for it in turn["content"]]
    sources = [it["source"]["type"] for it in blocks if it["type"] in ("image", "document")]
    assert sources == ["base64", "url", "base64"]


async def test_what_claude_cannot_do_is_refused_by_name_and_habits_are_forgiven(client: AsyncOpenAI) -> None:
    model = f"fake/{CLAUDE}"
    answer = await client.chat.completions.create(model=model, messages=HELLO, temperature=0.7, top_p=0.9)
    assert answer.choices[0].message.content == WHOLE
    for wish in (
        {"n": 2},
        {"seed": 1},
        {"frequency_penalty": 1},
        {"response_format": {"type": "json_object"}},
    ):
        with pytest.raises(BadRequestError) as caught:
            await client.chat.completions.create(model=model, messages=HELLO, **wish)
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", next(iter(wish)))


async def test_a_refusal_is_a_refusal(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=f"fake/{REFUSING}", messages=HELLO)
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.refusal) == ("content_filter", "I cannot help with that.")


async def test_a_key_in_the_environment_is_all_that_it_takes(
    tmp_path: Path, fake_anthropic: FakeAnthropic
) -> None:
    variables = {
        "ANTHROPIC_API_KEY": "sk-ant-canary",
        "ANTHROPIC_BASE_URL": fake_anthropic.base_url,
        "COZY_MODEL": "anthropic/ok",
    }
    async with (
        server_process("dev", "--port", "0", folder=tmp_path, **variables) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        body = {"model": "default", "messages": HELLO}
        answer = (await http.post("/v1/chat/completions", json=body)).json()
        health = (await http.get("/health")).json()
    assert answer["choices"][0]["message"]["content"] == WHOLE
    assert (answer["cozy"]["model"], health["status"]) == ("anthropic/ok", "ok")
    assert "anthropic/ok" in server.banner
    assert "sk-ant-canary" not in server.banner + (await asyncio.to_thread((tmp_path / "stderr").read_text))
    assert fake_anthropic.chats()[0].headers["authorization"] == "Bearer sk-ant-canary"
