"""OpenAI's request as the domain's, and everything that is refused by name."""

from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_domain.access.caller import Caller
from cozy_domain.chat.request import ChatRequest
from cozy_domain.errors import InputError
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
from cozy_domain.models.request import ResponseFormat, Sampling, ToolChoice
from cozy_server.body import JsonBody
from cozy_server.openai.translate import Envelope, to_request
from cozy_server.openai.wire.request import ChatCompletionIn
from tests.fixtures.media import base64, wav

BODY = JsonBody(ChatCompletionIn)
ENVELOPE = Envelope(caller=Caller("acme"), request="req_1")
SESSION = "01890000-0000-7000-8000-000000000002"
USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "look"}}


def call(id: str = "c1", name: str = "look") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "{"}}


def calls(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call(id) for id in ids]}


def result(id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": "ok"}


def decode(**fields: Any) -> ChatCompletionIn:
    return BODY.decode(msgspec.json.encode({"model": "anna", "messages": [USER], **fields}))


def translate(**fields: Any) -> ChatRequest:
    return to_request(decode(**fields), ENVELOPE)


def refusal(**fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        translate(**fields)
    return caught.value


def test_every_kind_of_message_arrives() -> None:
    request = translate(
        messages=[
            {"role": "system", "content": "S", "name": "n"},
            {"role": "developer", "content": [{"type": "text", "text": "D"}]},
            {
                "role": "user",
                "name": "bo",
                "content": [
                    {"type": "text", "text": "T"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": base64(wav()), "format": "wav"}},
                    {"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "A"}, {"type": "refusal", "refusal": "R"}],
                "tool_calls": [call("c1"), call("c2")],
            },
            result("c2"),
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "1"}]},
            {"role": "assistant", "content": "", "refusal": "no"},
            USER,
        ]
    )
    assert request.messages == (
        SystemMessage("S", name="n"),
        SystemMessage((TextPart("D"),)),
        UserMessage(
            (
                TextPart("T"),
                ImagePart("https://x/y.png", "low"),
                AudioPart(base64(wav()), "wav"),
                FilePart(file_id="f1", filename="a.pdf"),
            ),
            name="bo",
        ),
        AssistantMessage(
            (TextPart("A"), RefusalPart("R")),
            tool_calls=(ToolCall("c1", "look", "{"), ToolCall("c2", "look", "{")),
        ),
        ToolMessage("c2", "ok"),
        ToolMessage("c1", (TextPart("1"),)),
        AssistantMessage("", refusal="no"),
        UserMessage("Hello"),
    )


def test_every_wish_about_writing_arrives() -> None:
    request = translate(
        max_completion_tokens=9,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=-2,
        frequency_penalty=2,
        n=2,
        stop="\n",
        seed=-1,
        logprobs=True,
        top_logprobs=20,
        logit_bias={"50": -100},
        reasoning_effort="xhigh",
        verbosity="low",
        prediction={"type": "content", "content": "x"},
        web_search_options={},
        service_tier="flex",
    )
    assert msgspec.structs.replace(request.sampling, extra=()) == Sampling(
        temperature=0.5,
        top_p=0.9,
        presence_penalty=-2,
        frequency_penalty=2,
        max_output=9,
        stop=("\n",),
        choices=2,
        seed=-1,
        logprobs=True,
        top_logprobs=20,
        logit_bias=(("50", -100),),
        reasoning_effort="xhigh",
        verbosity="low",
    )
    assert [(name, bytes(value)) for name, value in request.sampling.extra] == [
        ("prediction", b'{"type":"content","content":"x"}'),
        ("web_search_options", b"{}"),
        ("service_tier", b'"flex"'),
    ]


def test_nothing_said_and_null_mean_the_same() -> None:
    nullable = [name for name in ChatCompletionIn.__struct_fields__ if name not in ("model", "messages")]
    plain = translate()
    assert plain == translate(**dict.fromkeys(nullable))
    assert plain.sampling == Sampling()
    assert plain.tools == ()
    assert plain.tool_choice == ToolChoice()


def test_what_is_only_for_show_is_taken_and_not_handed_on() -> None:
    request = translate(
        store=True,
        metadata={"a": "b"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "implicit"},
        prompt_cache_retention="24h",
        service_tier="auto",
        modalities=["text"],
        stream=False,
        stream_options={"include_usage": True, "include_obfuscation": False},
        user="",
        some_vendors_key={"deep": [1]},
    )
    assert request == translate()


def test_the_old_name_of_a_limit_still_works() -> None:
    assert translate(max_tokens=5).sampling.max_output == 5
    assert translate(stop=["a", "b"]).sampling.stop == ("a", "b")


def test_tools_arrive_with_their_schema() -> None:
    schema = {"type": "object", "properties": {"深": {"type": "string"}}}
    first, second = translate(
        tools=[
            {
                "type": "function",
                "function": {"name": "look", "description": "d", "parameters": schema, "strict": True},
            },
            {"type": "function", "function": {"name": "find", "parameters": None}},
        ],
        parallel_tool_calls=False,
    ).tools
    assert (first.name, first.description, first.strict) == ("look", "d", True)
    assert msgspec.json.decode(first.parameters) == schema
    assert bytes(second.parameters) == b'{"type":"object","properties":{}}'


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("none", ToolChoice("none")),
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "look"}}, ToolChoice("required", ("look",))),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            ToolChoice("auto", ("look",)),
        ),
    ],
)
def test_every_tool_choice_arrives(choice: Any, meant: ToolChoice) -> None:
    assert translate(tools=[TOOL], tool_choice=choice).tool_choice == meant


