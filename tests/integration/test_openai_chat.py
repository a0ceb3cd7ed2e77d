"""The OpenAI adapter against a provider on a real socket."""

import asyncio
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from cozy_adapters.endpoint import PIECE
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_adapters.openai.wire import OPENAI
from cozy_domain.errors import (
    ProviderError,
    ProviderMalformedError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from cozy_domain.messages import SystemMessage, ToolCall, Usage, UserMessage
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.models.request import ModelRequest, Sampling, ToolDefinition
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.promptness import SOON_S, soonest

pytest_plugins = ["tests.fixtures.fake_openai.plugin"]

KEY = "sk-canary-7f3d"
TOOLS = (ToolDefinition("calculator"), ToolDefinition("clock"))


@pytest.fixture
async def model(fake_openai: FakeOpenAI) -> AsyncIterator[OpenAILanguageModel]:
    adapter = OpenAILanguageModel("fake", KEY, base_url=fake_openai.base_url, dialect=OPENAI)
    await adapter.aopen()
    yield adapter
    await adapter.aclose()


def asking(model: str, **changes: object) -> ModelRequest:
    request = ModelRequest(
        model=model, messages=(SystemMessage("Be brief."), UserMessage("Tell me a story."))
    )
    return msgspec.structs.replace(request, **changes)


async def heard(
    model: OpenAILanguageModel, request: ModelRequest
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


def text(deltas: list[ModelDelta], choice: int = 0) -> str:
    return "".join(d.text for d in deltas if isinstance(d, TextDelta) and d.choice == choice)


def calls(deltas: list[ModelDelta]) -> list[ToolCall]:
    """Put together as any caller would: by index, the first piece carrying the id, and one the name."""
    found: dict[int, ToolCall] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            call = found.get(delta.index) or ToolCall(delta.id or "", delta.name or "", "")
            found[delta.index] = msgspec.structs.replace(
                call, name=call.name or delta.name or "", arguments=call.arguments + delta.arguments
            )
    return [found[index] for index in sorted(found)]


def ends(deltas: list[ModelDelta]) -> list[ChoiceFinished]:
    return [delta for delta in deltas if isinstance(delta, ChoiceFinished)]


WHOLE = " ".join(f"word{n}" for n in range(1, 9))


@pytest.mark.parametrize(
    "scenario",
    [
        "ok",
        "no-done",
        "crlf",
        "comment",
        "utf8-split?say=ok&text=" + WHOLE.replace(" ", "%20"),
        "empty-choices",
        "no-usage",
        "usage-unasked",
        "no-content-type",
        "json-for-stream",
        "odd-created",
        "odd-finish",
        "linger?ms=200",
        "slow-first?ms=20&head=early",
    ],
)
async def test_a_whole_answer_is_read_whatever_its_dress(model: OpenAILanguageModel, scenario: str) -> None:
    deltas, error = await heard(model, asking(scenario))
    assert error is None
    assert text(deltas) == WHOLE
    assert ends(deltas) == [ChoiceFinished("stop")]


@pytest.mark.parametrize("length", [10, PIECE * 2])
async def test_a_body_goes_out_with_its_length_because_some_servers_take_no_chunks(
    model: OpenAILanguageModel, fake_openai: FakeOpenAI, length: int
) -> None:
    _, error = await heard(model, asking("ok", messages=(UserMessage("a" * length),)))
    assert error is None
    (request,) = fake_openai.chats("ok")
    assert request.headers["content-length"] == str(len(request.raw))
    assert "transfer-encoding" not in request.headers
    assert request.headers["host"] == fake_openai.base_url.split("/")[2]
    assert request.headers["content-type"] == "application/json"


async def test_usage_tier_and_fingerprint_are_reported(model: OpenAILanguageModel) -> None:
    deltas, _ = await heard(model, asking("reasoning"))
    assert deltas[-1] == UsageReported(
        Usage(prompt_tokens=6, completion_tokens=11, reasoning_tokens=3, known=True), "default", "fp_fake"
    )


async def test_characters_cut_by_the_network_are_whole(model: OpenAILanguageModel) -> None:
    deltas, error = await heard(model, asking("utf8-split"))
    assert error is None
    assert "👩‍👩‍👧‍👦 naïve 🇨🇳" in text(deltas)


async def test_characters_cut_into_surrogates_are_whole(model: OpenAILanguageModel) -> None:
    deltas, error = await heard(model, asking("surrogates?after=1"))
    assert error is None
    assert text(deltas) == "word1😀" + WHOLE.removeprefix("word1")


@pytest.mark.parametrize("quirk", ["", "no-index", "same-index", "repeat-id", "late-name", "whole", "stop"])
async def test_parallel_tool_calls_are_read_whatever_the_server_leaves_out(
    model: OpenAILanguageModel, quirk: str
) -> None:
    scenario = f'tools?args={{"expression":"6*7"}}&args={{"timezone":"UTC"}}&quirk={quirk}'
    deltas, error = await heard(model, asking(scenario, tools=TOOLS))
    assert error is None
    first, second = calls(deltas)
    assert (first.name, json.loads(first.arguments)) == ("calculator", {"expression": "6*7"})
    assert (second.name, json.loads(second.arguments)) == ("clock", {"timezone": "UTC"})
    assert first.id
    assert first.id != second.id
    assert ends(deltas) == [ChoiceFinished("tool_calls")]
    assert [d.index for d in deltas if isinstance(d, ToolCallDelta) and d.name] == [0, 1]


async def test_several_choices_each_end_once(model: OpenAILanguageModel) -> None:
    deltas, _ = await heard(model, asking("ok", sampling=Sampling(choices=3)))
    assert [text(deltas, choice) for choice in range(3)] == [WHOLE, WHOLE + " #1", WHOLE + " #2"]
    assert ends(deltas) == [ChoiceFinished("stop", choice) for choice in range(3)]


async def test_thoughts_and_refusals_are_told_apart_from_the_answer(model: OpenAILanguageModel) -> None:
    deltas, _ = await heard(model, asking("reasoning"))
    assert "".join(d.text for d in deltas if isinstance(d, ReasoningDelta)) == "First I think."
    assert text(deltas) == WHOLE
    deltas, _ = await heard(model, asking("refusal"))
    assert "".join(d.text for d in deltas if isinstance(d, RefusalDelta)) == "I cannot help with that."
    assert text(deltas) == ""


async def test_log_probabilities_come_with_their_text(model: OpenAILanguageModel) -> None:
    sampling = Sampling(logprobs=True, top_logprobs=2)
    deltas, _ = await heard(model, asking("ok", sampling=sampling))
    first = next(d for d in deltas if isinstance(d, TextDelta))
    assert first.logprobs[0].token == first.text
    assert [top.token for top in first.logprobs[0].top] == [first.text, "other1"]


@pytest.mark.parametrize(
    ("scenario", "reason"), [("finish-length", "length"), ("content-filter", "content_filter")]
)
async def test_why_it_ended_is_told(model: OpenAILanguageModel, scenario: str, reason: str) -> None:
    deltas, _ = await heard(model, asking(scenario))
    assert [end.reason for end in ends(deltas)] == [reason]


async def test_a_huge_delta_is_read(model: OpenAILanguageModel) -> None:
    deltas, error = await heard(model, asking("huge?kb=2048"))
    assert error is None
    assert len(text(deltas)) == 2048 * 1024


@pytest.mark.parametrize("scenario", ["drop", "fin"])
async def test_a_connection_that_breaks_keeps_what_came_and_says_so(
    model: OpenAILanguageModel, scenario: str
) -> None:
    deltas, error = await heard(model, asking(f"{scenario}?after=3"))
    assert text(deltas) in ("word1 word2 word3", "")  # a reset may overtake what was sent before it
    assert isinstance(error, ProviderUnavailableError)
    assert error.billed


async def test_an_error_in_mid_stream_ends_it(model: OpenAILanguageModel) -> None:
    for scenario in ("error-event", "error-event?event=1", "error-event?shape=text"):
        deltas, error = await heard(model, asking(scenario))
        assert text(deltas) == "word1 word2 word3"
        assert isinstance(error, ProviderUnavailableError)
        assert error.billed


@pytest.mark.parametrize("scenario", ["cut", "half-event", "bad-json"])
async def test_an_answer_that_breaks_off_politely_is_not_taken_for_a_whole_one(
    model: OpenAILanguageModel, scenario: str
) -> None:
    deltas, error = await heard(model, asking(f"{scenario}?after=3"))
    assert text(deltas) == "word1 word2 word3"
    assert not ends(deltas)
    assert isinstance(error, ProviderMalformedError)
    assert error.billed


async def test_an_answer_without_any_choice_is_malformed(model: OpenAILanguageModel) -> None:
    _, error = await heard(model, asking("empty-choices?only=1"))
    assert isinstance(error, ProviderMalformedError)


@pytest.mark.parametrize("body", ["openai", "detail", "html", "text", "empty"])
@pytest.mark.parametrize("code", [500, 502, 503])
async def test_a_failing_provider_is_unavailable(model: OpenAILanguageModel, code: int, body: str) -> None:
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
        ("retry_after=soon", None),
        ("retry_after=-5", None),
        ("retry_after=past", 0.0),
        ("retry_after=9&retry_after_ms=250", 0.25),
    ],
)
@pytest.mark.parametrize("code", [429, 529])
async def test_a_busy_provider_says_when_to_come_back(
    model: OpenAILanguageModel, code: int, wish: str, seconds: float | None
) -> None:
    _, error = await heard(model, asking(f"status?code={code}&{wish}"))
    assert isinstance(error, ProviderOverloadedError)
    assert error.retry_after_s == seconds


