"""The Anthropic adapter against a provider on a real socket."""

import asyncio
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from cozy_adapters.anthropic.chat import FEATURES, AnthropicLanguageModel
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
    SystemMessage,
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
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.models.request import Feature, ModelRequest, ResponseFormat, Sampling, ToolDefinition
from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.promptness import SOON_S, soonest

pytest_plugins = ["tests.fixtures.fake_anthropic.plugin"]

KEY = "sk-ant-canary-7f3d"
TOOLS = (ToolDefinition("calculator"), ToolDefinition("clock"))
WHOLE = " ".join(f"word{n}" for n in range(1, 9))


@pytest.fixture
async def model(fake_anthropic: FakeAnthropic) -> AsyncIterator[AnthropicLanguageModel]:
    adapter = AnthropicLanguageModel("fake", KEY, base_url=fake_anthropic.base_url)
    await adapter.aopen()
    yield adapter
    await adapter.aclose()


def asking(model: str, **changes: object) -> ModelRequest:
    request = ModelRequest(
        model=model, messages=(SystemMessage("Be brief."), UserMessage("Tell me a story."))
    )
    return msgspec.structs.replace(request, **changes)


async def heard(
    model: AnthropicLanguageModel, request: ModelRequest
) -> tuple[list[ModelDelta], ProviderError | None]:
    """All deltas that came, and the error that ended them."""
    deltas: list[ModelDelta] = []
    try:
        async with asyncio.timeout(60), model.stream(request) as stream:
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401  # a comprehension would lose those before a failure
    except ProviderError as error:
        return deltas, error
    return deltas, None