def test_deprecated_functions_become_tools() -> None:
    request = translate(
        functions=[{"name": "look"}],
        function_call={"name": "look"},
        messages=[
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
            {"role": "function", "name": "look", "content": "seen"},
        ],
    )
    assert [tool.name for tool in request.tools] == ["look"]
    assert request.tool_choice == ToolChoice("required", ("look",))
    assert request.parallel_tool_calls is False
    assistant, answer = request.messages[1:]
    assert isinstance(assistant, AssistantMessage)
    assert answer == ToolMessage(assistant.tool_calls[0].id, "seen")
    assert translate(functions=[{"name": "look"}], function_call="none").tool_choice == ToolChoice("none")


def test_a_schema_that_nobody_can_read_is_refused() -> None:
    digits = "9" * 5_000
    body = (
        f'{{"model":"m","messages":[{{"role":"user","content":""}}],"web_search_options":{{"a":{digits}}}}}'
    )
    with pytest.raises(InputError) as caught:
        to_request(BODY.decode(body.encode()), ENVELOPE)
    assert caught.value.param == "web_search_options"


def test_every_response_format_arrives() -> None:
    schema = {"type": "object"}
    wanted = {"name": "out", "schema": schema, "strict": True, "description": "d"}
    formatted = translate(
        response_format={"type": "json_schema", "json_schema": wanted}
    ).sampling.response_format
    assert formatted.schema is not None
    assert msgspec.json.decode(formatted.schema) == schema
    assert (formatted.kind, formatted.name, formatted.strict) == ("json_schema", "out", True)
    assert translate(response_format={"type": "json_object"}).sampling.response_format.kind == "json_object"
    assert translate(response_format={"type": "text"}).sampling.response_format == ResponseFormat()


def test_our_own_fields_arrive() -> None:
    request = translate(
        cozy={
            "personality_id": "anna",
            "session_id": SESSION,
            "user_id": "u1",
            "timezone": "Asia/Shanghai",
            "use_personalization": False,
            "allowed_tools": ["clock"],
        }
    )
    assert request.persona == "anna"
    assert request.session == UUID(SESSION)
    assert request.owner == Caller("acme").owner("u1")
    assert (request.timezone, request.personalise, request.allowed_tools) == (
        "Asia/Shanghai",
        False,
        ("clock",),
    )


def test_the_person_is_named_by_the_first_of_three_fields() -> None:
    both = {"safety_identifier": "s", "user": "u"}
    assert translate(cozy={"user_id": "c"}, **both).owner.subject == "c"
    assert translate(**both).owner.subject == "s"
    assert translate(user="u").owner.subject == "u"
    assert translate().owner.subject == "acme"


