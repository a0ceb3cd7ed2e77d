"""The chat completions route, through the whole application, with a scripted chat path behind it."""

import asyncio
from typing import Any

import msgspec
import pytest
from litestar.datastructures import Headers

from cozy_domain.access.caller import Caller
from cozy_domain.chat.events import ChatEvent, ToolRan, TurnEnded
from cozy_domain.errors import (
    InputError,
    ProviderOverloadedError,
    ProviderUnavailableError,
    StorageUnavailableError,
)
from cozy_domain.messages import FinishReason, UserMessage
from cozy_domain.models.deltas import RefusalDelta, TextDelta, TokenLogprob, ToolCallDelta
from cozy_domain.sessions.turn import TurnOutcome
from cozy_server.openai.chat import idempotency_of
from tests.unit.server.scripted_chat import SESSION, TURN, Client, ScriptedChat, app_with, ended, started

PATH = "/v1/chat/completions"
HELLO = {"model": "anna", "messages": [{"role": "user", "content": "Hello"}]}


def body_of(**fields: Any) -> bytes:
    return msgspec.json.encode({**HELLO, **fields})


async def ask(chat: ScriptedChat, headers: dict[str, str] | None = None, **fields: Any) -> Client:
    client = Client(app_with(chat))
    await client.post(PATH, body_of(**fields), headers)
    return client


def chunks_of(client: Client) -> list[Any]:
    """The chunks of a stream that ended as it should."""
    frames = client.body.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [msgspec.json.decode(frame.removeprefix("data: ")) for frame in frames[:-2]]


def deltas_of(client: Client) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks_of(client) if chunk["choices"]]


async def test_a_plain_answer_is_200_json_with_what_we_add() -> None:
    client = await ask(ScriptedChat(started(SESSION), TextDelta("Hi "), TextDelta("you."), ended()))
    assert client.status == 200
    assert client.headers["content-type"] == "application/json"
    assert client.headers["content-length"] == str(len(client.body))
    assert client.headers["x-request-id"].startswith("req_")
    assert msgspec.json.decode(client.body) == {
        "id": f"chatcmpl-{TURN.hex}",
        "object": "chat.completion",
        "created": 1795348800,
        "model": "anna",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi you.", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 1,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "cozy": {
            "session_id": str(SESSION),
            "turn_id": str(TURN),
            "persona": "anna",
            "revision": 3,
            "model": "offline/echo",
            "degraded": [{"engine": "memory", "reason": "timeout", "after_ms": 400}],
            "timings": {"context_ms": 1.5, "first_token_ms": 20.0, "total_ms": 30.0},
        },
    }


async def test_a_stream_has_the_headers_that_keep_proxies_from_holding_it_back() -> None:
    client = await ask(ScriptedChat(started(), TextDelta("Hi"), ended()), stream=True)
    assert client.status == 200
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-accel-buffering"] == "no"


async def test_deltas_that_came_together_go_out_together_and_each_is_a_chunk() -> None:
    together = (TextDelta("Hi"), TextDelta(" you"))
    client = await ask(ScriptedChat(started(), together, TextDelta("!"), ended()), stream=True)
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks_of(client)] == [
        "",
        "Hi",
        " you",
        "!",
        None,
    ]
    assert [piece.count(b"data: ") for piece in client.pieces] == [1, 2, 1, 2]


async def test_a_stream_is_role_text_finish_done() -> None:
    client = await ask(ScriptedChat(started(SESSION), TextDelta("Hi"), TextDelta("!"), ended()), stream=True)
    role, first, second, finish = chunks_of(client)
    head = {
        "id": f"chatcmpl-{TURN.hex}",
        "object": "chat.completion.chunk",
        "created": 1795348800,
        "model": "anna",
    }
    opening = {"role": "assistant", "content": "", "refusal": None}
    assert role == {
        **head,
        "choices": [{"index": 0, "delta": opening, "logprobs": None, "finish_reason": None}],
        "cozy": {"session_id": str(SESSION), "turn_id": str(TURN)},
    }
    assert first == {
        **head,
        "choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": None, "finish_reason": None}],
    }
    assert second["choices"][0]["delta"] == {"content": "!"}
    assert finish == {
        **head,
        "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
        "cozy": {
            "persona": "anna",
            "revision": 3,
            "model": "offline/echo",
            "degraded": [{"engine": "memory", "reason": "timeout", "after_ms": 400}],
            "timings": {"context_ms": 1.5, "first_token_ms": 20.0, "total_ms": 30.0},
        },
    }


async def test_the_last_bytes_of_a_stream_end_the_body_at_once() -> None:
    client = await ask(ScriptedChat(started(), TextDelta("Hi"), ended()), stream=True)
    assert client.pieces[-1].endswith(b"data: [DONE]\n\n")
    assert [message["more_body"] for message in client.messages[1:]] == [True, True, False]