async def test_a_date_to_come_back_at_becomes_seconds(model: OpenAILanguageModel) -> None:
    _, error = await heard(model, asking("status?code=429&retry_after=date"))
    assert isinstance(error, ProviderOverloadedError)
    assert error.retry_after_s is not None
    assert 0 <= error.retry_after_s <= 2


@pytest.mark.parametrize(
    ("code", "about", "told"),
    [
        (400, "request", "context_length_exceeded"),
        (401, "credential", "provider_credential_refused"),
        (402, "credential", "provider_credential_refused"),
        (403, "credential", "provider_credential_refused"),
        (404, "model", "model_not_found"),
        (413, "request", "provider_refused"),
        (422, "request", "provider_refused"),
    ],
)
async def test_a_refusal_says_what_it_is_about(
    model: OpenAILanguageModel, code: int, about: str, told: str
) -> None:
    _, error = await heard(model, asking(f"status?code={code}"))
    assert isinstance(error, ProviderRefusedError)
    assert (error.about, error.code) == (about, told)


async def test_the_providers_own_words_about_the_request_are_handed_on(model: OpenAILanguageModel) -> None:
    _, error = await heard(model, asking("ok", sampling=Sampling(temperature=3.0)))
    assert isinstance(error, ProviderRefusedError)
    assert (error.param, error.message) == ("temperature", "'temperature' must be between 0 and 2")