def text(deltas: list[ModelDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def calls(deltas: list[ModelDelta]) -> list[ToolCall]:
    found: dict[int, ToolCall] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            call = found.get(delta.index) or ToolCall(delta.id or "", delta.name or "", "")
            found[delta.index] = msgspec.structs.replace(call, arguments=call.arguments + delta.arguments)
    return [found[index] for index in sorted(found)]


def ends(deltas: list[ModelDelta]) -> list[ChoiceFinished]:
    return [delta for delta in deltas if isinstance(delta, ChoiceFinished)]


@pytest.mark.parametrize(
    "scenario",
    [
        "ok",
        "no-done",
        "crlf",
        "comment",
        "utf8-split?say=ok&text=" + WHOLE.replace(" ", "%20"),
        "no-content-type",
        "odd-finish",
        "linger?ms=200",
        "slow-first?ms=20&head=early",
    ],
)
async def test_a_whole_answer_is_read_whatever_its_dress(
    model: AnthropicLanguageModel, scenario: str
) -> None:
    deltas, error = await heard(model, asking(scenario))
    assert error is None
    assert text(deltas) == WHOLE
    assert ends(deltas) == [ChoiceFinished("stop")]


async def test_usage_is_reported_with_thinking(model: AnthropicLanguageModel) -> None:
    deltas, _ = await heard(model, asking("reasoning", messages=(UserMessage("Hi."),)))
    assert "".join(d.text for d in deltas if isinstance(d, ReasoningDelta)) == "First I think."
    assert deltas[-1] == UsageReported(
        Usage(prompt_tokens=4, completion_tokens=11, reasoning_tokens=3, known=True)
    )


async def test_the_second_turn_reads_head_and_past_from_the_cache(model: AnthropicLanguageModel) -> None:
    head = SystemMessage("You are a very patient gardener.")
    one, two, three = UserMessage("Hello!"), AssistantMessage("Good day."), UserMessage("And now?")
    time = UserMessage("<context>10:00</context>")

    async def used(*messages: SystemMessage | UserMessage | AssistantMessage) -> Usage:
        deltas, _ = await heard(model, asking("ok", messages=messages, tools=TOOLS))
        return next(delta.usage for delta in deltas if isinstance(delta, UsageReported))

    first = await used(head, one, two, time, three)
    assert first.cached_tokens == 0
    assert first.cache_write_tokens > 0
    later = UserMessage("<context>10:05</context>")
    second = await used(head, one, two, three, AssistantMessage("Roses."), later, UserMessage("Which?"))
    assert second.cached_tokens == first.cache_write_tokens
    assert 0 < second.cache_write_tokens < second.prompt_tokens - second.cached_tokens


async def test_parallel_tool_calls_are_read_and_their_results_sent(model: AnthropicLanguageModel) -> None:
    deltas, error = await heard(model, asking("tools?args={}&args={%22a%22:1}", tools=TOOLS))
    assert error is None
    first, second = calls(deltas)
    assert (first.name, json.loads(first.arguments)) == ("calculator", {})
    assert (second.name, json.loads(second.arguments)) == ("clock", {"a": 1})
    assert ends(deltas) == [ChoiceFinished("tool_calls")]
    results = (ToolMessage(first.id, "42"), ToolMessage(second.id, "noon"))
    messages = (UserMessage("go"), AssistantMessage("", (first, second)), *results)
    deltas, error = await heard(model, asking("tools", messages=messages, tools=TOOLS))
    assert (text(deltas), error) == ("The tools said: 42; noon", None)


async def test_arguments_that_are_no_json_are_handed_on_and_survive_the_next_request(
    model: AnthropicLanguageModel,
) -> None:
    deltas, _ = await heard(model, asking("tool-bad-args", tools=TOOLS))
    (call,) = calls(deltas)
    assert call.arguments == '{"expression": "6*'
    messages = (UserMessage("go"), AssistantMessage("", (call,)), ToolMessage(call.id, "invalid"))
    deltas, error = await heard(model, asking("tool-bad-args", messages=messages, tools=TOOLS))
    assert (text(deltas), error) == ("The tools said: invalid", None)


async def test_a_json_schema_is_obeyed(model: AnthropicLanguageModel) -> None:
    schema = msgspec.Raw(b'{"type":"object","required":["a"],"properties":{"a":{"const":7}}}')
    form = ResponseFormat("json_schema", "thing", None, schema, strict=True)
    deltas, _ = await heard(model, asking("ok", sampling=Sampling(response_format=form)))
    assert json.loads(text(deltas)) == {"a": 7}


async def test_a_refusal_is_told_apart_from_an_answer(model: AnthropicLanguageModel) -> None:
    deltas, _ = await heard(model, asking("refusal"))
    assert "".join(d.text for d in deltas if isinstance(d, RefusalDelta)) == "I cannot help with that."
    assert (text(deltas), [end.reason for end in ends(deltas)]) == ("", ["content_filter"])


async def test_the_limit_and_the_stop_texts_are_obeyed(model: AnthropicLanguageModel) -> None:
    deltas, _ = await heard(model, asking("ok", sampling=Sampling(max_output=2)))
    assert (text(deltas), ends(deltas)) == ("word1 word2", [ChoiceFinished("length")])
    deltas, _ = await heard(model, asking("ok", sampling=Sampling(stop=(" word3",))))
    assert text(deltas) == "word1 word2"


async def test_what_claude_takes_no_more_is_left_out_and_logged_once(
    model: AnthropicLanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    warm = Sampling(temperature=0.7)
    for _ in range(2):
        deltas, error = await heard(model, asking("ok?key=claude", sampling=warm))
        assert (text(deltas), error) == (WHOLE, None)
    told = [(it.message, it.__dict__["parameter"]) for it in caplog.records if it.levelname == "WARNING"]
    assert told == [("parameter_dropped", "temperature")]
    caplog.clear()
    assert (await heard(model, asking("ok", sampling=warm)))[1] is None
    assert not [it for it in caplog.records if it.levelname == "WARNING"]


async def test_a_huge_delta_is_read(model: AnthropicLanguageModel) -> None:
    deltas, error = await heard(model, asking("huge?kb=2048", sampling=Sampling(max_output=1_000_000)))
    assert (len(text(deltas)), error) == (2048 * 1024, None)


@pytest.mark.parametrize("scenario", ["drop", "fin"])
async def test_a_connection_that_breaks_keeps_what_came_and_says_so(
    model: AnthropicLanguageModel, scenario: str
) -> None:
    deltas, error = await heard(model, asking(f"{scenario}?after=3"))
    assert text(deltas) in ("word1 word2 word3", "")  # a reset may overtake what was sent before it
    assert isinstance(error, ProviderUnavailableError)
    assert error.billed


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("overloaded_error", ProviderOverloadedError), ("api_error", ProviderUnavailableError)],
)
async def test_an_error_in_mid_stream_ends_it(
    model: AnthropicLanguageModel, kind: str, expected: type[ProviderError]
) -> None:
    deltas, error = await heard(model, asking(f"error-event?event=1&kind={kind}"))
    assert text(deltas) == "word1 word2 word3"
    assert isinstance(error, expected)
    assert error.billed


@pytest.mark.parametrize("scenario", ["cut?after=3", "half-event?after=3", "bad-json?after=3"])
async def test_an_answer_that_breaks_off_politely_is_not_taken_for_a_whole_one(
    model: AnthropicLanguageModel, scenario: str
) -> None:
    deltas, error = await heard(model, asking(scenario))
    assert (text(deltas), ends(deltas)) == ("word1 word2 word3", [])
    assert isinstance(error, ProviderMalformedError)
    assert error.billed


async def test_a_body_that_is_no_stream_is_malformed(model: AnthropicLanguageModel) -> None:
    _, error = await heard(model, asking("json-for-stream"))
    assert isinstance(error, ProviderMalformedError)


@pytest.mark.parametrize("body", ["openai", "html", "empty"])
@pytest.mark.parametrize("code", [500, 503])
async def test_a_failing_provider_is_unavailable(model: AnthropicLanguageModel, code: int, body: str) -> None:
    _, error = await heard(model, asking(f"status?code={code}&body={body}&retry_after=3"))
    assert isinstance(error, ProviderUnavailableError)
    assert (error.retry_after_s, error.billed) == (3.0, False)
    assert str(code) in str(error)


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("retry_after=0", 0.0),
        ("retry_after=121", 121.0),
        ("retry_after=none", None),
        ("retry_after=past", 0.0),
        ("retry_after=9&retry_after_ms=250", 0.25),
    ],
)
@pytest.mark.parametrize(("code", "told"), [(429, "rate_limit_exceeded"), (529, OVERLOADED)])
async def test_a_busy_provider_says_when_to_come_back(
    model: AnthropicLanguageModel, code: int, told: str, wish: str, seconds: float | None
) -> None:
    _, error = await heard(model, asking(f"status?code={code}&{wish}"))
    assert isinstance(error, ProviderOverloadedError)
    assert (error.code, error.retry_after_s) == (told, seconds)