def test_a_key_for_many_is_impersonal_until_somebody_is_named() -> None:
    many = Envelope(caller=Caller("acme", serves_many=True), request="req_1")
    assert to_request(decode(), many).personal is False
    assert to_request(decode(user="u"), many).personal is True


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": ""}, "model", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"presence_penalty": 3}, "presence_penalty", "invalid_value"),
        ({"frequency_penalty": -3}, "frequency_penalty", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 129}, "n", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": []}, "stop", "invalid_value"),
        ({"stop": [""]}, "stop[0]", "invalid_value"),
        ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "invalid_value"),
        ({"reasoning_effort": "much"}, "reasoning_effort", "invalid_value"),
        ({"verbosity": "loud"}, "verbosity", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value"),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"k" * 65: ""}}, "metadata", "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "invalid_value"),
        ({"safety_identifier": "s" * 65}, "safety_identifier", "invalid_value"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
        ({"modalities": ["smell"]}, "modalities[0]", "invalid_value"),
        ({"audio": {"voice": "x", "format": "wav"}}, "audio", "unsupported_parameter"),
        ({"moderation": {"model": "m"}}, "moderation", "unsupported_parameter"),
        ({"prediction": "x"}, "prediction", "invalid_type"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "web"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "a\n"}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name", "duplicate_tool"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": [1]}}]},
            "tools[0].function.parameters",
            "invalid_type",
        ),
        ({"tools": [TOOL], "functions": [{"name": "a"}]}, "functions", "invalid_value"),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        (
            {"tool_choice": {"type": "custom", "custom": {"name": "x"}}},
            "tool_choice.type",
            "unsupported_value",
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice.function.name",
            "invalid_value",
        ),
        ({"function_call": {"name": "x"}}, "function_call.name", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
            "invalid_value",
        ),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
        ({"cozy": []}, "cozy", "invalid_type"),
        ({"cozy": {"persona": "a"}}, "cozy.persona", "unknown_parameter"),
        ({"cozy": {"session_id": "mine"}}, "cozy.session_id", "invalid_value"),
        ({"cozy": {"session_id": SESSION}, "n": 2}, "n", "invalid_value"),
        ({"cozy": {"session_id": SESSION}, "functions": [{"name": "a"}]}, "functions", "invalid_value"),
        ({"cozy": {"timezone": "Mars/Olympus"}}, "cozy.timezone", "invalid_value"),
        ({"cozy": {"timezone": "../../etc/passwd"}}, "cozy.timezone", "invalid_value"),
        ({"cozy": {"timezone": "Europe"}}, "cozy.timezone", "invalid_value"),
        ({"cozy": {"user_id": ""}}, "cozy.user_id", "invalid_value"),
        ({"cozy": {"allowed_tools": "clock"}}, "cozy.allowed_tools", "invalid_type"),
    ],
)
def test_what_is_refused_is_refused_by_name(fields: dict[str, Any], param: str, code: str) -> None:
    error = refusal(**fields)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ({"role": "robot", "content": ""}, "messages[0].role", "invalid_value"),
        ({"content": ""}, "messages[0].role", "missing_required_parameter"),
        ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
        ({"role": "user", "content": None}, "messages[0].content", "invalid_type"),
        ({"role": "user", "content": []}, "messages[0].content", "invalid_value"),
        ({"role": "user", "content": [{"type": "video"}]}, "messages[0].content[0].type", "invalid_value"),
        (
            {"role": "developer", "content": [{"text": "no type"}]},
            "messages[0].content[0].type",
            "missing_required_parameter",
        ),
        (
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
            "messages[0].content[0].image_url.url",
            "invalid_value",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "ogg"}}],
            },
            "messages[0].content[0].input_audio.format",
            "invalid_value",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {}}]},
            "messages[0].content[0].file",
            "invalid_value",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f", "file_data": "AA=="}}]},
            "messages[0].content[0].file",
            "invalid_value",
        ),
        ({"role": "assistant"}, "messages[0].content", "missing_required_parameter"),
        (
            {"role": "assistant", "content": "", "audio": {"id": "a"}},
            "messages[0].audio",
            "unsupported_parameter",
        ),
        ({"role": "assistant", "tool_calls": []}, "messages[0].tool_calls", "invalid_value"),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]},
            "messages[0].tool_calls[0].type",
            "unsupported_value",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]},
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        (
            {"role": "assistant", "tool_calls": [call()], "function_call": {"name": "a", "arguments": ""}},
            "messages[0].function_call",
            "invalid_value",
        ),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id", "missing_required_parameter"),
    ],
)
def test_what_is_wrong_in_a_message_is_refused_by_name(message: Any, param: str, code: str) -> None:
    error = refusal(messages=[message, USER])
    assert (error.param, error.code) == (param, code)


MUST_FOLLOW = "must be followed by tool messages responding to each 'tool_call_id'"
MUST_PRECEDE = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"


