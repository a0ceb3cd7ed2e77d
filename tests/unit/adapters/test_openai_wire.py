"""A request as bytes, and bytes as events and deltas."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.openai.answer import Answer
from cozy_adapters.openai.wire import COMPATIBLE, OPENAI, Dialect, encode_request
from cozy_adapters.sse import LONGEST_EVENT, BodyReader, EventReader
from cozy_domain.errors import ProviderMalformedError, ProviderUnavailableError
from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.models.request import ModelRequest, ResponseFormat, Sampling, ToolChoice, ToolDefinition

SCHEMA = msgspec.Raw(b'{"type":"object"}')
HELLO = ModelRequest(model="m", messages=(UserMessage("hi"),))


def sent(request: ModelRequest, dialect: Dialect = OPENAI) -> Any:
    return json.loads(encode_request(request, dialect))


def changed(**changes: object) -> ModelRequest:
    return msgspec.structs.replace(HELLO, **changes)


def test_a_plain_request_says_no_more_than_it_must() -> None:
    assert sent(HELLO) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_every_kind_of_message_has_its_form() -> None:
    messages = (
        SystemMessage("be kind", name="rules"),
        UserMessage(
            (
                TextPart("see"),
                ImagePart("https://example.org/a.png", "low"),
                AudioPart("UklG", "wav"),
                FilePart(file_id="f1", filename="a.pdf"),
            ),
            name="mei",
        ),
        AssistantMessage(None, (ToolCall("c1", "clock", "{}"),)),
        ToolMessage("c1", "noon"),
        AssistantMessage((TextPart("It is noon."), RefusalPart("no more"))),
    )
    assert sent(changed(messages=messages))["messages"] == [
        {"role": "system", "name": "rules", "content": "be kind"},
        {
            "role": "user",
            "name": "mei",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
            ],
            "content": None,
        },
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "It is noon."},
                {"type": "refusal", "refusal": "no more"},
            ],
        },
    ]


def test_every_wish_is_sent_under_its_name() -> None:
    sampling = Sampling(
        temperature=0.0,
        top_p=0.5,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        max_output=7,
        stop=("END",),
        choices=2,
        seed=0,
        logprobs=True,
        top_logprobs=0,
        logit_bias=(("50256", -100.0),),
        reasoning_effort="low",
        verbosity="high",
        response_format=ResponseFormat("json_schema", name="s", schema=SCHEMA, strict=True),
        extra=(("metadata", msgspec.Raw(b'{"a":"b"}')),),
    )
    body = sent(changed(sampling=sampling))
    assert {
        key: body[key] for key in body if key not in ("model", "messages", "stream", "stream_options")
    } == {
        "metadata": {"a": "b"},
        "temperature": 0.0,
        "top_p": 0.5,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "max_completion_tokens": 7,
        "stop": ["END"],
        "n": 2,
        "seed": 0,
        "logprobs": True,
        "top_logprobs": 0,
        "logit_bias": {"50256": -100.0},
        "reasoning_effort": "low",
        "verbosity": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
        },
    }


def test_a_json_object_is_asked_for() -> None:
    body = sent(changed(sampling=Sampling(response_format=ResponseFormat("json_object"))))
    assert body["response_format"] == {"type": "json_object"}


def test_extra_parameters_cannot_replace_ours() -> None:
    extra = (("model", msgspec.Raw(b'"dear"')), ("stream", msgspec.Raw(b"false")))
    body = sent(changed(sampling=Sampling(extra=extra)))
    assert (body["model"], body["stream"]) == ("m", True)


def test_another_server_gets_the_older_limit_and_no_hints() -> None:
    request = changed(sampling=Sampling(max_output=7), cache_key="k", end_user="u")
    theirs, ours = sent(request, COMPATIBLE), sent(request, OPENAI)
    assert theirs["max_tokens"] == ours["max_completion_tokens"] == 7
    assert (ours["prompt_cache_key"], ours["safety_identifier"]) == ("k", "u")
    assert not {"prompt_cache_key", "safety_identifier", "max_completion_tokens"} & theirs.keys()


def function(name: str) -> object:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("choice", "form"),
    [
        (ToolChoice("none"), "none"),
        (ToolChoice("auto"), None),
        (ToolChoice("required"), "required"),
        (ToolChoice("required", ("clock",)), function("clock")),
        (
            ToolChoice("auto", ("clock",)),
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("clock")]}},
        ),
        (
            ToolChoice("required", ("a", "b")),
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [function("a"), function("b")]},
            },
        ),
    ],
)
def test_a_choice_of_tools_has_its_form(choice: ToolChoice, form: object) -> None:
    tools = (ToolDefinition("clock", "Tells the time.", SCHEMA, strict=True),)
    body = sent(changed(tools=tools, tool_choice=choice, parallel_tool_calls=False))
    assert body.get("tool_choice") == form
    assert body["parallel_tool_calls"] is False
    assert body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "clock",
                "description": "Tells the time.",
                "parameters": {"type": "object"},
                "strict": True,
            },
        }
    ]


def test_without_tools_nothing_is_said_of_them() -> None:
    body = sent(changed(tool_choice=ToolChoice("none"), parallel_tool_calls=True))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


STREAM = (
    b"\xef\xbb\xbf: hello\r\n\r\nevent: note\r\ndata: one\r\n\r\n"
    b"data:two\ndata: three\nid: 7\nretry: 1\n\n\n: beat\n\ndata\n\ndata: \xe4\xbd\xa0\xe5\xa5\xbd\n\n"
)
EVENTS = [b"one", b"two\nthree", b"", "你好".encode()]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    reader = EventReader("p")
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS
    assert reader.close() == []


def test_the_last_event_needs_no_empty_line() -> None:
    reader = EventReader("p")
    assert reader.feed(b"data: [DONE]") == []
    assert reader.close() == [b"[DONE]"]


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"x" * 65536 + b"\n"])
def test_an_event_without_end_is_cut_off(piece: bytes) -> None:
    reader = EventReader("p")
    for _ in range(LONGEST_EVENT // 65536 - 1):
        reader.feed(piece)
    with pytest.raises(ProviderMalformedError, match="more than"):
        reader.feed(piece * 2)


def test_a_reply_without_end_is_cut_off() -> None:
    reader = BodyReader("p")
    reader.feed(b"x" * LONGEST_EVENT)
    with pytest.raises(ProviderMalformedError, match="more than"):
        reader.feed(b"x")


def answer() -> Answer:
    return Answer("p", lambda: "call_new")


def read(*events: str, whole: bool = True) -> list[ModelDelta]:
    reading = answer()
    deltas = [delta for event in events for delta in reading.read(event.encode())]
    return [*deltas, *reading.end()] if whole else deltas


def chunk(delta: object, finish: str | None = None, index: int = 0) -> str:
    return json.dumps({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def test_a_choice_left_open_before_done_is_ended() -> None:
    assert read(chunk({"content": "a"}), "[DONE]") == [TextDelta("a"), ChoiceFinished("stop")]


def test_what_follows_done_does_not_matter() -> None:
    deltas = read(chunk({"content": "a"}, "stop"), "[DONE]", "rubbish", chunk({"content": "b"}))
    assert deltas == [TextDelta("a"), ChoiceFinished("stop")]


def test_a_choice_ends_once_even_if_told_twice() -> None:
    assert read(chunk({}, "length"), chunk({}, "stop"), "[DONE]") == [ChoiceFinished("length")]


def test_one_choice_left_open_spoils_the_answer() -> None:
    with pytest.raises(ProviderMalformedError):
        read(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, None, 1))


def test_a_call_without_an_id_gets_one() -> None:
    piece = {"tool_calls": [{"index": 0, "id": "", "function": {"name": "clock", "arguments": "{}"}}]}
    assert read(chunk(piece, "stop")) == [
        ToolCallDelta(index=0, arguments="{}", id="call_new", name="clock"),
        ChoiceFinished("tool_calls"),
    ]


def test_a_call_cut_short_is_not_taken_for_a_whole_one() -> None:
    piece = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "clock"}}]}
    assert read(chunk(piece, "length"))[-1] == ChoiceFinished("length")


def calling(*pieces: object) -> str:
    return chunk({"tool_calls": pieces})


def piece(index: int, id: str | None = None, name: str | None = None, arguments: str | None = None) -> object:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def test_another_id_under_a_known_index_begins_another_call() -> None:
    events = (
        calling(piece(0, "a", "calculator", "1")),
        calling(piece(0, "b", "clock", "2"), piece(0, None, None, "3")),
    )
    assert read(*events, whole=False) == [
        ToolCallDelta(0, "1", "a", "calculator"),
        ToolCallDelta(1, "2", "b", "clock"),
        ToolCallDelta(1, "3"),
    ]


def test_an_id_that_comes_again_means_the_call_that_has_it() -> None:
    pieces = (
        piece(0, "a", "clock"),
        piece(0, "b", "clock"),
        piece(0, "a", "clock", "1"),
        piece(0, "b", None, "2"),
    )
    assert read(calling(*pieces), whole=False)[2:] == [ToolCallDelta(0, "1"), ToolCallDelta(1, "2")]


def test_one_id_under_two_indexes_means_two_calls() -> None:
    pieces = (
        piece(0, "a", "clock"),
        piece(1, "a", "clock"),
        piece(0, "a", None, "1"),
        piece(1, "a", None, "2"),
    )
    assert read(calling(*pieces), whole=False)[2:] == [ToolCallDelta(0, "1"), ToolCallDelta(1, "2")]


def test_an_index_that_was_given_away_means_its_newest_call() -> None:
    pieces = piece(0, "a", "f"), piece(0, "b", "g"), piece(1, "c", "h"), piece(1, None, None, "1")
    assert read(calling(*pieces), whole=False)[2:] == [ToolCallDelta(2, "", "c", "h"), ToolCallDelta(2, "1")]


def test_an_id_that_comes_late_begins_no_call() -> None:
    pieces = piece(0, "", "clock"), piece(0, "a", None, "{"), piece(0, "a", None, "}"), piece(0, "b", "f")
    assert read(calling(*pieces), whole=False) == [
        ToolCallDelta(0, "", "call_new", "clock"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}"),
        ToolCallDelta(1, "", "b", "f"),
    ]


@pytest.mark.parametrize("at", [{"index": 0}, {}])
def test_an_id_with_a_name_begins_a_call_after_one_without_an_id(at: dict[str, int]) -> None:
    first, second = ({"id": id, "function": {"name": "clock"}} for id in ("", "b"))
    assert read(calling(at | first), calling(at | second), whole=False) == [
        ToolCallDelta(0, "", "call_new", "clock"),
        ToolCallDelta(1, "", "b", "clock"),
    ]


def test_a_name_that_comes_late_is_told_once() -> None:
    pieces = piece(0, "a"), piece(0, None, "", "{"), piece(0, None, "clock", "}"), piece(0, None, "clock")
    assert read(calling(*pieces), whole=False) == [
        ToolCallDelta(0, "", "a"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}", name="clock"),
        ToolCallDelta(0),
    ]


@pytest.mark.parametrize(
    "event", ["", "{", "[]", "1", '{"choices":1}', '{"choices":[{"delta":{"content":1}}]}']
)
def test_what_is_no_chunk_is_malformed(event: str) -> None:
    with pytest.raises(ProviderMalformedError):
        read(event)


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(ProviderMalformedError):
        read('{"choices":' + "[" * 100_000)


@pytest.mark.parametrize("error", ['{"message":"x"}', '"x"', "true"])
def test_an_error_in_the_place_of_a_chunk_is_one(error: str) -> None:
    with pytest.raises(ProviderUnavailableError):
        read(f'{{"error":{error}}}', whole=False)


@pytest.mark.parametrize("error", ["null", '""', "{}", "false"])
def test_an_empty_error_is_none(error: str) -> None:
    assert read(f'{{"error":{error},"choices":[]}}', whole=False) == []


def test_half_a_character_that_never_gets_its_other_half_is_replaced() -> None:
    halves = [r'{"choices":[{"delta":{"content":"a\ud83d"}}]}', r'{"choices":[{"delta":{"content":"b"}}]}']
    assert read(*halves, whole=False) == [TextDelta("a"), TextDelta("\ufffdb")]


@given(text=st.text(), size=st.integers(1, 4))
def test_text_cut_into_utf_16_units_is_whole_again(text: str, size: int) -> None:
    units = json.dumps(text)[1:-1]
    escaped = "".join(f"\\u{int.from_bytes(pair, 'big'):04x}" for pair in _pairs(text))
    assert json.loads(f'"{escaped}"') == json.loads(f'"{units}"')
    pieces = [escaped[start : start + 6 * size] for start in range(0, len(escaped), 6 * size)]
    events = [f'{{"choices":[{{"delta":{{"content":"{piece}"}}}}]}}' for piece in pieces]
    assert "".join(d.text for d in read(*events, whole=False) if isinstance(d, TextDelta)) == text


@given(text=st.text(min_size=1), size=st.integers(1, 4))
def test_arguments_cut_into_utf_16_units_are_whole_again(text: str, size: int) -> None:
    units = [pair.decode("utf-16-be", "surrogatepass") for pair in _pairs(text)]
    pieces = ["".join(units[start : start + size]) for start in range(0, len(units), size)]
    # Two calls at once: neither may take the other's half.
    events = [calling(piece(0, "a", "f", cut), piece(1, "b", "g", cut)) for cut in pieces]
    deltas = [delta for delta in read(*events, whole=False) if isinstance(delta, ToolCallDelta)]
    for index in (0, 1):
        assert "".join(delta.arguments for delta in deltas if delta.index == index) == text
    msgspec.json.encode(deltas)


HALF = "a\ud83d"


def test_half_a_character_in_a_call_is_replaced() -> None:
    pieces = piece(0, HALF, HALF, HALF), piece(0, HALF, None, "b")
    assert read(calling(*pieces), whole=False) == [
        ToolCallDelta(0, "a", "a\ufffd", "a\ufffd"),
        ToolCallDelta(0, "\ufffdb"),
    ]


def test_half_a_character_in_a_token_is_replaced() -> None:
    tops = [{"token": HALF, "logprob": -1.0, "bytes": [97]}]
    token = {"token": HALF, "logprob": -1.0, "bytes": None, "top_logprobs": tops}
    event = {"choices": [{"delta": {"content": HALF}, "logprobs": {"content": [token]}}]}
    whole = TokenLogprob("a\ufffd", -1.0, None, (TokenLogprob("a\ufffd", -1.0, (97,)),))
    assert read(json.dumps(event), whole=False) == [TextDelta("a", logprobs=(whole,))]


def test_half_a_character_in_tier_and_fingerprint_is_replaced() -> None:
    event = {"usage": {}, "service_tier": HALF, "system_fingerprint": HALF}
    (reported,) = read(json.dumps(event), whole=False)
    assert isinstance(reported, UsageReported)
    assert (reported.service_tier, reported.fingerprint) == ("a\ufffd", "a\ufffd")


def test_a_character_cut_in_two_in_a_thought_or_a_refusal_is_whole() -> None:
    events = [chunk({field: half}) for field in ("reasoning", "refusal") for half in ("\ud83d", "\ude00")]
    assert read(*events, whole=False) == [ReasoningDelta("\U0001f600"), RefusalDelta("\U0001f600")]


def test_half_a_character_beside_an_empty_error_is_no_fault() -> None:
    event = {"choices": [{"delta": {"content": "\ude00"}}], "error": None}
    assert read(json.dumps(event), whole=False) == [TextDelta("\ufffd")]


def test_an_error_with_half_a_character_is_one() -> None:
    with pytest.raises(ProviderUnavailableError):
        read(json.dumps({"error": {"message": HALF}}), whole=False)


def _pairs(text: str) -> list[bytes]:
    data = text.encode("utf-16-be")
    return [data[start : start + 2] for start in range(0, len(data), 2)]