@pytest.mark.parametrize(
    ("code", "about", "told"),
    [
        (400, "request", "provider_refused"),
        (401, "credential", "provider_credential_refused"),
        (402, "credential", "provider_credential_refused"),
        (403, "credential", "provider_credential_refused"),
        (404, "model", "model_not_found"),
        (413, "request", "provider_refused"),
    ],
)
async def test_a_refusal_says_what_it_is_about(
    model: AnthropicLanguageModel, code: int, about: str, told: str
) -> None:
    _, error = await heard(model, asking(f"status?code={code}"))
    assert isinstance(error, ProviderRefusedError)
    assert (error.about, error.code) == (about, told)


async def test_the_providers_own_words_about_the_request_are_handed_on(model: AnthropicLanguageModel) -> None:
    _, error = await heard(model, asking("ok", sampling=Sampling(stop=(" ",))))
    assert isinstance(error, ProviderRefusedError)
    assert "non-whitespace" in error.message


async def test_a_reset_before_the_answer_is_unavailable_and_not_billed(model: AnthropicLanguageModel) -> None:
    _, error = await heard(model, asking("reset"))
    assert isinstance(error, ProviderUnavailableError)
    assert not error.billed
    assert str(error) == "fake cannot be reached (ConnectionResetError)."


async def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        model = AnthropicLanguageModel("nobody", "", base_url=url)
        _, error = await heard(model, asking("ok"))
        await model.aclose()
    assert isinstance(error, ProviderUnavailableError)
    assert "(ConnectionRefusedError)" in str(error)
    assert "models.providers.nobody.base_url, with `cozy doctor`" in str(error.hint)


async def test_a_failing_call_is_not_repeated(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic
) -> None:
    for scenario in ("status?code=500", "status?code=429", "reset"):
        await heard(model, asking(scenario))
    assert len(fake_anthropic.chats()) == 3


@pytest.mark.parametrize("scenario", ["stall?after=1", "endless"])
async def test_leaving_early_closes_the_connection_within_200_ms(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic, scenario: str
) -> None:
    async def leave() -> float:
        before = len(fake_anthropic.closed_early)
        async with model.stream(asking(scenario)) as deltas:
            await anext(aiter(deltas))
            left_at = asyncio.get_running_loop().time()
        await fake_anthropic.until(lambda: len(fake_anthropic.closed_early) > before)
        return fake_anthropic.closed_early[-1].at_s - left_at

    assert await soonest(leave) < SOON_S
    assert not fake_anthropic.open_streams


