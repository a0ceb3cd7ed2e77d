"""A request as the bytes of Anthropic's Messages API, and its events as deltas."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.anthropic.answer import Answer
from cozy_adapters.anthropic.content import INVALID, NOTHING_SAID, call_id
from cozy_adapters.anthropic.failures import broke, refused
from cozy_adapters.anthropic.request import MOST_TOKENS, encode_request
from cozy_adapters.anthropic.wire import WireError
from cozy_domain.errors import (
    OVERLOADED,
    ProviderError,
    ProviderMalformedError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    RefusalPart,
    SystemMessage,
    TextPart,
    Thinking,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ThinkingKept,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.models.request import ModelRequest, ResponseFormat, Sampling, ToolChoice, ToolDefinition
from tests.fixtures.fake_anthropic.rules import check

HELLO = ModelRequest(model="m", messages=(UserMessage("hi"),))
HI = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
SCHEMA = msgspec.Raw(b'{"type":"object"}')
CACHED = {"cache_control": {"type": "ephemeral"}}


def sent(request: ModelRequest) -> Any:
    return json.loads(encode_request(request).body)


def changed(**changes: object) -> ModelRequest:
    return msgspec.structs.replace(HELLO, **changes)


def said(*messages: Message) -> Any:
    return sent(changed(messages=messages))["messages"]


def text(words: str) -> Any:
    return {"type": "text", "text": words}


# Messages.


def test_a_plain_request_says_no_more_than_it_must() -> None:
    assert sent(HELLO) == {"model": "m", "max_tokens": MOST_TOKENS, "messages": [HI], "stream": True}


def test_instructions_stand_apart_wherever_they_were_given() -> None:
    body = sent(
        changed(
            messages=(SystemMessage("persona"), UserMessage("hi"), SystemMessage((TextPart("at the end"),)))
        )
    )
    assert body["system"] == [text("persona") | CACHED, text("at the end")]
    assert body["messages"] == [HI]


def test_every_kind_of_part_has_its_form() -> None:
    pdf, plain = base64.b64encode(b"%PDF-1.7").decode(), base64.b64encode("naïve".encode()).decode()
    (message,) = said(
        UserMessage(
            (
                TextPart("see"),
                ImagePart("https://example.org/a.png", "low"),
                ImagePart("data:image/png;base64,iVBO"),
                FilePart(data=pdf, filename="a.pdf"),
                FilePart(data=f"data:application/pdf;base64,{pdf}"),
                FilePart(data=f"data:text/plain;charset=utf-8;base64,{plain}"),
                FilePart(file_id="file_1"),
                RefusalPart("no"),
                TextPart("  "),
            ),
            name="mei",
        )
    )
    assert message["content"] == [
        text("mei:"),
        text("see"),
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": pdf},
        },
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "naïve"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        text("no"),
    ]


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (AudioPart("UklG", "wav"), "sound"),
        (ImagePart("data:image/png,%89PNG"), "an image as a data: URL"),
        (FilePart(data="data:;base64,AAAA"), "a file as a data: URL"),
        (FilePart(data="AAAA"), "neither PDF nor"),
        (FilePart(data="data:text/plain;base64,/w=="), "not UTF-8"),
        (FilePart(data="data:text/plain;base64,?"), "not UTF-8"),
    ],
)
def test_a_part_that_has_no_form_is_refused_and_the_request_is_to_blame(part: Any, what: str) -> None:
    with pytest.raises(ProviderRefusedError, match=what) as refusal:
        said(UserMessage((part,)))
    assert (refusal.value.about, refusal.value.code) == ("request", "unsupported_value")


def test_messages_of_one_side_become_one_turn() -> None:
    of_one = (UserMessage("a"), UserMessage("b"), AssistantMessage("c"), AssistantMessage("d"))
    assert said(*of_one, UserMessage("e")) == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d") | CACHED]},
        {"role": "user", "content": [text("e")]},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        (AssistantMessage("Welcome!"), UserMessage("hi")),
        (UserMessage("hi"), AssistantMessage("Blue, for"), UserMessage("why?")),
        (AssistantMessage("Welcome!"),),
    ],
)
def test_the_user_begins_and_ends_even_where_the_assistant_did(messages: tuple[Message, ...]) -> None:
    assert [turn["role"] for turn in said(*messages)] == ["user", "assistant", "user"]
    assert said(*messages[:2])[-1]["role"] == "user"


def test_instructions_alone_are_followed_by_a_user_without_words() -> None:
    assert said(SystemMessage("Greet me.")) == [{"role": "user", "content": [text(NOTHING_SAID)]}]


def test_a_message_without_words_is_no_empty_block() -> None:
    assert said(UserMessage("")) == [{"role": "user", "content": [text(NOTHING_SAID)]}]
    assert said(UserMessage("a"), AssistantMessage(""), UserMessage("b")) == [
        {"role": "user", "content": [text("a"), text("b")]}
    ]


def test_calls_and_results_stand_where_the_api_wants_them() -> None:
    turns = said(
        UserMessage("go"),
        AssistantMessage(
            "Let me see.", (ToolCall("c1", "clock", '{"zone": "UTC"}'), ToolCall("c2", "dice", ""))
        ),
        UserMessage("quick!"),
        ToolMessage("c1", "noon"),
        ToolMessage("c2", (TextPart("six"),)),
        ToolMessage("c3", ""),
    )
    assert turns[1]["content"] == [
        text("Let me see."),
        {"type": "tool_use", "id": "c1", "name": "clock", "input": {"zone": "UTC"}},
        {"type": "tool_use", "id": "c2", "name": "dice", "input": {}} | CACHED,
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": [text("noon")]},
        {"type": "tool_result", "tool_use_id": "c2", "content": [text("six")]},
        {"type": "tool_result", "tool_use_id": "c3"},
        text("quick!"),
    ]


@pytest.mark.parametrize("arguments", ['{"expression": "6*', "[1]", "7", "[" * 100_000])
def test_arguments_that_are_no_object_are_shown_as_what_they_are(arguments: str) -> None:
    request = changed(messages=(UserMessage("go"), AssistantMessage(None, (ToolCall("c", "t", arguments),))))
    assert sent(request)["messages"][1]["content"][0]["input"] == {INVALID: arguments}


@given(st.text(max_size=100))
def test_every_id_of_a_call_becomes_one_that_the_api_takes(id: str) -> None:
    assert call_id(call_id(id)) == call_id(id)
    assert 0 < len(call_id(id)) <= 64
    assert call_id(id).replace("-", "_").isidentifier() or call_id(id)[0].isdigit() or call_id(id)[0] == "-"


def test_an_id_is_the_same_in_call_and_result_and_differs_from_others() -> None:
    turns = said(
        UserMessage("go"), AssistantMessage(None, (ToolCall("a.b|c", "t", "{}"),)), ToolMessage("a.b|c", "x")
    )
    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"] == call_id("a.b|c")
    assert call_id("a.b") != call_id("a|b")


# Tools.


def tools_of(choice: ToolChoice, parallel: bool | None = None) -> tuple[list[str], Any]:
    tools = (ToolDefinition("a"), ToolDefinition("b"), ToolDefinition("c"))
    body = sent(changed(tools=tools, tool_choice=choice, parallel_tool_calls=parallel))
    return [tool["name"] for tool in body["tools"]], body.get("tool_choice")


@pytest.mark.parametrize(
    ("choice", "parallel", "names", "wanted"),
    [
        (ToolChoice(), None, "abc", None),
        (ToolChoice(), True, "abc", None),
        (ToolChoice(), False, "abc", {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, "abc", {"type": "none"}),
        (ToolChoice("none", ("a",)), None, "abc", {"type": "none"}),
        (ToolChoice("required"), False, "abc", {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("required", ("b",)), None, "b", {"type": "tool", "name": "b"}),
        (ToolChoice("required", ("a", "b")), None, "ab", {"type": "any"}),
        (ToolChoice("auto", ("c",)), None, "c", None),
    ],
)
def test_the_choice_of_tools_is_told_in_the_apis_words(
    choice: ToolChoice, parallel: bool | None, names: str, wanted: Any
) -> None:
    assert tools_of(choice, parallel) == ([*names], wanted)


def test_a_tool_is_described_with_the_schema_that_the_api_insists_on() -> None:
    loose = ToolDefinition("a", "adds", msgspec.Raw(b'{"properties":{"x":{}}}'), strict=True)
    odd = ToolDefinition("b", parameters=msgspec.Raw(b"true"))
    assert sent(changed(tools=(loose, odd)))["tools"] == [
        {
            "name": "a",
            "description": "adds",
            "strict": True,
            "input_schema": {"type": "object", "properties": {"x": {}}},
        },
        {"name": "b", "input_schema": True} | CACHED,
    ]


def test_tools_that_were_called_once_are_told_though_they_are_not_on_offer() -> None:
    calls = (ToolCall("c1", "clock", "{}"), ToolCall("c2", "clock", "{}"))
    body = sent(
        changed(
            messages=(
                UserMessage("go"),
                AssistantMessage(None, calls),
                ToolMessage("c1", "x"),
                ToolMessage("c2", "y"),
            )
        )
    )
    assert [tool["name"] for tool in body["tools"]] == ["clock"]
    assert body["tool_choice"] == {"type": "none"}


# How to write.


def test_how_to_write_is_told_in_the_apis_words() -> None:
    form = ResponseFormat("json_schema", "thing", None, SCHEMA, strict=True)
    sampling = Sampling(
        max_output=7,
        stop=("X",),
        reasoning_effort="high",
        response_format=form,
        extra=(("top_k", msgspec.Raw(b"5")), ("model", msgspec.Raw(b'"other"'))),
    )
    assert sent(changed(sampling=sampling, end_user="u1", cache_key="k")) == {
        "model": "m",
        "max_tokens": 7,
        "messages": [HI],
        "stream": True,
        "stop_sequences": ["X"],
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u1"},
        "top_k": 5,
    }


@pytest.mark.parametrize(("asked", "told"), [("none", "low"), ("minimal", "low"), ("max", "max")])
def test_efforts_that_the_api_has_no_word_for_become_the_least(asked: str, told: str) -> None:
    body = sent(changed(sampling=Sampling(reasoning_effort=asked)))
    assert body["output_config"] == {"effort": told}


def test_claude_is_sent_no_temperature_and_others_are() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9)
    claude = encode_request(changed(model="claude-x", sampling=sampling))
    other = encode_request(changed(model="glm", sampling=sampling))
    assert claude.dropped == ("temperature", "top_p")
    assert "temperature" not in json.loads(claude.body)
    assert (other.dropped, json.loads(other.body)["temperature"]) == ((), 0.5)
    assert encode_request(changed(model="claude-x")).dropped == ()


# The prompt cache.


def breakpoints(body: Any) -> list[str]:
    """The words, or the name, of every block that carries one, in order."""
    blocks = [*body.get("tools", []), *body.get("system", [])]
    blocks += [block for message in body["messages"] for block in message["content"]]
    return [block.get("text") or block.get("name") for block in blocks if "cache_control" in block]


HEAD = (SystemMessage("persona"), UserMessage("profile"))
PAST = (UserMessage("one"), AssistantMessage("two"), UserMessage("three"), AssistantMessage("four"))
NOW = (UserMessage("recall and time"), UserMessage("five"))
LOOP = (AssistantMessage("I look.", (ToolCall("c", "clock", "{}"),)), ToolMessage("c", "noon"))


def test_the_head_and_the_past_may_be_cached_and_what_changes_may_not() -> None:
    tools = (ToolDefinition("a"), ToolDefinition("b"))
    request = changed(tools=tools, messages=(*HEAD, *PAST, *NOW, SystemMessage("after")))
    assert breakpoints(sent(request)) == ["b", "persona", "four"]


def test_the_rounds_of_a_turn_keep_the_same_breakpoints() -> None:
    assert breakpoints(sent(changed(messages=(*HEAD, *PAST, *NOW, *LOOP)))) == ["clock", "persona", "four"]


def test_a_conversation_that_begins_has_only_the_head() -> None:
    assert breakpoints(sent(changed(messages=(*HEAD, *NOW)))) == ["persona"]
    assert breakpoints(sent(HELLO)) == []


def test_the_past_of_the_next_turn_begins_with_the_bytes_that_were_cached() -> None:
    def prefix(*messages: Message) -> list[Any]:
        said = sent(changed(messages=messages))["messages"]
        blocks = [block for turn in said for block in turn["content"]]
        end = max(i for i, block in enumerate(blocks) if "cache_control" in block)
        return [{**block, "cache_control": None} for block in blocks[: end + 1]]

    first = prefix(*HEAD, *PAST, *NOW)
    second = prefix(*HEAD, *PAST, NOW[1], AssistantMessage("six"), NOW[0], UserMessage("seven"))
    assert second[: len(first)] == first


_CALLS = st.tuples(st.text(min_size=1, max_size=8), st.sampled_from(["{}", '{"a":1}', "{", ""]))


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Message, ...]:
    """A conversation as the domain makes them: every call is answered, and the user or a tool spoke last."""
    messages: list[Message] = [SystemMessage(draw(st.text(max_size=5)))]
    for _ in range(draw(st.integers(0, 4))):
        messages += [UserMessage(it) for it in draw(st.lists(st.text(max_size=5), max_size=2))]
        calls = draw(st.lists(_CALLS, max_size=2, unique_by=lambda it: it[0]))
        made = tuple(ToolCall(id, "tool", arguments) for id, arguments in calls)
        messages.append(AssistantMessage(draw(st.text(max_size=5)), made))
        messages += [ToolMessage(call.id, draw(st.text(max_size=5))) for call in made]
    messages.append(UserMessage(draw(st.text(max_size=5))))
    return tuple(messages)


@given(exchanges(), st.booleans())
def test_no_conversation_becomes_a_request_that_anthropic_refuses(
    messages: tuple[Message, ...], with_tools: bool
) -> None:
    tools = (ToolDefinition("tool"),) if with_tools else ()
    assert check(sent(changed(messages=messages, tools=tools))) is None


# Events.


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def piece(index: int, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def ended(reason: str | None, **usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 5, **usage})


BEGIN = event("message_start", message={"usage": {"input_tokens": 3, "cache_read_input_tokens": 4}})
END = event("message_stop")


def heard(*events: bytes) -> list[ModelDelta]:
    answer = Answer("fake", lambda: "new-id", "sk-secret")
    deltas = [delta for it in events for delta in answer.read(it)]
    return [*deltas, *answer.end()]


def failing(*events: bytes) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        heard(*events)
    return failed.value


def test_text_comes_as_it_is_written_and_ends_once() -> None:
    events = (BEGIN, start(0, type="text", text="A"), piece(0, text="b"), stop(0), ended("end_turn"), END)
    usage = Usage(prompt_tokens=7, completion_tokens=5, cached_tokens=4, known=True)
    assert heard(*events) == [TextDelta("A"), TextDelta("b"), ChoiceFinished("stop"), UsageReported(usage)]


def test_the_end_counts_more_than_the_beginning() -> None:
    more = {"cache_creation_input_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}}
    assert heard(BEGIN, ended("end_turn", input_tokens=1, **more), END)[-1] == UsageReported(
        Usage(
            prompt_tokens=7,
            completion_tokens=5,
            cached_tokens=4,
            cache_write_tokens=2,
            reasoning_tokens=1,
            known=True,
        )
    )


def test_usage_that_nobody_reported_is_not_made_up() -> None:
    end = event("message_delta", delta={"stop_reason": "end_turn"})
    assert heard(event("message_start"), end, END) == [ChoiceFinished("stop")]


def test_calls_are_counted_apart_from_other_blocks() -> None:
    deltas = heard(
        BEGIN,
        start(0, type="text", text=""),
        piece(0, text="Let me see."),
        stop(0),
        start(1, type="tool_use", id="t1", name="clock", input={}),
        piece(1, partial_json='{"zone":'),
        piece(1, partial_json='"UTC"}'),
        stop(1),
        start(2, type="tool_use", id="t2", name="dice", input={}),
        piece(2, partial_json=""),
        stop(2),
        start(3, type="tool_use", name="whole", input={"a": 1}),
        stop(3),
        start(4, type="server_tool_use", id="s", name="web_search", input={}),
        piece(4, partial_json='{"q":1}'),
        stop(4),
        ended("tool_use"),
        END,
    )
    assert deltas[:-1] == [
        TextDelta("Let me see."),
        ToolCallDelta(0, "", "t1", "clock"),
        ToolCallDelta(0, '{"zone":'),
        ToolCallDelta(0, '"UTC"}'),
        ToolCallDelta(1, "", "t2", "dice"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(2, '{"a": 1}', "new-id", "whole"),
        ChoiceFinished("tool_calls"),
    ]


def test_a_call_that_takes_long_to_write_is_heard_meanwhile() -> None:
    call = start(0, type="tool_use", id="t", name="n", input={})
    deltas = heard(BEGIN, call, event("ping"), piece(0, partial_json="{}"), stop(0), ended("tool_use"), END)
    assert deltas[:3] == [ToolCallDelta(0, "", "t", "n"), ReasoningDelta(""), ToolCallDelta(0, "{}")]


def test_thinking_is_heard_as_long_as_it_lasts_even_where_nothing_of_it_is_shown() -> None:
    deltas = heard(
        event("ping"),
        BEGIN,
        start(0, type="thinking", thinking="", signature=""),
        event("ping"),
        piece(0, thinking="Hm."),
        piece(0, signature="c2ln"),
        stop(0),
        event("ping"),
        start(1, type="redacted_thinking", data="x"),
        stop(1),
        ended("end_turn"),
        END,
    )
    assert deltas[:-2] == [ReasoningDelta(""), ReasoningDelta(""), ReasoningDelta("Hm."), ReasoningDelta("")]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("tool_use", "tool_calls"),
        ("something new", "stop"),
    ],
)
def test_why_it_ended_is_told_in_the_domains_words(reason: str, told: Any) -> None:
    assert heard(BEGIN, ended(reason), ended(reason), END)[0] == ChoiceFinished(told)


def test_an_answer_with_calls_ended_for_them_whatever_a_server_says() -> None:
    call = start(0, type="tool_use", id="t", name="n", input={"a": 1})
    assert ChoiceFinished("tool_calls") in heard(BEGIN, call, ended("end_turn"), END)
    assert ChoiceFinished("length") in heard(BEGIN, call, ended("max_tokens"), END)
    assert heard(BEGIN, call, END)[-1] == ChoiceFinished("tool_calls")


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "explanation": "It is dangerous."}
    end = event("message_delta", delta={"stop_reason": "refusal", "stop_details": details})
    assert heard(BEGIN, end, END) == [RefusalDelta("It is dangerous."), ChoiceFinished("content_filter")]


def test_events_of_kinds_to_come_and_what_follows_the_end_are_passed_over() -> None:
    news = (
        event("weather"),
        start(0, type="hologram"),
        piece(0, light=1),
        piece(9, partial_json="{"),
        stop(7),
    )
    assert heard(BEGIN, *news, ended(None), END, piece(0, text="late")) == [ChoiceFinished("stop")]


def test_a_last_event_that_is_missing_does_not_spoil_a_whole_answer() -> None:
    assert ChoiceFinished("stop") in heard(BEGIN, ended("end_turn"))


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ((), "answered nothing"),
        ((event("ping"),), "answered nothing"),
        ((BEGIN, start(0, type="text", text="a")), "without an end"),
        ((BEGIN, b"{"), "no JSON"),
        ((BEGIN, b'{"type":"\xff"}'), "no JSON"),
        ((b"[]",), "unknown form"),
        ((BEGIN, event("content_block_start", index="0")), "unknown form"),
        ((event("error"),), "says nothing"),
    ],
)
def test_what_is_no_answer_is_malformed(events: tuple[bytes, ...], what: str) -> None:
    error = failing(*events)
    assert isinstance(error, ProviderMalformedError)
    assert (what in str(error), error.billed) == (True, True)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([BEGIN, END, ended("end_turn"), stop(0)])))
def test_whatever_arrives_is_an_answer_or_a_provider_error(events: list[bytes]) -> None:
    try:
        deltas = heard(*events)
    except ProviderError:
        return
    assert sum(isinstance(delta, ChoiceFinished) for delta in deltas) == 1


# Failures.


def error(kind: str, message: str = "no") -> bytes:
    return event("error", error={"type": kind, "message": message})


@pytest.mark.parametrize(
    ("kind", "expected", "code"),
    [
        ("overloaded_error", ProviderOverloadedError, OVERLOADED),
        ("rate_limit_error", ProviderOverloadedError, "rate_limit_exceeded"),
        ("api_error", ProviderUnavailableError, "provider_unavailable"),
        ("timeout_error", ProviderUnavailableError, "provider_unavailable"),
        ("authentication_error", ProviderRefusedError, "provider_credential_refused"),
        ("invalid_request_error", ProviderRefusedError, "provider_refused"),
    ],
)
def test_an_error_before_the_answer_is_what_its_status_would_be(
    kind: str, expected: type[ProviderError], code: str
) -> None:
    failed = failing(error(kind))
    assert (type(failed), failed.code, failed.billed) == (expected, code, False)


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error", "invalid_request_error", "billing_error"])
def test_an_error_in_the_middle_may_be_billed_and_blames_nobody(kind: str) -> None:
    failed = failing(BEGIN, piece(0, text="a"), error(kind, "your prompt sk-secret"))
    assert isinstance(failed, ProviderUnavailableError | ProviderOverloadedError)
    assert (failed.billed, "sk-secret" in str(failed)) == (True, False)


def refusal(status: int, body: bytes = b"", **headers: str) -> ProviderError:
    return refused("fake", status, headers, body, "sk-secret")


@pytest.mark.parametrize(
    ("status", "kind", "about"),
    [
        (400, "invalid_request_error", "request"),
        (400, "billing_error", "credential"),
        (401, "authentication_error", "credential"),
        (402, "billing_error", "credential"),
        (403, "permission_error", "credential"),
        (404, "not_found_error", "model"),
        (413, "request_too_large", "request"),
    ],
)
def test_a_refusal_says_what_it_is_about(status: int, kind: str, about: str) -> None:
    failed = refusal(status, error(kind))
    assert isinstance(failed, ProviderRefusedError)
    assert failed.about == about


def test_a_refused_request_is_told_in_the_providers_words_without_the_key() -> None:
    failed = refusal(400, error("invalid_request_error", "bad sk-secret"))
    assert failed.message == "bad [key]"
    spoken = broke("fake", WireError("invalid_request_error", "bad sk-secret"), "sk-secret", begun=False)
    assert spoken.message == "bad [key]"


def test_a_prompt_that_is_too_long_has_the_code_that_clients_know() -> None:
    failed = refusal(400, error("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"))
    assert failed.code == "context_length_exceeded"


def test_a_cause_that_anthropic_names_is_kept() -> None:
    body = event("error", error={"type": "x", "message": "m", "details": {"error_code": "image_too_large"}})
    assert refusal(400, body).code == "image_too_large"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": null}', b'{"error": 7}', b"\xff"])
def test_a_refusal_without_anthropics_body_is_understood_by_its_status(body: bytes) -> None:
    assert isinstance(refusal(503, body), ProviderUnavailableError)
    busy = refusal(529, body, **{"retry-after": "3"})
    assert (type(busy), busy.code, busy.retry_after_s) == (ProviderOverloadedError, OVERLOADED, 3.0)
    limited = refusal(429, body)
    assert (limited.code, limited.retry_after_s) == ("rate_limit_exceeded", None)


# Thinking.


THINKS = (
    start(0, type="thinking", thinking="", signature=""),
    piece(0, thinking="First "),
    piece(0, thinking="this."),
    piece(0, signature="c2ln"),
    stop(0),
)
FIRST = {"type": "thinking", "thinking": "First this.", "signature": "c2ln"}
SECRET = {"type": "redacted_thinking", "data": "WA=="}


def thought(*events: bytes, model: str = "m") -> Thinking | None:
    """What an answer with ``events`` wants back."""
    answer = Answer("fake", lambda: "new-id", model=model)
    deltas = [delta for it in (BEGIN, *events, ended("tool_use"), END) for delta in answer.read(it)]
    found = [delta.thinking for delta in deltas if isinstance(delta, ThinkingKept)]
    assert len(found) <= 1
    return found[0] if found else None


def called(index: int, name: str = "clock") -> tuple[bytes, ...]:
    return (start(index, type="tool_use", id=f"t{index}", name=name, input={}), stop(index))


def use(id: str) -> Any:
    return {"type": "tool_use", "id": id, "name": "clock", "input": {}}


def sent_back(thinking: Thinking | None, content: str | None, *ids: str) -> Any:
    """The blocks of the answer in the request with its results."""
    calls = tuple(ToolCall(id, "clock", "{}") for id in ids)
    results = tuple(ToolMessage(id, "noon") for id in ids)
    request = changed(
        messages=(UserMessage("hi"), AssistantMessage(content, calls, thinking=thinking), *results)
    )
    assert check(sent(request)) is None
    return sent(request)["messages"][1]["content"]


def test_what_was_thought_before_calls_goes_back_in_front_of_them() -> None:
    secret = (start(1, type="redacted_thinking", data="WA=="), stop(1))
    assert sent_back(thought(*THINKS, *secret, *called(2)), None, "a") == [FIRST, SECRET, use("a")]


def test_thoughts_between_words_and_calls_go_back_between_them() -> None:
    events = (
        *THINKS,
        start(1, type="text", text="One "),
        piece(1, text="moment."),
        *(start(2, type="redacted_thinking", data="WA=="), stop(2)),
        *(start(3, type="text", text="Now."), stop(3)),
        *called(4),
        *(start(5, type="thinking", thinking="More", signature="bW9yZQ=="), stop(5)),
        *called(6),
    )
    more = {"type": "thinking", "thinking": "More", "signature": "bW9yZQ=="}
    kept = thought(*events)
    expected = [FIRST, text("One moment."), SECRET, text("Now."), use("a"), more, use("b")]
    assert sent_back(kept, "One moment.Now.", "a", "b") == expected
    changed_words = [FIRST, text("Other words."), SECRET, use("a"), more, use("b")]
    assert sent_back(kept, "Other words.", "a", "b") == changed_words
    assert sent_back(kept, None, "a", "b") == [FIRST, SECRET, use("a"), more, use("b")]


def test_thoughts_are_for_the_model_that_had_them() -> None:
    assert sent_back(thought(*THINKS, *called(1), model="other"), None, "a") == [use("a")]


def test_an_answer_without_thoughts_or_without_calls_wants_nothing_back() -> None:
    assert thought(*called(0)) is None
    assert thought(*THINKS, start(1, type="text", text="Done."), stop(1)) is None


def test_what_thoughts_take_up_is_what_the_provider_counted() -> None:
    answer = Answer("fake", lambda: "new-id", model="m")
    end = ended("tool_use", output_tokens_details={"thinking_tokens": 12})
    deltas = [delta for it in (BEGIN, *THINKS, *called(1), end, END) for delta in answer.read(it)]
    assert [it.thinking.tokens for it in deltas if isinstance(it, ThinkingKept)] == [12]
