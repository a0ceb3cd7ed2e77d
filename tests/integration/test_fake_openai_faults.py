"""The fake provider fails exactly as its model name says, and openai-python raises what the contract says."""

import asyncio
import json
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.fake_openai.reply import words
from tests.fixtures.fake_openai.sdk import (
    TOOLS,
    USER,
    ask,
    chunks_of,
    client_of,
    raw,
    text_of,
    until_broken,
    whole,
)
from tests.fixtures.promptness import SOON_S, soonest

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]


@pytest.fixture
async def client(fake_openai: FakeOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(fake_openai) as client:
        yield client


# Refused


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (502, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_status_is_the_sdks_error(
    client: AsyncOpenAI, status: int, expected: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(expected) as caught:
        await ask(client, f"status?code={status}", stream=stream)
    assert caught.value.status_code == status
    assert caught.value.message == f"Error code: {status} - the fake provider answers {status}"


async def test_retry_after_takes_every_form(client: AsyncOpenAI) -> None:
    async def headers(query: str) -> Any:
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(client, f"status?code=429&{query}")
        return caught.value.response.headers

    for seconds in ("0", "1", "121", "0.5"):
        assert (await headers(f"retry_after={seconds}"))["retry-after"] == seconds
    assert parsedate_to_datetime((await headers("retry_after=date"))["retry-after"]).tzinfo is not None
    assert "retry-after" not in await headers("retry_after=none")
    assert (await headers("retry_after_ms=5&should_retry=true"))["x-should-retry"] == "true"


async def test_only_the_first_n_requests_of_a_key_fail(fake_openai: FakeOpenAI) -> None:
    model = "status?code=503&retry_after_ms=1&times=2"
    async with client_of(fake_openai, max_retries=2) as client:
        assert (await ask(client, model)).choices[0].message.content == words(8)
        assert len(fake_openai.chats(model)) == 3
        fake_openai.forget()
        with pytest.raises(openai.InternalServerError):
            await ask(client.with_options(max_retries=1), model)


async def test_every_third_request_fails(client: AsyncOpenAI) -> None:
    outcomes = []
    for _ in range(6):
        try:
            await ask(client, "status?code=429&every=3")
            outcomes.append("ok")
        except openai.RateLimitError:
            outcomes.append("429")
    assert outcomes == ["ok", "ok", "429"] * 2


async def test_a_delay_over_two_minutes_is_not_retried(fake_openai: FakeOpenAI) -> None:
    async with client_of(fake_openai, max_retries=2) as client:
        with pytest.raises(openai.RateLimitError):
            await ask(client, "status?code=429&retry_after=121")
    assert len(fake_openai.chats()) == 1


@pytest.mark.parametrize("body", ["html", "text", "empty", "detail"])
async def test_error_bodies_of_other_servers_have_no_code(client: AsyncOpenAI, body: str) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(client, f"status?code=502&body={body}")
    assert caught.value.code is None


@pytest.mark.parametrize(
    ("messages", "options", "message"),
    [
        ([], {}, "non-empty array"),
        (USER, {"max_tokens": 1, "max_completion_tokens": 1}, "not both"),
        (
            USER,
            {"tool_choice": {"type": "function", "function": {"name": "x"}}, "tools": TOOLS},
            "names a tool",
        ),
        (
            [{"role": "tool", "tool_call_id": "a", "content": ""}],
            {},
            "must be a response to a preceding message",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]}, *USER],
            {},
            "must be followed by tool messages responding to each 'tool_call_id'",
        ),
    ],
)
async def test_a_bad_request_is_refused_as_openai_does(
    client: AsyncOpenAI, messages: Any, options: Any, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        await ask(client, "ok", messages, **options)


async def test_a_typing_error_in_a_model_name_does_not_pass(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await ask(client, "stal?after=1")
    with pytest.raises(openai.BadRequestError, match="aftr"):
        await ask(client, "stall?aftr=1")


async def test_only_the_right_key_is_let_in() -> None:
    async with FakeOpenAI(api_key="sk-right") as fake, client_of(fake) as client:
        with pytest.raises(openai.AuthenticationError):
            await ask(client, "ok")
        assert (await ask(client.with_options(api_key="sk-right"), "ok")).choices


# Broken on the wire


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["reset", "drop?after=0", "fin?after=0"])
async def test_a_cut_connection_is_a_connection_error(client: AsyncOpenAI, model: str, stream: bool) -> None:
    with pytest.raises(openai.APIConnectionError):
        await whole(client, model, stream=stream)


@pytest.mark.parametrize("model", ["drop?after=3", "fin?after=3"])
async def test_what_came_before_the_cut_is_read(
    fake_openai: FakeOpenAI, client: AsyncOpenAI, model: str
) -> None:
    text, error = await until_broken(client, model)
    assert text == words(3)
    assert isinstance(error, openai.APIConnectionError)
    assert fake_openai.closed_early == []


@pytest.mark.parametrize("query", ["", "&event=1", "&shape=text"])
async def test_an_error_event_ends_the_stream_with_an_api_error(client: AsyncOpenAI, query: str) -> None:
    text, error = await until_broken(client, f"error-event?after=2{query}")
    assert text == words(2)
    assert type(error) is openai.APIError


async def test_an_event_that_is_no_json_fails_to_decode(client: AsyncOpenAI) -> None:
    text, error = await until_broken(client, "bad-json?after=2")
    assert text == words(2)
    assert isinstance(error, json.JSONDecodeError)


@pytest.mark.parametrize("model", ["cut", "half-event"])
async def test_a_polite_end_in_the_middle_looks_whole_but_has_no_finish_reason(
    client: AsyncOpenAI, model: str
) -> None:
    chunks = await chunks_of(client, model)
    assert text_of(chunks) == words(3)
    assert {choice.finish_reason for chunk in chunks for choice in chunk.choices} == {None}


async def test_a_missing_done_is_whole_with_a_finish_reason(client: AsyncOpenAI) -> None:
    assert (await chunks_of(client, "no-done"))[-1].choices[0].finish_reason == "stop"


async def test_json_instead_of_a_stream_has_no_chunks(client: AsyncOpenAI) -> None:
    assert await chunks_of(client, "json-for-stream") == []


@pytest.mark.parametrize("model", ["hang", "hang?head=early", "stall?after=0", "slow-first?ms=60000"])
@pytest.mark.parametrize("stream", [False, True])
async def test_silence_runs_into_the_clients_timeout(
    fake_openai: FakeOpenAI, model: str, stream: bool
) -> None:
    async with client_of(fake_openai, timeout=0.1) as client:
        with pytest.raises(openai.APITimeoutError):
            await whole(client, model, stream=stream)
    await fake_openai.until(lambda: len(fake_openai.closed_early) == 1)


async def test_a_short_wait_is_only_late(client: AsyncOpenAI) -> None:
    for model in ("slow-first?ms=5", "slow-first?ms=5&head=early", "ok?gap_ms=1", "linger?ms=1"):
        assert text_of(await chunks_of(client, model)) == words(8)


@pytest.mark.parametrize("model", ["stall?after=3", "endless"])
async def test_a_client_that_leaves_is_noted_with_the_time(
    fake_openai: FakeOpenAI, client: AsyncOpenAI, model: str
) -> None:
    async def leave() -> float:
        before = len(fake_openai.closed_early)
        stream = await ask(client, model, stream=True)
        for _ in range(4):
            await anext(stream)
        (exchange,) = fake_openai.open_streams
        assert exchange.sent >= 4
        left_at_s = asyncio.get_running_loop().time()
        await stream.close()
        await fake_openai.until(lambda: len(fake_openai.closed_early) > before)
        early = fake_openai.closed_early[-1]
        assert early.exchange is exchange
        return early.at_s - left_at_s

    assert 0 <= await soonest(leave) < SOON_S
    assert fake_openai.open_streams == []


async def test_a_huge_answer_waits_for_a_reader_who_does_not_read(
    fake_openai: FakeOpenAI, client: AsyncOpenAI
) -> None:
    """What the server holds for a slow reader is one write; the rest is in the kernel."""
    stream = await ask(client, "huge?kb=16384", stream=True)
    (exchange,) = fake_openai.open_streams
    assert exchange.sent <= 2
    await stream.close()
    await fake_openai.until(lambda: fake_openai.open_streams == [])
    assert len(fake_openai.closed_early) == 1


async def test_a_refused_connect_heals_on_the_same_port(fake_openai: FakeOpenAI, client: AsyncOpenAI) -> None:
    assert (await ask(client, "ok")).choices
    await fake_openai.refuse()
    assert fake_openai.open_connections == 0
    with pytest.raises(openai.APIConnectionError):
        await ask(client, "ok")
    await fake_openai.accept()
    assert (await ask(client, "ok")).choices
    assert fake_openai.closed_early == []


async def test_leaving_the_context_ends_answers_on_their_way() -> None:
    async with FakeOpenAI() as fake, client_of(fake) as client:
        stream = await ask(client, "stall?after=1", stream=True)
        await fake.__aexit__(None, None, None)
        with pytest.raises(openai.APIConnectionError):
            async for _ in stream:
                pass


async def test_drop_is_a_reset_and_fin_is_not(fake_openai: FakeOpenAI) -> None:
    assert (await raw(fake_openai, "drop?after=2"))[1] == "rst"
    assert (await raw(fake_openai, "reset")) == (b"", "rst")
    fin, end = await raw(fake_openai, "fin?after=2")
    assert end == "fin"
    assert not fin.endswith(b"0\r\n\r\n")
    assert (await raw(fake_openai, "cut?after=2"))[0].endswith(b"\r\n0\r\n\r\n")


async def test_every_chunk_of_a_split_answer_is_one_byte(fake_openai: FakeOpenAI) -> None:
    head, _, body = (await raw(fake_openai, "utf8-split"))[0].partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    framed = body.removesuffix(b"0\r\n\r\n")
    assert len(framed) % 6 == 0
    assert {framed[i : i + 3] + framed[i + 4 : i + 6] for i in range(0, len(framed), 6)} == {b"1\r\n\r\n"}


async def test_the_body_ends_in_the_write_that_says_done(fake_openai: FakeOpenAI) -> None:
    data, _ = await raw(fake_openai, "ok")
    assert data.endswith(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def test_a_failure_of_the_fake_itself_is_not_swallowed() -> None:
    fake = await FakeOpenAI().__aenter__()
    async with client_of(fake) as client:
        with pytest.raises(openai.APIConnectionError):
            await ask(client, "ok", ["no message"])
    with pytest.raises(ExceptionGroup, match="the fake provider itself failed"):
        await fake.__aexit__(None, None, None)