@pytest.mark.parametrize("scenario", ["stall?after=1", "hang", "hang?head=early"])
async def test_cancelling_closes_the_connection_within_200_ms(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic, scenario: str
) -> None:
    async def cancel() -> float:
        before = len(fake_anthropic.closed_early)
        listener = asyncio.create_task(heard(model, asking(scenario)))
        await fake_anthropic.until(lambda: bool(fake_anthropic.open_streams))
        if scenario.startswith("stall"):
            await fake_anthropic.until(lambda: fake_anthropic.open_streams[0].sent >= 1)
        left_at = asyncio.get_running_loop().time()
        listener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener
        await fake_anthropic.until(lambda: len(fake_anthropic.closed_early) > before)
        return fake_anthropic.closed_early[-1].at_s - left_at

    assert await soonest(cancel) < SOON_S


async def test_leaving_without_reading_closes_the_connection(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic
) -> None:
    async with model.stream(asking("stall?after=1")):
        assert fake_anthropic.open_streams
    await fake_anthropic.until(lambda: not fake_anthropic.open_connections)


async def test_many_early_leaves_keep_no_connection(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic
) -> None:
    for _ in range(20):
        async with model.stream(asking("stall?after=1")) as deltas:
            await anext(aiter(deltas))
    await fake_anthropic.until(lambda: not fake_anthropic.open_connections)
    assert len(fake_anthropic.closed_early) == 20
    gc.collect()


async def test_a_finished_answer_leaves_its_connection_for_the_next(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic
) -> None:
    for scenario in ("ok", "linger?ms=5", "ok"):  # the end of a body may come after that of the answer
        await heard(model, asking(scenario))
    assert fake_anthropic.connected == 1
    assert not fake_anthropic.closed_early


async def test_a_body_held_open_behind_its_end_is_not_waited_for(model: AnthropicLanguageModel) -> None:
    deltas, error = await heard(model, asking("linger?ms=120000"))
    assert (text(deltas), error) == (WHOLE, None)


async def test_the_key_is_sent_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeAnthropic(api_key=KEY) as fake:
        model = AnthropicLanguageModel("fake", KEY, base_url=fake.base_url)
        wrong = AnthropicLanguageModel("fake", KEY + "x", base_url=fake.base_url)
        deltas, error = await heard(model, asking("ok"))
        _, refusal = await heard(wrong, asking("ok"))
        await model.aclose()
        await wrong.aclose()
    assert (text(deltas), error) == (WHOLE, None)
    assert isinstance(refusal, ProviderRefusedError)
    shown = "\n".join([repr(model), str(refusal), repr(refusal), refusal.hint or "", caplog.text])
    assert KEY not in shown


async def test_a_part_that_has_no_form_is_refused_in_this_providers_name(
    model: AnthropicLanguageModel,
) -> None:
    sound = UserMessage((AudioPart("UklG", "wav"),))
    _, error = await heard(model, asking("ok", messages=(sound,)))
    assert isinstance(error, ProviderRefusedError)
    assert (error.provider, error.about) == ("fake", "request")


async def test_a_base_url_may_be_written_with_the_version(fake_anthropic: FakeAnthropic) -> None:
    model = AnthropicLanguageModel("fake", KEY, base_url=fake_anthropic.base_url + "/v1/")
    assert text((await heard(model, asking("ok")))[0]) == WHOLE
    await model.aclose()


async def test_what_a_listed_model_cannot_do_is_known_afterwards(
    model: AnthropicLanguageModel, fake_anthropic: FakeAnthropic
) -> None:
    assert model.features("empty") == model.features("ok") == FEATURES
    listed = await model.list_models()
    assert listed[:2] == ("ok", "echo")
    lost = {Feature.IMAGES, Feature.FILES, Feature.JSON_SCHEMA, Feature.REASONING_EFFORT}
    assert model.features("empty") == FEATURES - lost
    assert model.features("ok") == FEATURES
    for name in ("empty", "ok"):
        await heard(model, asking(name))
    assert [chat.body["max_tokens"] for chat in fake_anthropic.chats()] == [8_000, 16_000]


async def test_a_wrong_address_lists_no_models(fake_anthropic: FakeAnthropic) -> None:
    model = AnthropicLanguageModel("fake", KEY, base_url=fake_anthropic.base_url + "/elsewhere")
    with pytest.raises(ProviderRefusedError) as refusal:
        await model.list_models()
    await model.aclose()
    assert refusal.value.about == "model"


async def test_it_can_be_used_again_after_closing(model: AnthropicLanguageModel) -> None:
    await heard(model, asking("ok"))
    await model.aclose()
    assert text((await heard(model, asking("ok")))[0]) == WHOLE
