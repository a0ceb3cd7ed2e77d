"""openai-python, as it comes from PyPI, with its strict validation on."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from openai import APIStatusError, AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def client(server: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=server.base_url, api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


async def test_a_plain_answer_is_whole_and_says_who_spoke(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": "What is 17 * 23?"}]
    )
    assert "391" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert answer._request_id is not None
    assert answer.model_extra is not None
    assert answer.model_extra["cozy"]["persona"] == "default"
    assert answer.model_extra["cozy"]["model"] == "offline/offline"


async def test_a_stream_gives_the_same_words_and_its_usage(client: AsyncOpenAI) -> None:
    plain = await client.chat.completions.create(model="default", messages=HELLO)
    stream = await client.chat.completions.create(
        model="default", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage


async def test_the_sync_client_works_alike(server: Running) -> None:
    def ask() -> tuple[str, str]:
        with OpenAI(base_url=server.base_url, api_key="none", _strict_response_validation=True) as client:
            plain = client.chat.completions.create(model="default", messages=HELLO)
            stream = client.chat.completions.create(model="default", messages=HELLO, stream=True)
            said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return plain.choices[0].message.content or "", said

    plain, streamed = await asyncio.to_thread(ask)
    assert plain == streamed
    assert plain


async def test_a_session_remembers_over_two_requests(client: AsyncOpenAI) -> None:
    extra = {"cozy": {"session_id": str(uuid4())}}
    for words in ("My name is Robin.", "What is my name?"):
        answer = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": words}], extra_body=extra
        )
    assert "Robin" in (answer.choices[0].message.content or "")


async def test_models_are_listed_and_one_can_be_looked_up(client: AsyncOpenAI) -> None:
    names = [model.id async for model in await client.models.list()]
    assert "default" in names
    assert (await client.models.retrieve("default")).id == "default"


async def test_an_unknown_model_is_a_not_found_error_with_code_and_hint(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.chat.completions.create(model="defualt", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert caught.value.request_id
    assert isinstance(caught.value.body, dict)
    assert "default" in caught.value.body["hint"]


async def test_what_the_offline_model_cannot_do_is_refused_by_name(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.chat.completions.create(model="default", messages=HELLO, n=2)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "n")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (400, 400, "context_length_exceeded"),
        (413, 400, "provider_refused"),
        (422, 400, "provider_refused"),
        (401, 502, "provider_credential_refused"),
        (403, 502, "provider_credential_refused"),
        (404, 502, "model_not_found"),
    ],
)
async def test_what_a_provider_minds_about_the_request_is_a_bad_request_and_no_other_refusal(
    tmp_path: Path, fake_openai: FakeOpenAI, refusal: int, status: int, code: str, *, stream: bool
) -> None:
    model = f"status?code={refusal}"
    settings = with_fake(settings_for(tmp_path), fake_openai, model)
    async with (
        running(container_for(settings)) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(APIStatusError) as caught:
            await client.chat.completions.create(model=f"fake/{model}", messages=HELLO, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert (f"the fake provider answers {refusal}" in caught.value.message) is (status == 400)


async def test_a_model_may_be_asked_for_and_looked_up_by_its_bare_id(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    settings = with_fake(settings_for(tmp_path), fake_openai, "ok")
    async with (
        running(container_for(settings)) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        answer = await client.chat.completions.create(model="ok", messages=HELLO)
        model = await client.models.retrieve("ok")
    assert (answer.model, model.id, model.owned_by) == ("ok", "ok", "fake")


async def test_client_tools_go_out_and_their_results_come_back(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    model = 'tool?name=weather&args={"city":"Oslo"}'
    settings = with_fake(settings_for(tmp_path), fake_openai, model)
    async with (
        running(container_for(settings)) as server,
        AsyncOpenAI(
            base_url=server.base_url, api_key="none", max_retries=0, _strict_response_validation=True
        ) as client,
    ):
        asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How is Oslo?"}]
        first = await client.chat.completions.create(model="default", messages=asked, tools=[WEATHER])
        choice = first.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        call = choice.message.tool_calls[0]
        assert call.type == "function"
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        second = await client.chat.completions.create(
            model="default",
            messages=[
                *asked,
                {"role": "assistant", "tool_calls": [call.model_dump()]},  # type: ignore[list-item]
                {"role": "tool", "tool_call_id": call.id, "content": "snow, -3"},
            ],
            tools=[WEATHER],
        )
    assert "snow, -3" in (second.choices[0].message.content or "")


async def test_the_streaming_helper_puts_a_tool_call_together(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    model = 'tool?name=weather&args={"city":"Oslo"}'
    settings = with_fake(settings_for(tmp_path), fake_openai, model)
    async with (
        running(container_for(settings)) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
        client.chat.completions.stream(model="default", messages=HELLO, tools=[WEATHER]) as stream,
    ):
        final = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Oslo"}'


async def test_a_made_up_key_of_ours_is_an_authentication_error(server: Running) -> None:
    key = "cz_12345678_" + "x" * 43
    async with AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.models.list()
    assert caught.value.code == "invalid_api_key"


async def test_a_stateless_round_with_tools_of_both_sides_is_finished_with_the_servers_results(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    model = 'mixed?name=calculator&name=weather&args={"expression":"6*7"}&args={"city":"Oslo"}'
    settings = with_fake(settings_for(tmp_path), fake_openai, model)
    async with (
        running(container_for(settings)) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Both, please."}]
        first = await client.chat.completions.create(model="default", messages=asked, tools=[WEATHER])
        calls = first.choices[0].message.tool_calls or []
        assert [call.function.name for call in calls if call.type == "function"] == ["weather"]
        second = await client.chat.completions.create(
            model="default",
            messages=[
                *asked,
                {"role": "assistant", "tool_calls": [calls[0].model_dump()]},  # type: ignore[list-item]
                {"role": "tool", "tool_call_id": calls[0].id, "content": "snow"},
            ],
            tools=[WEATHER],
        )
    said = second.choices[0].message.content or ""
    assert "42" in said
    assert "snow" in said


@pytest.mark.parametrize(
    "said",
    [
        [{"role": "system", "content": "Greet me."}],
        [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue, for"}],
        [{"role": "assistant", "content": "Welcome!"}],
        [{"role": "user", "content": "Hello"}, {"role": "system", "content": "Be brief."}],
    ],
)
async def test_a_call_need_not_end_with_the_users_words(
    client: AsyncOpenAI, tmp_path: Path, fake_openai: FakeOpenAI, said: list[ChatCompletionMessageParam]
) -> None:
    """Applications send instructions alone, SillyTavern puts them last, and "continue" ends with the assistant's words."""
    settings = with_fake(settings_for(tmp_path / "other"), fake_openai, "ok")
    async with (
        running(container_for(settings)) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as other,
    ):
        for asked in (client, other):
            answer = await asked.chat.completions.create(model="default", messages=said)
            assert answer.choices[0].message.content
        told = json.dumps(fake_openai.chats()[-1].body["messages"])
    assert all(str(message["content"]) in told for message in said if "content" in message)
