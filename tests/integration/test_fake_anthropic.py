"""The fake provider is a good Anthropic to the official package: plain, streamed, with tools, strictly validated."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.fake_anthropic.routes import NAMES
from tests.fixtures.fake_openai.oddities import SPLIT_TEXT
from tests.fixtures.fake_openai.reply import words
from tests.fixtures.fake_openai.speech import SPEECH

pytest_plugins = ["tests.fixtures.fake_anthropic.plugin"]

USER: Any = [{"role": "user", "content": "你好 hello"}]
TOOLS: Any = [
    {"name": name, "input_schema": {"type": "object", "required": [field]}}
    for name, field in (("calculator", "expression"), ("clock", "timezone"), ("client_tool", "query"))
]


def client_of(fake: FakeAnthropic, **options: Any) -> AsyncAnthropic:
    settings = {"max_retries": 0, "timeout": 5.0, "_strict_response_validation": True} | options
    return AsyncAnthropic(base_url=fake.base_url, api_key="sk-fake", **settings)


async def ask(client: AsyncAnthropic, model: str, messages: Any = USER, **options: Any) -> Any:
    return await client.messages.create(model=model, messages=messages, **({"max_tokens": 1000} | options))


async def heard(client: AsyncAnthropic, model: str, messages: Any = USER, **options: Any) -> Any:
    """The message that the client puts together from a stream."""
    async with client.messages.stream(model=model, messages=messages, max_tokens=1000, **options) as stream:
        return await stream.get_final_message()


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.fixture
async def client(fake_anthropic: FakeAnthropic) -> AsyncIterator[AsyncAnthropic]:
    async with client_of(fake_anthropic) as client:
        yield client


@pytest.mark.parametrize("model", sorted(SPEECH.keys() & set(NAMES) - {"tool-bad-args", "dump"}))
async def test_what_is_said_is_the_same_plain_and_streamed(client: AsyncAnthropic, model: str) -> None:
    plain = await ask(client, model, tools=TOOLS)
    streamed = await heard(client, model, tools=TOOLS)
    assert [block.type for block in streamed.content] == [block.type for block in plain.content]
    assert text_of(streamed) == text_of(plain)
    assert streamed.stop_reason == plain.stop_reason
    assert streamed.usage.output_tokens == plain.usage.output_tokens
    for ours, theirs in zip(streamed.content, plain.content, strict=True):
        if ours.type == "tool_use":
            assert ours.input == theirs.input


@pytest.mark.parametrize("model", ["utf8-split", "comment", "crlf", "no-content-type", "linger?ms=1"])
async def test_odd_answers_are_whole_to_a_good_client(client: AsyncAnthropic, model: str) -> None:
    assert text_of(await heard(client, model)) == (SPLIT_TEXT if model == "utf8-split" else words(8))


async def test_a_tool_is_asked_for_and_its_result_cited(client: AsyncAnthropic) -> None:
    asked = await heard(client, "tool", tools=TOOLS)
    (call,) = asked.content
    assert (asked.stop_reason, call.name, call.input) == ("tool_use", "calculator", {"expression": "6*7"})
    told = [
        *USER,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "42"}]},
    ]
    assert text_of(await ask(client, "tool", told, tools=TOOLS)) == "The tools said: 42"
    one = {"type": "auto", "disable_parallel_tool_use": True}
    assert len((await ask(client, "tools", tools=TOOLS, tool_choice=one)).content) == 1


async def test_the_system_prompt_is_heard(client: AsyncAnthropic) -> None:
    assert text_of(await ask(client, "echo-system", system="be kind")) == "be kind"
    assert text_of(await ask(client, "echo")) == "你好 hello"


async def test_a_prompt_seen_before_is_read_from_the_cache(client: AsyncAnthropic) -> None:
    system = [{"type": "text", "text": "be very kind", "cache_control": {"type": "ephemeral"}}]
    first = (await ask(client, "ok", system=system)).usage
    again = (await ask(client, "ok", system=system)).usage
    other = (await ask(client, "ok", system=[system[0] | {"text": "be rude"}])).usage
    assert first.cache_creation_input_tokens > 0
    assert (again.cache_read_input_tokens, again.cache_creation_input_tokens) == (
        first.cache_creation_input_tokens,
        0,
    )
    assert other.cache_read_input_tokens == 0


async def test_models_are_listed_found_and_missed(client: AsyncAnthropic) -> None:
    names = [model.id async for model in client.models.list(limit=1000)]
    assert {"ok", "stall", "tool"} <= set(names)
    assert (await client.models.retrieve("ok")).max_tokens == 64_000
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("vendor/unknown")


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_status_is_the_sdks_error(
    client: AsyncAnthropic, status: int, expected: type[anthropic.APIStatusError], kind: str, stream: bool
) -> None:
    with pytest.raises(expected) as caught:
        await ask(client, f"status?code={status}&retry_after=7", stream=stream)
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("messages", "options", "message"),
    [
        ([{"role": "assistant", "content": "hi"}], {}, "roles must alternate"),
        ([*USER, *USER], {}, "roles must alternate"),
        ([{"role": "user", "content": " "}], {}, "non-whitespace"),
        (USER, {"extra_body": {"frequency_penalty": 1}}, "Extra inputs"),
        (USER, {"tool_choice": {"type": "any"}}, "providing tools"),
        ([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}], {}, "tool_result"),
        (USER, {"tools": [{"name": "a", "input_schema": {}}]}, "input_schema.type"),
    ],
)
async def test_a_bad_request_is_refused_as_anthropic_does(
    client: AsyncAnthropic, messages: Any, options: Any, message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        await ask(client, "ok", messages, **options)


async def test_claude_takes_no_temperature(client: AsyncAnthropic) -> None:
    assert (await ask(client, "ok", extra_body={"temperature": 0.5})).content
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        await ask(client, "ok?key=claude", extra_body={"temperature": 0.5})


@pytest.mark.parametrize("model", ["reset", "drop?after=2", "fin?after=2"])
async def test_a_cut_connection_is_an_error(client: AsyncAnthropic, model: str) -> None:
    with pytest.raises((anthropic.APIConnectionError, httpx2.HTTPError)):
        await heard(client, model)


async def test_an_error_event_ends_the_stream_with_its_type(client: AsyncAnthropic) -> None:
    for kind in ("overloaded_error", "api_error"):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await heard(client, f"error-event?after=2&event=1&kind={kind}")
        assert caught.value.type == kind


async def test_an_event_that_is_no_json_fails_to_decode(client: AsyncAnthropic) -> None:
    with pytest.raises(json.JSONDecodeError):
        async for _ in await ask(client, "bad-json?after=2", stream=True):
            pass


async def test_a_client_that_leaves_is_noticed(fake_anthropic: FakeAnthropic, client: AsyncAnthropic) -> None:
    stream = await ask(client, "stall?after=1", stream=True)
    await fake_anthropic.until(lambda: bool(fake_anthropic.open_streams))
    await stream.close()
    await fake_anthropic.until(lambda: not fake_anthropic.open_streams)
    assert len(fake_anthropic.closed_early) == 1


async def test_only_the_right_key_is_let_in() -> None:
    async with FakeAnthropic(api_key="sk-right") as fake, client_of(fake) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await ask(client, "ok")
        assert (await ask(client.with_options(api_key="sk-right"), "ok")).content


async def test_it_runs_as_a_process_and_ends_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fixtures.fake_anthropic", "--api-key", "k"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        url = (await process.stdout.readline()).decode().strip()
        async with AsyncAnthropic(base_url=url, api_key="k", timeout=60) as client:
            assert text_of(await ask(client, "ok")) == words(8)
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize("thought", ["Let me see.", "redacted"])
async def test_thoughts_come_back_unmodified_with_the_results_of_tools(
    client: AsyncAnthropic, thought: str
) -> None:
    model = f"tool?thought={thought.replace(' ', '%20')}"
    streamed = await heard(client, model, tools=TOOLS)
    plain = await ask(client, model, tools=TOOLS)
    kinds = ["redacted_thinking" if thought == "redacted" else "thinking", "tool_use"]
    assert [block.type for block in streamed.content] == [block.type for block in plain.content] == kinds
    assert streamed.content[0] == plain.content[0]
    said = [block.model_dump(exclude_none=True) for block in plain.content]
    results = {"type": "tool_result", "tool_use_id": plain.content[1].id, "content": "42"}

    async def go_on(blocks: Any) -> Any:
        turns = [*USER, {"role": "assistant", "content": blocks}, {"role": "user", "content": [results]}]
        return await ask(client, model, turns, tools=TOOLS)

    assert text_of(await go_on(said)) == "The tools said: 42"
    forged = {**said[0], "data" if thought == "redacted" else "signature": "Zm9yZ2Vk"}
    for blocks, complaint in (
        (said[1:], "must start with a thinking block"),
        ([forged, said[1]], "signature"),
    ):
        with pytest.raises(anthropic.BadRequestError, match=complaint):
            await go_on(blocks)