async def test_a_reset_before_the_answer_is_unavailable_and_not_billed(model: OpenAILanguageModel) -> None:
    _, error = await heard(model, asking("reset"))
    assert isinstance(error, ProviderUnavailableError)
    assert not error.billed
    assert str(error) == "fake cannot be reached (ConnectionResetError)."


async def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        model = OpenAILanguageModel("nobody", KEY, base_url=url)
        _, error = await heard(model, asking("ok"))
        await model.aclose()
    assert isinstance(error, ProviderUnavailableError)
    assert error.provider == "nobody"
    assert "(ConnectionRefusedError)" in str(error)
    assert "models.providers.nobody.base_url, with `cozy doctor`" in str(error.hint)


async def test_a_failing_call_is_not_repeated(model: OpenAILanguageModel, fake_openai: FakeOpenAI) -> None:
    for scenario in ("status?code=500", "status?code=429", "reset"):
        await heard(model, asking(scenario))
    assert len(fake_openai.chats()) == 3


@pytest.mark.parametrize("scenario", ["stall?after=1", "endless"])
async def test_leaving_early_closes_the_connection_within_200_ms(
    model: OpenAILanguageModel, fake_openai: FakeOpenAI, scenario: str
) -> None:
    async def leave() -> float:
        before = len(fake_openai.closed_early)
        async with model.stream(asking(scenario)) as deltas:
            await anext(aiter(deltas))
            left_at = asyncio.get_running_loop().time()
        await fake_openai.until(lambda: len(fake_openai.closed_early) > before)
        return fake_openai.closed_early[-1].at_s - left_at

    assert await soonest(leave) < SOON_S
    assert not fake_openai.open_streams