async def test_usage_comes_last_without_choices_and_only_when_asked_for() -> None:
    script = (started(), TextDelta("Hi"), ended())
    asked = chunks_of(await ask(ScriptedChat(*script), stream=True, stream_options={"include_usage": True}))
    plain = chunks_of(await ask(ScriptedChat(*script), stream=True))
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["total_tokens"] == 12
    assert [chunk["usage"] for chunk in asked[:-1]] == [None, None, None]
    assert not any("usage" in chunk for chunk in plain)


async def test_the_providers_tier_and_fingerprint_are_passed_on_where_the_answer_ends() -> None:
    outcome = TurnOutcome(finish=("stop",), service_tier="flex", fingerprint="fp_1")
    script = (started(), TextDelta("hi"), TurnEnded("completed", outcome))
    plain = msgspec.json.decode((await ask(ScriptedChat(*script))).body)
    assert (plain["service_tier"], plain["system_fingerprint"]) == ("flex", "fp_1")
    chunks = chunks_of(await ask(ScriptedChat(*script), stream=True))
    assert [chunk.get("service_tier") for chunk in chunks] == [None, None, "flex"]
    assert chunks[-1]["system_fingerprint"] == "fp_1"


async def test_every_choice_has_its_role_and_its_finish() -> None:
    client = await ask(
        ScriptedChat(started(), TextDelta("b", choice=1), TextDelta("a"), ended("stop", "length")),
        stream=True,
        n=2,
    )
    choices = [chunk["choices"][0] for chunk in chunks_of(client)]
    assert ["cozy" in chunk for chunk in chunks_of(client)] == [True, False, False, False, True, True]
    assert [(choice["index"], choice["delta"].get("role")) for choice in choices[:2]] == [
        (0, "assistant"),
        (1, "assistant"),
    ]
    assert [(choice["index"], choice["delta"]) for choice in choices[2:4]] == [
        (1, {"content": "b"}),
        (0, {"content": "a"}),
    ]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices[4:]] == [
        (0, "stop"),
        (1, "length"),
    ]


CALLS: tuple[ChatEvent, ...] = (
    ToolCallDelta(0, id="call_a", name="look", arguments='{"a"'),
    ToolCallDelta(0, arguments=":1}", id="call_a", name="look"),
    ToolCallDelta(4, id="call_b", name="find"),
    ToolCallDelta(4, arguments="{}"),
)


async def test_tool_calls_stream_as_clients_join_them() -> None:
    client = await ask(ScriptedChat(started(), *CALLS, ended("stop")), stream=True)
    pieces = [delta["tool_calls"][0] for delta in deltas_of(client) if "tool_calls" in delta]
    assert pieces == [
        {"index": 0, "id": "call_a", "type": "function", "function": {"name": "look", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 1, "id": "call_b", "type": "function", "function": {"name": "find", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert chunks_of(client)[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_tool_calls_of_a_plain_answer_have_null_content_and_their_finish_reason() -> None:
    client = await ask(ScriptedChat(started(), *CALLS, ended("stop")))
    choice = msgspec.json.decode(client.body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}},
            {"id": "call_b", "type": "function", "function": {"name": "find", "arguments": "{}"}},
        ],
    }


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_call_that_was_cut_off_says_why(reason: FinishReason) -> None:
    cut = (started(), ToolCallDelta(0, id="c", name="look", arguments='{"a'), ended(reason))
    plain = msgspec.json.decode((await ask(ScriptedChat(*cut))).body)
    stream = chunks_of(await ask(ScriptedChat(*cut), stream=True))
    assert plain["choices"][0]["finish_reason"] == reason
    assert stream[-1]["choices"][0]["finish_reason"] == reason


async def test_who_asks_with_functions_is_answered_with_a_function_call() -> None:
    script = (started(), ToolCallDelta(0, id="c", name="look", arguments="{}"), ended("tool_calls"))
    functions = [{"name": "look"}]
    plain = msgspec.json.decode((await ask(ScriptedChat(*script), functions=functions)).body)["choices"][0]
    stream = await ask(ScriptedChat(*script), functions=functions, stream=True)
    assert plain["message"]["function_call"] == {"name": "look", "arguments": "{}"}
    assert plain["finish_reason"] == "function_call"
    assert [delta["function_call"] for delta in deltas_of(stream) if "function_call" in delta] == [
        {"name": "look", "arguments": ""},
        {"arguments": "{}"},
    ]
    assert chunks_of(stream)[-1]["choices"][0]["finish_reason"] == "function_call"


async def test_refusals_logprobs_and_silent_events_stream_too() -> None:
    top = TokenLogprob("Ho", -2.0, (72, 111))
    logprob = TokenLogprob("Hi", -0.5, (72, 105), (top,))
    client = await ask(
        ScriptedChat(
            started(),
            ToolRan("clock", "ok", 3),
            TextDelta("Hi", logprobs=(logprob,)),
            RefusalDelta("No."),
            ended(),
        ),
        stream=True,
        logprobs=True,
        top_logprobs=1,
    )
    _, text, refusal, end = chunks_of(client)
    assert end["cozy"]["tools"] == [{"name": "clock", "arguments": "", "outcome": "ok", "duration_ms": 3}]
    assert text["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "Hi",
                "logprob": -0.5,
                "bytes": [72, 105],
                "top_logprobs": [{"token": "Ho", "logprob": -2.0, "bytes": [72, 111]}],
            }
        ],
        "refusal": None,
    }
    assert refusal["choices"][0]["delta"] == {"refusal": "No."}


