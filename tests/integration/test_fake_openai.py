"""The fake provider is a good OpenAI to openai-python: plain, streamed, with tools, strictly validated."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.fake_openai.oddities import ODDITIES, SPLIT_TEXT
from tests.fixtures.fake_openai.reply import minimal_instance, words
from tests.fixtures.fake_openai.sdk import (
    TOOLS,
    USER,
    ask,
    chunks_of,
    client_of,
    text_of,
)
from tests.fixtures.fake_openai.speech import SPEECH

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]


SPOILT = {"odd-created", "odd-finish"}
"""What only lenient clients accept."""


@pytest.fixture
async def client(fake_openai: FakeOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(fake_openai) as client:
        yield client


# Accepted


async def test_the_sync_client_gets_a_plain_and_a_streamed_answer(fake_openai: FakeOpenAI) -> None:
    def talk() -> tuple[str | None, str]:
        with OpenAI(base_url=fake_openai.base_url, api_key="k", _strict_response_validation=True) as client:
            plain = client.chat.completions.create(model="ok", messages=USER)
            streamed = list(client.chat.completions.create(model="ok", messages=USER, stream=True))
            return plain.choices[0].message.content, text_of(streamed)

    assert await asyncio.to_thread(talk) == (words(8), words(8))
    assert fake_openai.closed_early == []
    assert fake_openai.open_streams == []


@pytest.mark.parametrize("model", sorted(SPEECH.keys() - SPOILT))
async def test_what_is_said_is_the_same_plain_and_streamed(client: AsyncOpenAI, model: str) -> None:
    plain = await ask(client, model, tools=TOOLS)
    chunks = await chunks_of(client, model, tools=TOOLS, stream_options={"include_usage": True})
    message = plain.choices[0].message
    text = text_of(chunks)
    if model == "dump":  # the two requests differ in `stream`
        assert json.loads(text)["messages"] == json.loads(message.content)["messages"] == USER
    else:
        assert text == (message.content or "")
        assert chunks[-1].usage == plain.usage
    assert chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {
        (chunks[0].id, 1_700_000_000, model)
    }


@pytest.mark.parametrize("model", sorted(ODDITIES.keys() - {"json-for-stream", "surrogates"}))
async def test_odd_answers_are_whole_to_a_good_client(client: AsyncOpenAI, model: str) -> None:
    expected = SPLIT_TEXT if model == "utf8-split" else words(8)
    assert text_of(await chunks_of(client, model)) == expected
    if model not in ("empty-choices", "no-content-type"):  # a body of no type is a string to the client
        assert (await ask(client, model)).choices[0].message.content == expected


async def test_escaped_surrogate_halves_come_in_two_deltas(client: AsyncOpenAI) -> None:
    chunks = await chunks_of(client, "surrogates?after=1")
    assert [text_of([chunk]) for chunk in chunks][1:5] == ["word1", "\ud83d", "\ude00", " word2"]


async def test_echo_says_the_last_user_text_and_echo_system_the_instructions(client: AsyncOpenAI) -> None:
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
        *USER,
    ]
    assert (await ask(client, "echo", messages)).choices[0].message.content == "你好 hello"
    assert (await ask(client, "echo-system", messages)).choices[0].message.content == "be kind\nbe brief"


async def test_chunks_and_text_shape_the_stream(client: AsyncOpenAI) -> None:
    chunks = await chunks_of(client, "ok?chunks=2&text=你好%26+世界")
    assert [text_of([chunk]) for chunk in chunks] == ["", "你好&", "+世界", ""]


async def test_options_of_the_request_are_honoured(client: AsyncOpenAI) -> None:
    two = await chunks_of(client, "ok", n=2)
    assert (text_of(two, 0), text_of(two, 1)) == (words(8), f"{words(8)} #1")
    short = await ask(client, "ok", max_completion_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == (words(2), "length")
    assert short.usage.completion_tokens == 2
    assert (await ask(client, "ok", stop=[" word3"])).choices[0].message.content == words(2)
    likely = await ask(client, "ok", logprobs=True, top_logprobs=2)
    assert "".join(entry.token for entry in likely.choices[0].logprobs.content) == words(8)
    assert [len(entry.top_logprobs) for entry in likely.choices[0].logprobs.content] == [2] * 8


async def test_a_json_schema_is_answered_with_a_minimal_instance(client: AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2},
            "kind": {"enum": ["a", "b"]},
            "age": {"type": "integer", "exclusiveMinimum": 0},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["name", "kind", "age", "tags", "next"],
        "additionalProperties": False,
        "$defs": {"tag": {"type": "string"}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
    answer = await ask(client, "ok", response_format=wanted)
    jsonschema.validate(json.loads(answer.choices[0].message.content), schema)
    assert (await ask(client, "ok", response_format={"type": "json_object"})).choices[
        0
    ].message.content == "{}"


def test_a_minimal_instance_has_only_what_is_required() -> None:
    assert minimal_instance({"type": "object", "properties": {"a": {"type": "string"}}}) == {}


async def test_models_are_listed_found_and_missed(client: AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert {"ok", "stall", "tool"} <= set(names)
    assert (await client.models.retrieve("ok")).owned_by == "fake-openai"
    with pytest.raises(openai.NotFoundError) as missing:
        await client.models.retrieve("vendor/unknown")
    assert missing.value.code == "model_not_found"


async def test_requests_are_recorded_with_headers_and_connection(
    fake_openai: FakeOpenAI, client: AsyncOpenAI
) -> None:
    answer = await ask(client, "ok")
    await ask(client, "echo", extra_body={"cozy": {"user_id": "u"}})
    first, second = fake_openai.chats()
    assert (first.model, second.body["cozy"]) == ("ok", {"user_id": "u"})
    assert first.headers["authorization"] == "Bearer sk-fake"
    assert first.connection == second.connection == 1
    assert answer._request_id == f"req_fake_{first.number:06d}"


# Tools


async def test_a_tool_is_asked_for_and_its_result_cited(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="tool", messages=USER, tools=TOOLS) as stream:
        asked = (await stream.get_final_completion()).choices[0]
    assert asked.finish_reason == "tool_calls"
    (call,) = asked.message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("calculator", '{"expression": "6*7"}')
    told = [
        *USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments"}})],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "42"},
    ]
    answer = await ask(client, "tool", told, tools=TOOLS)
    assert answer.choices[0].message.content == "The tools said: 42"
    again = await ask(client, "tool-forever", told, tools=TOOLS)
    assert again.choices[0].message.tool_calls[0].id != call.id


async def test_calls_in_one_round_are_named_by_the_model_or_the_request(client: AsyncOpenAI) -> None:
    async def names(model: str, **options: Any) -> list[str]:
        calls = (await ask(client, model, tools=TOOLS, **options)).choices[0].message.tool_calls or []
        return [call.function.name for call in calls]

    assert await names("tools") == ["calculator", "clock"]
    assert await names("tools?name=clock&name=clock") == ["clock", "clock"]
    assert await names("mixed") == ["calculator", "clock", "client_tool"]
    assert await names("mixed", parallel_tool_calls=False) == ["calculator"]
    assert await names("mixed", tool_choice="none") == []


@pytest.mark.parametrize("model", ['tool?args={"expression":"2+2"}&quirk=whole', "tool?quirk=repeat-id"])
async def test_tool_quirks_of_lookalikes_still_parse_as_chunks(client: AsyncOpenAI, model: str) -> None:
    chunks = await chunks_of(client, model, tools=TOOLS)
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    arguments = "".join(call.function.arguments or "" for call in calls if call.function)
    assert json.loads(arguments)["expression"] in ("2+2", "6*7")


async def test_bad_arguments_are_no_json(client: AsyncOpenAI) -> None:
    (call,) = (await ask(client, "tool-bad-args", tools=TOOLS)).choices[0].message.tool_calls
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(call.function.arguments)


@pytest.mark.parametrize("model", sorted(SPOILT))
async def test_a_strict_client_refuses_spoilt_shapes(client: AsyncOpenAI, model: str) -> None:
    with pytest.raises(openai.APIResponseValidationError):
        await ask(client, model)


# As a process


async def test_it_runs_as_a_process_and_ends_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fixtures.fake_openai", "--api-key", "k", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        url = (await process.stdout.readline()).decode().strip()
        async with AsyncOpenAI(base_url=url, api_key="k", timeout=60) as client:
            assert (await ask(client, "ok")).choices[0].message.content == words(8)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