@pytest.mark.parametrize("scenario", ["stall?after=1", "hang", "hang?head=early", "stall?after=0"])
async def test_cancelling_closes_the_connection_within_200_ms(
    model: OpenAILanguageModel, fake_openai: FakeOpenAI, scenario: str
) -> None:
    async def cancel() -> float:
        before = len(fake_openai.closed_early)
        listener = asyncio.create_task(heard(model, asking(scenario)))
        await fake_openai.until(lambda: bool(fake_openai.open_streams))
        if scenario.startswith("stall"):
            await fake_openai.until(lambda: fake_openai.open_streams[0].sent >= 1)
        left_at = asyncio.get_running_loop().time()
        listener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listener
        await fake_openai.until(lambda: len(fake_openai.closed_early) > before)
        return fake_openai.closed_early[-1].at_s - left_at

    assert await soonest(cancel) < SOON_S


async def test_many_early_leaves_keep_no_connection(
    model: OpenAILanguageModel, fake_openai: FakeOpenAI
) -> None:
    for _ in range(30):
        async with model.stream(asking("stall?after=1")) as deltas:
            await anext(aiter(deltas))
    await fake_openai.until(lambda: not fake_openai.open_connections)
    assert len(fake_openai.closed_early) == 30
    gc.collect()


async def test_a_finished_answer_leaves_its_connection_for_the_next(
    model: OpenAILanguageModel, fake_openai: FakeOpenAI
) -> None:
    for _ in range(3):
        await heard(model, asking("ok"))
    assert fake_openai.connected == 1
    assert not fake_openai.closed_early


async def test_a_body_held_open_behind_its_end_is_not_waited_for(model: OpenAILanguageModel) -> None:
    deltas, error = await heard(model, asking("linger?ms=120000"))
    assert error is None
    assert text(deltas) == WHOLE


async def test_the_key_is_sent_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeOpenAI(api_key=KEY) as fake:
        model = OpenAILanguageModel("fake", KEY, base_url=fake.base_url)
        wrong = OpenAILanguageModel("fake", KEY + "x", base_url=fake.base_url)
        deltas, error = await heard(model, asking("ok"))
        _, refusal = await heard(wrong, asking("ok"))
        await model.aclose()
        await wrong.aclose()
    assert error is None
    assert text(deltas) == WHOLE
    assert isinstance(refusal, ProviderRefusedError)
    shown = "\n".join([repr(model), str(refusal), repr(refusal), refusal.hint or "", caplog.text])
    assert KEY not in shown


async def test_models_are_listed_in_the_providers_order(model: OpenAILanguageModel) -> None:
    listed = await model.list_models()
    assert listed[:2] == ("ok", "echo")


async def test_a_wrong_address_lists_no_models(fake_openai: FakeOpenAI) -> None:
    model = OpenAILanguageModel("fake", KEY, base_url=fake_openai.base_url + "/elsewhere")
    with pytest.raises(ProviderRefusedError) as refusal:
        await model.list_models()
    await model.aclose()
    assert refusal.value.about == "model"


async def test_it_can_be_used_again_after_closing(model: OpenAILanguageModel) -> None:
    await heard(model, asking("ok"))
    await model.aclose()
    deltas, _ = await heard(model, asking("ok"))
    assert text(deltas) == WHOLE