@pytest.mark.parametrize(
    "text", ["“你好”\n\n", 'a"b\\c', "\u2028 \u2029 \x85 \x0b \x1c", "", "data: [DONE]", "é" * 3, "\x00😀"]
)
async def test_any_text_survives_the_stream_and_stays_on_one_line(text: str) -> None:
    client = await ask(ScriptedChat(started(), TextDelta(text), ended()), stream=True)
    assert deltas_of(client)[1] == {"content": text}
    assert all(line == "" or line.startswith("data: ") for line in client.body.decode().splitlines())


async def test_a_failure_before_the_first_event_keeps_its_own_status() -> None:
    busy = ProviderOverloadedError("Busy.", provider="p", retry_after_s=7)
    for stream in (False, True):
        client = await ask(ScriptedChat(busy), stream=stream)
        assert client.status == 429
        assert client.headers["retry-after"] == "7"
        assert client.headers["content-type"] == "application/json"
        error = msgspec.json.decode(client.body)["error"]
        assert (error["code"], error["request_id"]) == ("rate_limit_exceeded", client.headers["x-request-id"])


async def test_a_failure_in_mid_stream_is_an_error_frame_and_the_end_without_done() -> None:
    down = ProviderUnavailableError("Gone.", provider="p", billed=True)
    client = await ask(ScriptedChat(started(), TextDelta("Half"), down), stream=True)
    assert client.status == 200
    assert b"[DONE]" not in client.body
    assert b'"finish_reason":"stop"' not in client.body
    frame = msgspec.json.decode(client.body.split(b"\n\n")[-2].removeprefix(b"data: "))
    assert frame["error"]["code"] == "provider_unavailable"
    assert client.messages[-1]["more_body"] is False


async def test_a_store_that_fails_at_the_end_is_never_a_done() -> None:
    client = await ask(ScriptedChat(started(), TextDelta("All"), StorageUnavailableError("x")), stream=True)
    assert b"[DONE]" not in client.body
    assert b"storage_unavailable" in client.body


async def test_a_failure_in_the_middle_of_a_plain_answer_is_a_plain_error() -> None:
    client = await ask(ScriptedChat(started(), TextDelta("Half"), StorageUnavailableError("x")))
    assert client.status == 503
    assert b"Half" not in client.body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_crash_says_nothing_of_itself(stream: bool) -> None:
    client = await ask(ScriptedChat(ZeroDivisionError("secret")), stream=stream)
    assert client.status == 500
    assert b"secret" not in client.body
    assert msgspec.json.decode(client.body)["error"]["code"] == "server_error"


@pytest.mark.parametrize("stream", [False, True])
async def test_events_that_stop_early_are_no_answer(stream: bool) -> None:
    client = await ask(ScriptedChat(started(), TextDelta("Hi")), stream=stream)
    assert b"[DONE]" not in client.body
    assert b"local_protocol_error" in client.body


@pytest.mark.parametrize("stream", [False, True])
async def test_events_without_a_start_are_no_answer(stream: bool) -> None:
    assert (await ask(ScriptedChat(TextDelta("Hi"), ended()), stream=stream)).status == 500
    assert (await ask(ScriptedChat(), stream=stream)).status == 500