@pytest.mark.parametrize(
    ("messages", "param", "said"),
    [
        ([USER, calls("a", "b"), result("a"), USER], "messages.[3].role", MUST_FOLLOW),
        ([USER, calls("a", "b"), result("a")], "messages.[1].role", MUST_FOLLOW),
        ([USER, calls("a")], "messages.[1].role", MUST_FOLLOW),
        ([USER, calls("a"), calls("b"), result("b")], "messages.[2].role", MUST_FOLLOW),
        ([result("a")], "messages.[0].role", MUST_PRECEDE),
        ([USER, result("a")], "messages.[1].role", MUST_PRECEDE),
        ([calls("a"), result("b")], "messages.[1].role", MUST_PRECEDE),
        ([calls("a"), result("a"), USER, result("a")], "messages.[3].role", MUST_PRECEDE),
        ([calls("a", "b"), result("a"), result("a")], "messages.[2].tool_call_id", "two results"),
        ([calls("a", "a"), result("a")], "messages.[0].tool_calls", "same id"),
    ],
)
def test_a_history_that_breaks_the_rules_of_tool_calls_is_refused(
    messages: list[Any], param: str, said: str
) -> None:
    error = refusal(messages=messages)
    assert error.param == param
    assert said in error.message


def test_the_unanswered_calls_are_named() -> None:
    error = refusal(messages=[calls("a", "b", "c"), result("b"), USER])
    assert error.message.endswith("did not have response messages: a, c")


@pytest.mark.parametrize(
    "messages",
    [
        [calls("a", "b"), result("b"), result("a")],
        [calls("a"), result("a"), calls("a"), result("a"), USER],
        [
            {"role": "system", "content": "s"},
            USER,
            calls("a"),
            result("a"),
            {"role": "assistant", "content": ""},
            USER,
        ],
    ],
)
def test_a_history_that_keeps_the_rules_is_taken(messages: list[Any]) -> None:
    assert len(translate(messages=messages).messages) == len(messages)


def test_in_a_session_results_may_come_first_but_nowhere_else() -> None:
    cozy = {"session_id": SESSION}
    system = {"role": "system", "content": "s"}
    assert len(translate(messages=[system, result("a"), result("b"), USER], cozy=cozy).messages) == 4
    assert refusal(messages=[USER, result("a")], cozy=cozy).param == "messages.[1].role"
    assert refusal(messages=[result("a"), result("a")], cozy=cozy).param == "messages.[1].tool_call_id"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 130) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "robot"])
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"])},
    optional={
        "text": st.text(max_size=5),
        "image_url": JSON,
        "file": JSON,
        "input_audio": JSON,
        "refusal": st.text(),
    },
)
CALLS = st.fixed_dictionaries(
    {"id": st.sampled_from("abc"), "type": st.sampled_from(["function", "custom"])},
    optional={"function": st.just({"name": "look", "arguments": "{}"})},
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": ROLES},
        optional={
            "content": st.none() | st.text(max_size=5) | st.lists(PARTS, max_size=2) | JSON,
            "tool_calls": st.none() | st.lists(CALLS, max_size=3),
            "tool_call_id": st.sampled_from("abc"),
            "function_call": st.none() | st.just({"name": "look", "arguments": ""}),
            "name": st.text(max_size=5),
            "refusal": st.none() | st.text(max_size=5),
        },
    ),
    max_size=5,
)
FIELDS = st.dictionaries(
    st.sampled_from([*ChatCompletionIn.__struct_fields__, "vendor"]),
    JSON
    | st.sampled_from(["auto", "none", "required", [TOOL], {"session_id": SESSION}, {"type": "json_object"}]),
    max_size=4,
)


@given(MESSAGES | JSON, FIELDS)
@settings(max_examples=200)
def test_no_request_raises_anything_but_our_errors(messages: Any, fields: dict[str, Any]) -> None:
    body = msgspec.json.encode({"model": "m", **fields, "messages": messages})
    with suppress(InputError):
        request = to_request(BODY.decode(body), ENVELOPE)
        assert len(request.messages) == len(messages)
        msgspec.json.encode(request.messages)


@given(
    st.lists(
        st.sampled_from(["user", "ask a", "ask b", "ask ab", "tell a", "tell b"]), min_size=1, max_size=8
    )
)
@settings(max_examples=150)
def test_a_history_is_taken_only_when_every_call_is_answered_once_and_next(steps: list[str]) -> None:
    wire = {"user": USER, **{f"ask {ids}": calls(*ids) for ids in ("a", "b", "ab")}}
    messages = [wire.get(step) or result(step.removeprefix("tell ")) for step in steps]
    open_calls: set[str] = set()
    legal = True
    for step in steps:
        verb, _, ids = step.partition(" ")
        legal = legal and (ids in open_calls if verb == "tell" else not open_calls)
        open_calls = open_calls - {ids} if verb == "tell" else set(ids)
    if legal and not open_calls:
        translate(messages=messages)
    else:
        refusal(messages=messages)