@pytest.mark.parametrize(
    ("stream", "before"),
    [(False, ()), (True, ()), (False, (started(), TextDelta("Hi"))), (True, (started(), TextDelta("Hi")))],
)
async def test_a_client_that_leaves_ends_the_turn(stream: bool, before: tuple[ChatEvent, ...]) -> None:
    chat = ScriptedChat(*before, asyncio.Event())
    client = Client(app_with(chat))
    call = asyncio.create_task(client.post(PATH, body_of(stream=stream)))
    if before and stream:
        await client.heard(b"Hi")
    else:
        await chat.entered.wait()
    client.leave()
    async with asyncio.timeout(60):
        await call
    assert chat.left.is_set()
    assert b"[DONE]" not in client.body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_behind_the_last_byte_is_only_logged(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = await ask(ScriptedChat(started(), ended(), at_exit=ZeroDivisionError()), stream=stream)
    assert (client.status, client.messages[-1]["more_body"]) == (200, False)
    assert [message["type"] for message in client.messages].count("http.response.start") == 1
    assert b"error" not in client.body
    assert "request_crashed" in caplog.messages


async def test_an_answer_leaves_its_turn() -> None:
    for stream in (False, True):
        chat = ScriptedChat(started(), TextDelta("Hi"), ended())
        await ask(chat, stream=stream)
        assert chat.left.is_set()


@pytest.mark.virtual_time
async def test_silence_in_a_stream_is_bridged_by_comments() -> None:
    script = (started(), TextDelta("a"), 31.0, TextDelta("b"), 14.0, ended())
    client = await ask(ScriptedChat(*script), stream=True)
    assert client.body.count(b": keep-alive\n\n") == 2
    assert b": keep-alive" not in client.pieces[0] + client.pieces[1]
    assert [piece for piece in client.pieces if piece.startswith(b":")] == [b": keep-alive\n\n"] * 2


@pytest.mark.virtual_time
async def test_silence_before_the_first_byte_stays_silent() -> None:
    for stream in (True, False):
        client = await ask(ScriptedChat(100.0, started(), TextDelta("a"), ended()), stream=stream)
        assert b"keep-alive" not in client.body
        client = await ask(ScriptedChat(100.0, InputError("no")), stream=stream)
        assert client.status == 400


@pytest.mark.virtual_time
async def test_a_busy_stream_needs_no_comments() -> None:
    steps = [step for _ in range(20) for step in (TextDelta("a"), 10.0)]
    client = await ask(ScriptedChat(started(), *steps, ended()), stream=True)
    assert b"keep-alive" not in client.body


@pytest.mark.virtual_time
async def test_a_client_that_reads_slowly_is_not_fed_comments() -> None:
    client = Client(app_with(ScriptedChat(started(), TextDelta("slow"), TextDelta("next"), ended())))
    client.slow_at, client.slow_s = b"slow", 100.0
    await client.post(PATH, body_of(stream=True))
    assert b"keep-alive" not in client.body
    assert b"[DONE]" in client.body


@pytest.mark.virtual_time
async def test_the_silence_that_is_bridged_is_a_setting() -> None:
    client = Client(app_with(ScriptedChat(started(), 10.5, ended()), heartbeat_s=1.0))
    await client.post(PATH, body_of(stream=True))
    assert client.body.count(b": keep-alive\n\n") == 10


async def test_the_turn_is_asked_for_as_the_request_says() -> None:
    chat = ScriptedChat(started(), ended())
    app = app_with(chat, caller=Caller("acme"))
    await Client(app).post(
        PATH, body_of(cozy={"user_id": "u1"}), {"accept-language": "zh-CN", "idempotency-key": "k-1"}
    )
    request = chat.requests[0]
    assert request.messages == (UserMessage("Hello"),)
    assert (request.model, request.owner.account, request.owner.subject) == ("anna", "acme", "u1")
    assert request.request.startswith("req_")
    assert request.locale == "zh"
    assert request.idempotency is not None
    assert (request.idempotency.route, request.idempotency.key) == (f"POST {PATH}", "k-1")
    assert len(request.idempotency.digest) == 64


@pytest.mark.parametrize("key", ["", "a" * 256, "a b", "schlüssel", "\x07"])
async def test_an_idempotency_key_of_another_form_is_refused(key: str) -> None:
    client = await ask(ScriptedChat(started(), ended()), {"idempotency-key": key})
    error = msgspec.json.decode(client.body)["error"]
    assert (client.status, error["param"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("second", [b"k-1", b"k-2"])
def test_a_second_idempotency_key_is_refused_by_name(second: bytes) -> None:
    headers = Headers([(b"idempotency-key", b"k-1"), (b"idempotency-key", second)])
    with pytest.raises(InputError, match="more than once") as refused:
        idempotency_of(headers, b"{}")
    assert refused.value.param == "Idempotency-Key"


async def test_metadata_comes_back_and_unknown_fields_are_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strange: dict[str, Any] = {"x\ny": 2}
    with caplog.at_level("INFO"):
        client = await ask(
            ScriptedChat(started(), ended()), metadata={"a": "b"}, store=True, vendor_key=1, **strange
        )
    assert msgspec.json.decode(client.body)["metadata"] == {"a": "b"}
    record = next(record for record in caplog.records if record.message == "unknown_fields_ignored")
    assert record.__dict__["fields"] == ("vendor_key", "(not shown)")
